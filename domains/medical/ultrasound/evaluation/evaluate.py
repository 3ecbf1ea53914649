"""Scores a folder of predictions against labels: every task, with intervals, beside trivial baselines."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.baselines import NAMES, Baselines, fit_baselines
from domains.medical.ultrasound.evaluation.metrics import (
    COLUMN_PREFIX,
    METRICS,
    absent_classes,
    box_iou,
    confusion_scores,
    mask_scores,
    mean_radial_error,
    missing_mask_scores,
    official_auc,
    resize_nearest,
)
from domains.medical.ultrasound.evaluation.reliability import reliabilities
from domains.medical.ultrasound.evaluation.report import Report, TaskReport
from domains.medical.ultrasound.predicting.predictions import (
    BoxAnswer,
    ClassAnswer,
    MaskAnswer,
    PointsAnswer,
    Predictions,
    image_size,
    place,
    read_index_mask,
    read_predictions,
)
from polyhead.evaluation.confusion import confusion
from polyhead.evaluation.evaluate import TaskScore, bootstrap_counts, percentile_interval
from polyhead.evaluation.ranking import auroc
from polyhead.evaluation.report import Problem

LEVEL = 0.95


@dataclass
class _Scored:
    """The scores of one task: all rows with missing predictions at their worst, and the answered rows alone.

    `penalised`, `answered` and `baseline` map metrics to values; `replicates` holds those of the headline's resamples.
    """

    rows: int
    missing: int
    units: int
    penalised: dict[str, float]
    answered: dict[str, float]
    baseline: dict[str, float]
    replicates: dict[str, NDArray[np.float64]]
    per_class: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate(
    predictions: Path,
    data: Path,
    *,
    rows: Sequence[Row] | None = None,
    official: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    baselines_from: Sequence[Row] | None = None,
) -> Report:
    """Scores predictions task by task with the challenge's metrics.

    A missing or unusable prediction counts as the worst score and is listed: DSC and IoU 0; HD, HD95 and MRE the
    diagonal of the image; a wrong class with probability 1. With `official` such rows are skipped and AUC is 0 where a
    class has no row, as in the challenge's public scorer. The report holds both numbers.

    Args:
        predictions: folder with the challenge's files, or the folder above its ``fm-uia/``.
        data: root of the data set, the folder that holds ``csv_files/``; not read where `rows` are given.
        rows: the labelled rows to score; None reads them from `data`.
        official: report the public scorer's numbers as the main ones.
        resamples: resamples of the bootstrap over images.
        seed: of the bootstrap.
        baselines_from: training rows that the trivial baselines are fitted on; a task that they lack, or None, takes
            the scored rows themselves, which favours the baseline.

    Raises:
        ValueError: no labelled rows, no predictions at all, or rows of one task that differ in kind or size.
    """
    problems: list[Problem] = []
    if rows is None:
        from domains.medical.ultrasound.data.fm_uia import read_tables

        tables = read_tables(data)
        rows = tables.rows
        problems += tables.problems
    labelled = [row for row in rows if _has_label(row)]
    problems += [
        Problem("row-unlabelled", place(row), "no label to score against") for row in rows if not _has_label(row)
    ]
    if not labelled:
        raise ValueError(f"{data}: no labelled rows to score; give tables with labels")
    tasks = _by_task(labelled)
    answers = read_predictions(predictions, rows)
    problems += answers.problems

    _by_task([*labelled, *(baselines_from or ())])  # training rows must fit the scored ones
    training = fit_baselines(baselines_from or ())
    unseen = [task for task in tasks if task not in training.values]
    fitted_here = fit_baselines(row for task in unseen for row in tasks[task])
    baselines = Baselines({**fitted_here.values, **training.values})

    scored: dict[str, _Scored] = {}
    for task, members in tasks.items():
        scoring = _score_classification if members[0].kind == "classification" else _score_by_row
        # Tasks draw their resamples independently, whichever other tasks are there.
        result = scoring(members, answers, baselines, official, resamples, seed + zlib.crc32(task.encode()), problems)
        if task in unseen and members[0].kind != "segmentation":
            result.notes.append("the baseline is fitted on the scored rows themselves, which favours it")
        scored[task] = result

    reports = tuple(_task_report(task, tasks[task], result, official) for task, result in scored.items())
    return Report(
        tasks=reports,
        means=_means(tasks, scored, official, resamples),
        problems=tuple(problems),
        official=official,
        resamples=resamples,
        seed=seed,
        level=LEVEL,
        reliability=reliabilities(predictions, answers, labelled, resamples=resamples, seed=seed),
    )


def _score_by_row(
    rows: list[Row],
    answers: Predictions,
    baselines: Baselines,
    official: bool,
    resamples: int,
    seed: int,
    problems: list[Problem],
) -> _Scored:
    """Metrics that are means over images: values of shape (rows, metrics, classes), one class but for masks."""
    kind = rows[0].kind
    names = [metric.name for metric in METRICS[kind]]
    score: Callable[..., tuple[NDArray, NDArray, bool]] = _SCORE_ROW[kind]
    values, trivial, answered, kept = [], [], [], []
    for row in rows:
        try:
            value, baseline, found = score(row, answers, baselines, problems)
        except ValueError as error:
            problems.append(Problem("row-unscorable", place(row), str(error), "left out of the scores; mend the data"))
            continue
        values.append(value)
        trivial.append(baseline)
        answered.append(found)
        kept.append(row)
    if not kept:
        nothing = dict.fromkeys(names, math.nan)
        return _Scored(0, 0, 0, nothing, nothing, nothing, {}, notes=["no row of this task can be scored"])

    table, base, found = np.stack(values), np.stack(trivial), np.array(answered)
    chosen = found if official else np.ones(len(kept), dtype=bool)
    replicates: dict[str, list[NDArray]] = {name: [] for name in names}
    images = [row.image_path for row, keep in zip(kept, chosen, strict=True) if keep]
    per_image = table[chosen].mean(axis=2)
    if images:
        for counts in bootstrap_counts(len(images), groups=images, resamples=resamples, seed=seed):
            means = counts @ per_image / counts.sum(axis=1, keepdims=True)
            for index, name in enumerate(names):
                replicates[name].append(means[:, index])
    per_class = {}
    if kind == "segmentation" and images:
        per_class = {name: tuple(table[chosen, i].mean(axis=0).tolist()) for i, name in enumerate(names)}
    notes = []
    if not np.isfinite(base).all():
        notes.append("the baseline leaves out rows whose image cannot be read, or has nothing to be fitted on")
    return _Scored(
        rows=len(kept),
        missing=int((~found).sum()),
        units=len(set(images)),
        penalised=_column_means(names, table),
        answered=_column_means(names, table[found]),
        baseline=_column_means(names, base[np.isfinite(base).all(axis=(1, 2))]),
        replicates={name: np.concatenate(parts) for name, parts in replicates.items() if parts},
        per_class=per_class,
        notes=notes,
    )


def _score_mask(
    row: Row, answers: Predictions, baselines: Baselines, problems: list[Problem]
) -> tuple[NDArray, NDArray, bool]:
    assert row.mask is not None
    label = read_index_mask(row.mask)
    if label.size and int(label.max()) >= row.outputs:
        reason = f"label values up to {int(label.max())} are not in [0, {row.outputs})"
        problems.append(Problem("label-values", place(row), reason, "they count as no class; mend the mask"))
    # The empty mask: DSC 1 and distance 0 where the class is absent, else the worst score.
    diagonal = math.hypot(*label.shape)
    empty = np.array([float(not (label == index).any()) for index in range(1, row.outputs)])
    baseline = np.stack([empty, (1 - empty) * diagonal, (1 - empty) * diagonal])

    answer, found = answers.answer(row)
    problems += found
    if not isinstance(answer, MaskAnswer):
        problems.append(_missing(row))
        worst = missing_mask_scores(label.shape, row.outputs)
        return np.stack([worst.dsc, worst.hd, worst.hd95]), baseline, False
    mask = answer.mask
    if mask.shape != label.shape:
        reason = f"a mask of {mask.shape[1]} x {mask.shape[0]} for a label of {label.shape[1]} x {label.shape[0]}"
        problems.append(Problem("mask-size", place(row), f"{reason}; resized to it, nearest", "write the image's size"))
        mask = resize_nearest(mask, (label.shape[0], label.shape[1]))
    scores = mask_scores(mask, label, row.outputs)
    return np.stack([scores.dsc, scores.hd, scores.hd95]), baseline, True


def _score_box(
    row: Row, answers: Predictions, baselines: Baselines, problems: list[Problem]
) -> tuple[NDArray, NDArray, bool]:
    assert row.box is not None
    trivial = baselines.answer(row)
    baseline = float(box_iou(trivial.box, row.box)) if isinstance(trivial, BoxAnswer) else math.nan
    answer, _ = answers.answer(row)
    found = isinstance(answer, BoxAnswer)
    if not found:
        problems.append(_missing(row))
    value = float(box_iou(answer.box, row.box)) if isinstance(answer, BoxAnswer) else 0.0
    return np.array([[value]]), np.array([[baseline]]), found


def _score_points(
    row: Row, answers: Predictions, baselines: Baselines, problems: list[Problem]
) -> tuple[NDArray, NDArray, bool]:
    assert row.points is not None
    trivial = baselines.answer(row)
    baseline = float(mean_radial_error(trivial.points, row.points)) if isinstance(trivial, PointsAnswer) else math.nan
    answer, _ = answers.answer(row)
    if isinstance(answer, PointsAnswer):
        return np.array([[float(mean_radial_error(answer.points, row.points))]]), np.array([[baseline]]), True
    problems.append(_missing(row))
    size = image_size(row.image)
    if size is None:
        raise ValueError(f"no prediction, and the size of the image {row.image} cannot be read for the worst score")
    return np.array([[math.hypot(*size)]]), np.array([[baseline]]), False


_SCORE_ROW = {"segmentation": _score_mask, "detection": _score_box, "keypoints": _score_points}


def _score_classification(
    rows: list[Row],
    answers: Predictions,
    baselines: Baselines,
    official: bool,
    resamples: int,
    seed: int,
    problems: list[Problem],
) -> _Scored:
    """Metrics of all rows of a task together."""
    classes = rows[0].outputs
    label = np.array([row.label for row in rows], dtype=np.intp)
    # A missing answer is the next class with probability 1: wrong, and last in every ranking.
    predicted = (label + 1) % max(classes, 2)
    answered = np.zeros(len(rows), dtype=bool)
    given = np.zeros(len(rows), dtype=bool)
    probabilities = np.zeros((len(rows), max(classes, 2)))
    for index, row in enumerate(rows):
        answer, _ = answers.answer(row)
        if isinstance(answer, ClassAnswer):
            answered[index], predicted[index] = True, answer.predicted
            given[index] = bool(answer.probabilities)
            probabilities[index, :classes] = answer.probabilities or np.eye(classes)[answer.predicted]
        else:
            problems.append(_missing(row))
            probabilities[index, predicted[index]] = 1.0

    def scores(weights: NDArray, of: NDArray) -> dict[str, NDArray]:
        counts = confusion(label[of], predicted[of], max(classes, 2), weights)
        return {**confusion_scores(counts), "AUC": auroc(label[of], probabilities[of], weights)}

    def official_scores() -> dict[str, float]:
        if not answered.any():
            return dict.fromkeys(names, math.nan)
        area = official_auc(label[answered], probabilities[answered, :classes] if given[answered].all() else None)
        once = np.ones(int(answered.sum()))
        return {name: float(value) for name, value in scores(once, answered).items()} | {"AUC": area}

    names = [metric.name for metric in METRICS["classification"]]
    everything = np.ones(len(rows), dtype=bool)
    chosen = answered if official else everything
    replicates: dict[str, list[NDArray]] = {name: [] for name in names}
    images = [row.image_path for row, keep in zip(rows, chosen, strict=True) if keep]
    if images:
        for counts in bootstrap_counts(len(images), groups=images, resamples=resamples, seed=seed):
            for name, values in scores(counts, chosen).items():
                replicates[name].append(values)
    skipping = official_scores()
    if official and skipping["AUC"] == 0:
        replicates.pop("AUC")
    notes = []
    absent = absent_classes(label, classes)
    if absent:
        notes.append(f"no row of class {', '.join(map(str, absent))}: left out of AUC; the public scorer gives AUC 0")
    trivial = ClassAnswer(baselines.values[rows[0].task])
    constant = np.full(len(rows), trivial.predicted)
    base = confusion_scores(confusion(label, constant, max(classes, 2)))
    tied = np.tile(np.pad(trivial.probabilities, (0, max(0, 2 - classes))), (len(rows), 1))
    return _Scored(
        rows=len(rows),
        missing=int((~answered).sum()),
        units=len(set(images)),
        penalised={name: float(value) for name, value in scores(np.ones(len(rows)), everything).items()},
        answered=skipping,
        baseline={name: float(value) for name, value in base.items()} | {"AUC": float(auroc(label, tied))},
        replicates={name: np.concatenate(parts) for name, parts in replicates.items() if parts},
        notes=notes,
    )


def _task_report(task: str, rows: list[Row], result: _Scored, official: bool) -> TaskReport:
    headline, other = (result.answered, result.penalised) if official else (result.penalised, result.answered)
    scores = tuple(
        TaskScore(
            task=task,
            metric=metric,
            interval=percentile_interval(
                headline[metric.name],
                result.replicates.get(metric.name, np.empty(0)),
                level=LEVEL,
                units=result.units,
            ),
            baseline=result.baseline[metric.name],
            alternative=other[metric.name],
            rows=result.rows,
            missing=result.missing,
        )
        for metric in METRICS[rows[0].kind]
    )
    kind = rows[0].kind
    return TaskReport(
        task,
        kind,
        rows[0].outputs,
        result.rows,
        result.missing,
        NAMES[kind],
        scores,
        result.per_class,
        tuple(result.notes),
    )


def _means(
    tasks: dict[str, list[Row]], scored: dict[str, _Scored], official: bool, resamples: int
) -> dict[str, TaskScore]:
    """The leaderboard's columns: means over the tasks of a kind in which the metric is defined."""
    means = {}
    for kind, metrics in METRICS.items():
        results = [scored[task] for task, rows in tasks.items() if rows[0].kind == kind]
        if not results:
            continue
        for metric in metrics:
            name, column = metric.name, f"{COLUMN_PREFIX[kind]}_{metric.name}"
            headline = [result.answered[name] if official else result.penalised[name] for result in results]
            other = [result.penalised[name] if official else result.answered[name] for result in results]
            # A task without resamples (one that the official rule scores 0) enters every mean with its value.
            drawn = [
                result.replicates.get(name, np.full(resamples, value))
                for result, value in zip(results, headline, strict=True)
                if math.isfinite(value)
            ]
            means[column] = TaskScore(
                task=column,
                metric=metric,
                interval=percentile_interval(
                    _mean_defined(headline),
                    np.mean(drawn, axis=0) if drawn else np.empty(0),
                    level=LEVEL,
                    units=min(result.units for result in results),
                ),
                baseline=_mean_defined([result.baseline[name] for result in results]),
                alternative=_mean_defined(other),
                rows=sum(result.rows for result in results),
                missing=sum(result.missing for result in results),
            )
    return means


def _by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by task, in order; rows of one task that differ in kind or size, and classes outside it, are errors."""
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        members = tasks.setdefault(row.task, [])
        members.append(row)
        if (row.kind, row.outputs) != (members[0].kind, members[0].outputs):
            raise ValueError(
                f"{place(row)}: {row.kind} with num_classes {row.outputs}, but its task began as {members[0].kind} "
                f"with {members[0].outputs}; give each task one kind and number"
            )
        if row.label is not None and not 0 <= row.label < row.outputs:
            raise ValueError(f"{place(row)}: class {row.label} is not in [0, {row.outputs}); mend the table")
    return tasks


def _has_label(row: Row) -> bool:
    label = {"segmentation": row.mask, "classification": row.label, "detection": row.box, "keypoints": row.points}
    return label[row.kind] is not None


def _missing(row: Row) -> Problem:
    return Problem("prediction-missing", place(row), "no usable prediction", "counts as the worst score")


def _column_means(names: list[str], table: NDArray) -> dict[str, float]:
    """Means over images, then over classes, of (rows, metrics, classes)."""
    if len(table) == 0:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, table.mean(axis=0).mean(axis=1).tolist(), strict=True))


def _mean_defined(values: list[float]) -> float:
    defined = [value for value in values if math.isfinite(value)]
    return sum(defined) / len(defined) if defined else math.nan
