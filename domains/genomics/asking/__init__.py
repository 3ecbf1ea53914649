"""What is asked of a trained run: blocks of records of files, and rows of labelled data."""
