"""What is to be said wherever a run answers whose training has not finished. Needs no torch."""

from __future__ import annotations

from polyhead.runs.run import Run

UNFINISHED = "unfinished"
"""The key of these words in what a batch says of its run, and ..."""

UNFINISHED_CODE = "unfinished-training"
"""... the code of the problem that an evaluation makes of them."""


def unfinished(run: Run) -> str | None:
    """How far the training of a run is that has not finished, in one line; None for one that has."""
    if run.info.finished:
        return None
    epochs = run.info.configuration.get("training", {}).get("epochs")
    try:
        done = max((line.get("epoch", 0) for line in run.metrics()), default=0)
    except ValueError:
        done = None
    far = f" (epoch {done} of {epochs})" if done is not None and epochs else ""
    return f"the training has not finished{far}: these are answers of an early state of the model"
