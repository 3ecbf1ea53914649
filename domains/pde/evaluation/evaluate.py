"""Scores a folder of predicted fields against a data set: every task, with intervals, beside the mean field."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.pde.data.samples import SPLITS, OperatorData
from domains.pde.data.store import data_files, read_data
from domains.pde.evaluation.metrics import MetricRow, metric_table, score
from domains.pde.evaluation.report import Report, TaskReport
from domains.pde.predicting.figures import Canvas, draw, triple
from domains.pde.predicting.write import DEVIATION, FIELD_FILE
from domains.pde.uncertainty.bands import Calibration, Coverage, coverage
from domains.pde.uncertainty.calibrate import CALIBRATION_FILE, read_calibrations
from polyhead.batch.folder import RESULTS
from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.report import Problem

BASELINE = "mean field"
LEVEL = 0.95
_DONE = ("ok", "skipped")


@dataclass(frozen=True)
class _Found:
    """The predicted fields of some rows of one data set, and what is wrong with the others."""

    rows: NDArray
    fields: NDArray
    ids: dict[int, str]
    problems: list[Problem]
    deviations: dict[int, NDArray]


def evaluate(
    predictions: Path, data: Path, *, split: str = "test", resamples: int = 1000, seed: int = 0, pictures: bool = True
) -> Report:
    """Scores what `predict` answered to the samples of a data set, task by task.

    A sample of the split without a usable answer counts as a field of zeros, a relative L2 error of 1, and is listed.
    Problems of the data set of which nothing was predicted are left out, and named. The mean field, of the training
    samples of each task, is scored beside the model.

    Args:
        predictions: OUT of `predict`.
        data: the data folder or file that was predicted.
        split: "test", "validation", "train" or "all".
        resamples, seed: of the bootstrap over samples.
        pictures: draws the worst and the median sample of each task.

    Raises:
        ValueError: no results, another data set than the one that was predicted, or nothing of it was answered.
    """
    if split not in (*SPLITS, "all"):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}, all")
    results = read_results(predictions)
    calibrations = read_calibrations(predictions / CALIBRATION_FILE)
    tasks: list[TaskReport] = []
    problems: list[Problem] = []
    for problem, path in data_files(data).items():
        asked = {row["record"]["source"]["row"]: row for row in results if _problem_of(row) == problem}
        if not asked:
            problems.append(Problem("not-predicted", problem, "no sample of it was answered; it is not scored"))
            continue
        try:
            samples = read_data(path)
            _check_same(samples, list(asked.values()), path)
        except ValueError as failure:
            problems.append(Problem("data-unusable", problem, str(failure), "left out of the scores; mend the data"))
            continue
        answered = {samples.tasks[samples.task[row]] for row in asked if row < len(samples)}
        chosen = samples.rows() if split == "all" else samples.rows(split=split)  # pyright: ignore[reportArgumentType]
        chosen = np.array([row for row in chosen if samples.tasks[samples.task[row]] in answered], dtype=np.intp)
        if not len(chosen):
            problems.append(Problem("empty-split", problem, f"it has no sample of the split {split!r}"))
            continue
        found = _read_fields(predictions, samples, chosen, asked)
        problems += found.problems
        tasks += _score(samples, found, chosen, calibrations, resamples, seed, pictures)
    if not tasks:
        unusable = next((problem.reason for problem in problems if problem.code == "data-unusable"), "")
        raise ValueError(
            unusable
            or f"{predictions}: holds no answer to a sample of {data}; predict that data set first (split {split})"
        )
    return Report(tuple(tasks), tuple(problems), split, resamples, seed, LEVEL)


def read_results(predictions: Path) -> list[dict[str, Any]]:
    """The lines of ``results.jsonl`` of a prediction; no such file is a `ValueError`."""
    path = predictions / RESULTS
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise ValueError(f"{predictions} holds no {RESULTS}: it is not the OUT of `polyhead pde predict`") from None
    except ValueError as failure:
        raise ValueError(f"{path} is damaged: {failure}; predict again") from None


def read_field(folder: Path) -> dict[str, NDArray]:
    """The arrays of one answer, ``field.npz``.

    Raises:
        ValueError: the file is missing or damaged.
    """
    path = folder / FIELD_FILE
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: predict again, with fields in --save") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as failure:
        raise ValueError(f"{path} cannot be read: {' '.join(str(failure).split())}") from None


def _problem_of(row: dict[str, Any]) -> str | None:
    source = (row.get("record") or {}).get("source") or {}
    return source.get("problem")


def _check_same(data: OperatorData, rows: list[dict[str, Any]], path: Path) -> None:
    here = data.fingerprint()
    other = {row["record"]["source"]["fingerprint"] for row in rows} - {here}
    if other:
        raise ValueError(
            f"{path}: not the data that was predicted (fingerprint {here[:12]}, predicted {sorted(other)[0][:12]}); "
            "give the data set of the prediction, or predict this one"
        )


def _read_fields(predictions: Path, data: OperatorData, rows: NDArray, asked: dict[int, dict[str, Any]]) -> _Found:
    fields = np.zeros((len(rows), data.solution.shape[1]), dtype=np.float32)
    ids: dict[int, str] = {}
    deviations: dict[int, NDArray] = {}
    problems = []
    for place, row in enumerate(rows.tolist()):
        where = f"{data.tasks[data.task[row]]}, row {row}"
        line = asked.get(row)
        if line is None or line["status"] not in _DONE:
            problems.append(Problem("missing", where, "no answer; it counts as a field of zeros", "predict it"))
            continue
        try:
            arrays = read_field(predictions / line["id"])
        except ValueError as failure:
            problems.append(Problem("unreadable", where, f"{failure}; it counts as a field of zeros", "predict it"))
            continue
        field, points = arrays.get("field"), arrays.get("coordinates")
        if field is None or points is None:
            reason = f"{FIELD_FILE} holds no field; it counts as a field of zeros"
            problems.append(Problem("unreadable", where, reason, "predict it"))
            continue
        if points.shape != data.coordinates.shape or not np.allclose(points, data.coordinates):
            reason = "answered at other points than the data's; it counts as a field of zeros"
            problems.append(Problem("other-points", where, reason, "predict without --points and --resolution"))
            continue
        if field.shape != fields.shape[1:]:
            reason = f"a field of shape {field.shape} at {fields.shape[1]} points; it counts as a field of zeros"
            problems.append(Problem("unreadable", where, reason, "predict it"))
            continue
        mask = data.mask[data.geometry[row]]
        if not np.isfinite(field[mask]).all():
            problems.append(Problem("not-finite", where, "the answer is not finite; it counts as a field of zeros"))
            continue
        fields[place] = field
        ids[row] = line["id"]
        if DEVIATION in arrays:
            deviations[row] = arrays[DEVIATION]
    return _Found(rows, fields, ids, problems, deviations)


def _score(
    data: OperatorData,
    found: _Found,
    rows: NDArray,
    calibrations: dict[str, Calibration],
    resamples: int,
    seed: int,
    pictures: bool,
) -> list[TaskReport]:
    values = score(data, rows, found.fields)
    table = metric_table(data, rows, values, resamples=resamples, seed=seed)
    mean, without = _mean_field(data, rows)
    base_values = score(data, rows, mean)
    base = {(line.task, line.metric.name): line for line in metric_table(data, rows, base_values, resamples=1)}
    reports = []
    for index, task in enumerate(data.tasks):
        chosen = np.flatnonzero(data.task[rows] == index)
        lines = tuple(line for line in table if line.task == task)
        if not len(chosen):
            continue
        missing = sum(1 for row in rows[chosen].tolist() if row not in found.ids)
        scores = tuple(
            TaskScore(
                task=task,
                metric=line.metric,
                interval=line.interval,
                baseline=np.nan if task in without else base[task, line.metric.name].interval.value,
                rows=line.rows,
                missing=missing,
            )
            for line in lines
        )
        notes = [f"no training sample of {task}: there is no mean field to compare with"] if task in without else []
        reports.append(
            TaskReport(
                task=task,
                problem=data.problem,
                rows=len(chosen),
                missing=missing,
                baseline=BASELINE,
                scores=scores,
                table=lines,
                errors=tuple(values["relative_l2"][chosen].tolist()),
                coverage=_coverage(data, found, chosen, calibrations.get(task)),
                pictures=_pictures(data, found, lines) if pictures else {},
                notes=tuple(notes),
            )
        )
    return reports


def _mean_field(data: OperatorData, rows: NDArray) -> tuple[NDArray, set[str]]:
    """(len(rows), P): the mean of the training samples of each row's task, 0 outside; and the tasks without any."""
    mean = np.zeros((len(data.tasks), data.solution.shape[1]))
    without = set()
    for index, task in enumerate(data.tasks):
        training = data.rows(task=task, split="train")
        if not len(training):
            without.add(task)
            continue
        # Where geometries differ within a task, a point counts for the samples that it lies inside of.
        counts = data.sample_mask(training).sum(axis=0)
        total = data.solution[training].sum(axis=0, dtype=np.float64)
        mean[index] = np.divide(total, counts, out=np.zeros_like(total), where=counts > 0)
    return np.where(data.sample_mask(rows), mean[data.task[rows]], 0), without


def _coverage(data: OperatorData, found: _Found, chosen: NDArray, calibration: Calibration | None) -> Coverage | None:
    """What the bands cover of the answered samples; None without calibration."""
    kept = [place for place in chosen.tolist() if int(found.rows[place]) in found.ids]
    if calibration is None or not kept:
        return None
    rows = found.rows[kept]
    residual = found.fields[kept].astype(np.float64) - data.solution[rows]
    deviation = None
    if calibration.scale is None and all(row in found.deviations for row in rows.tolist()):
        deviation = np.stack([found.deviations[row] for row in rows.tolist()])
    return coverage(calibration, residual, data.sample_mask(rows), data.coordinates, deviation=deviation)


def _pictures(data: OperatorData, found: _Found, table: tuple[MetricRow, ...]) -> dict[str, tuple[int, bytes]]:
    line = next(line for line in table if line.metric.name == "relative_l2")
    drawn = {}
    for name, row in (("median", line.median_row), ("worst", line.worst_row)):
        if row < 0 or row not in found.ids:
            continue
        mask = data.mask[data.geometry[row]]
        canvas = Canvas(data.coordinates, data.axes, data.grid_shape, mask, data.solution_name)
        place = int(np.flatnonzero(found.rows == row)[0])
        drawn[name] = (row, draw(triple(found.fields[place], data.solution[row]), canvas, dpi=80))
    return drawn
