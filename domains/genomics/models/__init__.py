"""Decoders over DNA tokens: the family, its checkpoints, the backbone of the multi-task model, packing."""
