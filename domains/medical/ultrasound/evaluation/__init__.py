"""Predictions against labels: metrics, trivial baselines, the report."""
