"""Scores on the rows that chose the epoch of a run's weights say so, in every application."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from polyhead.runs.chosen import chosen_epoch
from polyhead.runs.run import Run, RunInfo

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class _Scored(DataclassInstance, Protocol):
        @property
        def remarks(self) -> tuple[str, ...]: ...


Report = TypeVar("Report", bound="_Scored")

_BATCH_FILES = ("batch.json", "run.json")


def run_of(predictions: Path) -> RunInfo | None:
    """What is known of the run that answered a batch; None where no batch or no run is found."""
    for name in _BATCH_FILES:
        try:
            about = json.loads((predictions / name).read_text(encoding="utf-8"))
            return Run.open(about["info"]["run"]).info
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def with_chosen_epoch(report: Report, info: RunInfo | None, *, on_validation: bool) -> Report:
    """A report that says so where rows that it scores chose the epoch of the run's weights.

    Args:
        on_validation: whether validation rows of the run are among those that are scored.
    """
    words = chosen_epoch(info) if info is not None and on_validation else None
    return report if words is None else replace(report, remarks=(*report.remarks, words))
