"""Scores of answers, baselines to beat, calibration, and the report."""
