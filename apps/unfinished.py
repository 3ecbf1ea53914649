"""A run whose training has not finished says so wherever it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from apps.terminal import say
from polyhead.evaluation.report import Problem
from polyhead.runs.run import Run
from polyhead.runs.unfinished import UNFINISHED, UNFINISHED_CODE, unfinished

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class _Scored(DataclassInstance, Protocol):
        @property
        def problems(self) -> tuple[Problem, ...]: ...


Report = TypeVar("Report", bound="_Scored")

_BATCH_FILES = ("batch.json", "run.json")


def warn_unfinished(folder: Path) -> None:
    """A line on the terminal where the training of a run has not finished; what is no run is left to others."""
    try:
        words = unfinished(Run.open(folder))
    except ValueError:
        return
    if words:
        say(f"warning: {folder}: {words}")


def with_unfinished(report: Report, predictions: Path) -> Report:
    """A report of scores, with a problem at its head where the answers are of an unfinished training."""
    said = _about(predictions)
    if not (words := said.get(UNFINISHED)):
        return report
    problem = Problem(UNFINISHED_CODE, str(said.get("run", "")), str(words), "finish it: `train` with --resume goes on")
    return replace(report, problems=(problem, *report.problems))


def _about(predictions: Path) -> dict[str, Any]:
    """What the batch in a folder says of its run; nothing where no batch wrote it."""
    for name in _BATCH_FILES:
        try:
            said = json.loads((predictions / name).read_text(encoding="utf-8"))["info"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(said, dict):
            return said
    return {}
