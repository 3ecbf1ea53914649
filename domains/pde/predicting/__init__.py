"""A trained run at work: one or several operators, the predictor of a batch, files and pictures of answers."""
