"""Labelled data on disk: reading, what its tasks are, and honest splits."""
