"""`polyhead genomics predict` and `evaluate`: answers for sequences, and their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.flags import (
    Device,
    DryRun,
    Engine,
    FailFast,
    Full,
    LogJson,
    Overwrite,
    Quiet,
    ReportFolder,
    Resamples,
    Results,
    RetryFailed,
    Run,
    ScoresAsJson,
    Seed,
    Shard,
    Task,
    Threads,
    Timeout,
    read_shard,
)
from apps.genomics.data_verbs import Data
from apps.terminal import show_report


def predict(run: Run, source: Annotated[str, typer.Argument(metavar="INPUT")], out: Results) -> None:
    """Answers every sequence."""
    raise NotImplementedError


def evaluate(predictions: Annotated[Path, typer.Argument()], data: Data) -> None:
    """Scores predictions."""
    raise NotImplementedError
