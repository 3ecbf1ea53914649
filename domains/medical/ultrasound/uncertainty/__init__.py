"""How far an answer may be believed: inputs unlike the training, temperatures of class probabilities."""
