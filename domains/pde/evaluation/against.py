"""What learning several tasks at once gains or costs: Δm of an evaluation against runs of single tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.evaluation.report import MAIN_METRIC, Report
from polyhead.batch.folder import RESULTS
from polyhead.evaluate import delta_m


@dataclass(frozen=True)
class Single:
    """Mean relative L2 of one task by the model that learned it alone, and the folder that says so."""

    value: float
    folder: str


@dataclass(frozen=True)
class Against:
    """The errors of an evaluation beside those of single-task models.

    Attributes:
        multi: mean relative L2 of each task that is compared, by the model that was evaluated.
        single: the same by the single-task models.
        missing: tasks of the evaluation that no single-task model answers.
    """

    multi: Mapping[str, float]
    single: Mapping[str, Single]
    missing: tuple[str, ...] = ()

    @property
    def delta_m(self) -> float:
        """Mean over the tasks, in percent; see `polyhead.evaluate.delta_m`."""
        alone = [self.single[task].value for task in self.multi]
        return delta_m(list(self.multi.values()), alone, [False] * len(alone))

    def of(self, task: str) -> float:
        """Δm of one task, in percent: negative where learning the tasks together has the smaller error."""
        return delta_m([self.multi[task]], [self.single[task].value], [False])

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "metric": MAIN_METRIC,
            "delta_m": self.delta_m,
            "unit": "percent, lower is better",
            "tasks": {
                task: {
                    "multi": self.multi[task],
                    "single": single.value,
                    "delta_m": self.of(task),
                    "against": single.folder,
                }
                for task, single in self.single.items()
            },
            "missing": list(self.missing),
        }

    def lines(self) -> list[str]:
        """A line a task and one of the mean."""
        found = [
            f"{task}: {100 * self.multi[task]:.2f} % with the others, {100 * self.single[task].value:.2f} % alone "
            f"({self.single[task].folder}): Δm {self.of(task):+.1f} %"
            for task in self.multi
        ]
        found.append(f"mean of {len(self.multi)} tasks: Δm {self.delta_m:+.1f} % of relative L2; below 0 is a gain")
        if self.missing:
            found.append(f"not compared, no single-task model answers them: {', '.join(self.missing)}")
        return found


def compare(report: Report, folders: Sequence[Path], data: Path, *, device: str = "auto") -> Against:
    """Δm of an evaluation against single-task models on the same samples.

    Args:
        report: the evaluation of the model of several tasks.
        folders: of each single-task model its run, which then answers here, or the OUT of its `predict`.
        data: the data that were evaluated.
        device: what runs answer on.

    Raises:
        ValueError: a folder that is neither, one with answers missing, a task that two answer, or no task in common.
    """
    multi = {task.task: task.score(MAIN_METRIC).interval.value for task in report.tasks}
    single: dict[str, Single] = {}
    for folder in folders:
        for task, value in _errors(folder, data, report.split, list(multi), device).items():
            if task in single:
                raise ValueError(f"--against: {single[task].folder} and {folder} both answer {task}; give one of them")
            single[task] = Single(value, str(folder))
    compared = {task: value for task, value in multi.items() if task in single}
    if not compared:
        raise ValueError(f"--against: no task of the evaluation ({', '.join(multi)}) is answered there")
    undefined = [task for task, value in compared.items() if not (math.isfinite(value) and single[task].value > 0)]
    if undefined:
        raise ValueError(f"--against: no relative error of {undefined[0]} to compare")
    missing = tuple(task for task in multi if task not in single)
    return Against(compared, {task: single[task] for task in compared}, missing)


def _errors(folder: Path, data: Path, split: str, tasks: list[str], device: str) -> dict[str, float]:
    """Mean relative L2 of the tasks among `tasks` that a folder answers."""
    if (folder / RESULTS).is_file():
        from domains.pde.evaluation.evaluate import evaluate

        report = evaluate(folder, data, split=split, resamples=1, pictures=False)
        if report.missing:
            raise ValueError(f"--against {folder}: {report.missing} samples have no answer; predict them first")
        return {task.task: task.score(MAIN_METRIC).interval.value for task in report.tasks if task.task in tasks}
    from domains.pde.predicting.predict import PDEPredictor
    from domains.pde.uncertainty.calibrate import residuals

    predictor = PDEPredictor(folder, device=device, plots=False)
    found = {}
    for task in predictor.asker.asked:
        if task in tasks:
            held = residuals(predictor, data, task, split)
            wrong, size = (np.linalg.norm(np.where(held.mask, each, 0), axis=1) for each in (held.error, held.true))
            found[task] = float(np.mean(wrong[size > 0] / size[size > 0])) if (size > 0).any() else math.nan
    return found
