"""Files in, files out: answers, tracks and embeddings of whole files of sequences."""
