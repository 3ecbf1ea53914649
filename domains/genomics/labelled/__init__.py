"""Labelled sequences: their tables, their splits, and what a split gives away."""
