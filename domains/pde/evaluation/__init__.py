"""Predictions against references: metrics, the report, and what learning several tasks gains."""
