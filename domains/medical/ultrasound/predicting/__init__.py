"""A trained run at work: decoding, measures, the files of answers, and the challenge's files."""
