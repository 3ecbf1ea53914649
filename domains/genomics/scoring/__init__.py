"""A tuned model asked: probabilities, valid answers and likelihoods, with prefixes read once."""
