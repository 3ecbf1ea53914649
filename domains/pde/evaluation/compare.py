"""Compares an evaluation with single-task models on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domains.pde.evaluation.against import Against, Single
from domains.pde.evaluation.evaluate import evaluate
from domains.pde.evaluation.metrics import MAIN_METRIC
from domains.pde.evaluation.report import Report
from domains.pde.uncertainty.residuals import residuals
from polyhead.batch.folder import RESULTS


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
        report = evaluate(folder, data, split=split, resamples=1, pictures=False)
        if report.missing:
            raise ValueError(f"--against {folder}: {report.missing} samples have no answer; predict them first")
        return {task.task: task.score(MAIN_METRIC).interval.value for task in report.tasks if task.task in tasks}
    from domains.pde.predicting.predict import PDEPredictor

    predictor = PDEPredictor(folder, device=device)
    found = {}
    for task in predictor.asker.asked:
        if task in tasks:
            held = residuals(predictor, data, task, split)
            wrong, size = (np.linalg.norm(np.where(held.mask, each, 0), axis=1) for each in (held.error, held.true))
            found[task] = float(np.mean(wrong[size > 0] / size[size > 0])) if (size > 0).any() else math.nan
    return found
