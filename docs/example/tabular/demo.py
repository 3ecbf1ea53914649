"""`polyhead demo tabular`: the four verbs, one after the other."""

from pathlib import Path

from apps.demonstration import demonstrate
from tabular.cli import app


def run_demo(out: Path) -> Path:
    """Samples, trains, answers the tables that were not trained on, and scores the answers."""
    return demonstrate("tabular", app, out, answered="test")
