"""Scores of answers, baselines to beat, what a test set gives away, and the report."""
