"""The run folder: what a training leaves, and what makes it the same model again."""
