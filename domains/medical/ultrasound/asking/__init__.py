"""What is asked of a trained run: the cases in files, folders and data sets."""
