"""The operator networks: encodings of the input, branch, trunk, and the model that joins them."""
