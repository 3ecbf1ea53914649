"""Scores, their intervals, and the reports that show them."""
