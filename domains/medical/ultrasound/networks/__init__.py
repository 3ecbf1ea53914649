"""The network: encoders, the feature pyramid, heads, foreign checkpoints, and the folded form."""
