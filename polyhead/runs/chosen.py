"""Which rows chose the epoch whose weights a run keeps: scores on them are better than on others. Needs no torch."""

from __future__ import annotations

from polyhead.runs.info import RunInfo


def chosen_epoch(info: RunInfo) -> str | None:
    """What is to be said beside scores on a run's validation rows; None where they had nothing to choose from."""
    metrics = info.metrics
    epochs = metrics.get("epochs_done", 0)
    every = info.configuration.get("training", {}).get("validate_every", 1)
    if "score" not in metrics or -(-epochs // every) < 2:
        return None
    return (
        f"The validation rows among these chose the epoch whose weights were kept, {metrics['epoch']} of {epochs}: "
        "their scores are optimistic."
    )
