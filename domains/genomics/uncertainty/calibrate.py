"""Temperatures that make a run's probabilities honest: one a task, fitted on validation rows, saved with the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from domains.genomics.data.labelled import read_labelled
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.uncertainty.temperature import Temperature, fit_temperature, write_calibrations


class Answering(Protocol):
    """The part of `domains.genomics.predicting.asked_run.AskedRun` that is needed here."""

    @property
    def path(self) -> Path: ...

    @property
    def labels(self) -> Mapping[str, Sequence[str]]: ...

    def strands(self, task: str, both: bool) -> str: ...

    def probabilities(
        self, sequences: Sequence[str], tasks: Sequence[str], *, both: bool = True, calibrated: bool = True
    ) -> list[dict[str, np.ndarray]]: ...


def calibrate_run(
    asked: Answering,
    data: Path,
    *,
    split: str = "validation",
    tasks: Sequence[str] | None = None,
    reverse_complement: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Fits a temperature to every classification task of a run that `data` has rows of, into RUN/calibration.json.

    Validation rows chose the weights that were kept, which makes the model look a little surer of them than it may be;
    rows that the training never saw are fairer, where there are any.

    The run is asked as `predict` asks it: a task whose answer the other strand changes is fitted on the given strand.

    Args:
        asked: the run.
        split: the rows to fit on; "train" is refused.
        tasks: only these.
        reverse_complement: fit to the mean over both strands, for the tasks that allow it; predictions must then be
            made in the same way.

    Returns:
        what the file says.

    Raises:
        ValueError: training rows, an unknown task, or no task with enough rows.
    """
    if split not in ("validation", "test"):
        raise ValueError(f"calibration needs rows that were not trained on: validation or test, got {split!r}")
    rows = read_labelled(data, tasks=tasks)
    found: dict[str, Temperature] = {}
    for task, labels in asked.labels.items():
        if task not in rows.tasks:
            continue
        chosen = rows.take(rows.rows(task=task, split=split))
        place = {label: index for index, label in enumerate(labels)}
        unknown = sorted({label for label in chosen.label.tolist() if label not in place})
        if unknown:
            say(f"{task}: not calibrated: the run has no class {', '.join(unknown)}")
            continue
        target = np.array([place[label] for label in chosen.label.tolist()], dtype=np.intp)
        shares = np.empty((len(chosen), len(labels)))
        if len(chosen):
            scored = asked.probabilities(chosen.sequences, [task], both=reverse_complement, calibrated=False)
            shares = np.stack([each[task] for each in scored])
        try:
            found[task] = fit_temperature(task, shares, target)
        except ValueError as refused:
            say(f"not calibrated: {refused}")
    if not found:
        raise ValueError(f"nothing was calibrated: {data} has too few {split} rows of the run's classification tasks")
    strands = {task: asked.strands(task, reverse_complement) for task in found}
    return write_calibrations(
        asked.path, found, data=str(data), split=split, reverse_complement=reverse_complement, strands=strands
    )


def calibrated_strands(run: Path, both_strands: Collection[str]) -> dict[str, str]:
    """For each temperature of a calibrated run "both" or "forward", the strands that it was fitted for.

    Args:
        both_strands: tasks of which the other strand has the same answer, for files that do not say it by task.
    """
    said = json.loads((run / CALIBRATION_FILE).read_text(encoding="utf-8"))
    whole = bool(said.get("reverse_complement"))
    told = said.get("strands", {})
    return {
        task: told.get(task, "both" if whole and task in both_strands else "forward") for task in said.get("tasks", {})
    }
