"""Scores predictions against labels: every task, with intervals, beside a baseline and what the split gives away."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domains.genomics.data.labelled import LabelledData, read_labelled
from domains.genomics.data.splits import TEST, TRAIN, sequence_groups
from domains.genomics.evaluation.baselines import BASELINES
from domains.genomics.evaluation.leakage import LeakageReport, leakage_report
from domains.genomics.evaluation.metrics import (
    METRICS,
    classification_scores,
    image_rows,
    number_scores,
    text_rows,
)
from domains.genomics.evaluation.report import Report, TaskReport
from domains.genomics.predicting.predictions import Prediction, read_predictions
from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.intervals import interval, statistic_replicates
from polyhead.evaluation.report import Problem
from polyhead.uncertainty.reliability import reliability
from polyhead.uncertainty.temperature import read_calibrations

LEVEL = 0.95
_LISTED = 20  # missing answers of a task that are listed one by one

Scores = Callable[[NDArray | None], dict[str, NDArray]]
"""Row weights (..., n), or None for once each, to the metrics, each of shape (...)."""


@dataclass
class _Scored:
    """What a kind's scoring found: its metrics as a function of row weights, and which rows had an answer."""

    scores: Scores
    answered: NDArray[np.bool_]
    confidence: tuple[NDArray, NDArray] | None = None
    notes: list[str] = field(default_factory=list)


def evaluate(
    predictions: Path | Mapping[tuple[str, str], Prediction],
    data: Path | LabelledData,
    *,
    split: str = TEST,
    baseline: str = "majority",
    leakage: bool = True,
    name: str = "",
    run: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """Scores what was answered to the labelled rows of a split, task by task.

    A row without a usable answer counts as wrong: a class as the next one with probability 1, a number as the farthest
    of the labels, a text or an image as nothing. Intervals are of the bootstrap over distinct sequences, both strands
    of one drawn together. Tasks of which nothing was answered are left out, and named.

    Args:
        predictions: OUT of `predict`, a table of predictions, or what `read_predictions` gave.
        data: the labelled data.
        split: "train", "validation", "test" or "all".
        baseline: of the classification tasks, a name of `BASELINES`, fitted on the training rows of `data`; the
            baseline of other kinds is the mean number or the most frequent answer of these rows.
        leakage: count what the rows share with the training rows of `data`, where there are any.
        run: the run that answered, whose temperatures are shown; None looks for a calibration in `predictions`.
        name: of this evaluation, where several are shown side by side ("random", "purged").
        resamples, seed: of the bootstrap.

    Raises:
        ValueError: an unknown split or baseline, no row of the split, or none that was answered.
    """
    if split not in (TRAIN, "validation", TEST, "all"):
        raise ValueError(f"unknown split {split!r}; known: train, validation, test, all")
    _ = BASELINES[baseline]
    told_by = run or (predictions if isinstance(predictions, Path) and predictions.is_dir() else None)
    calibrations = read_calibrations(told_by) if told_by else {}
    broken: list[Problem] = []
    found = read_predictions(predictions, broken) if isinstance(predictions, Path) else predictions
    rows = data if isinstance(data, LabelledData) else read_labelled(data)
    where = "the data" if isinstance(data, LabelledData) else str(data)
    problems = [*rows.problems, *broken]
    chosen = rows if split == "all" else rows.take(rows.rows(split=split))
    if not len(chosen):
        have = ", ".join(sorted({str(side) or "none named" for side in rows.split}))
        raise ValueError(f"{where} has no row of the split {split!r}; it has: {have}")
    answered = {task for _, task in found}
    reports = []
    scorings: dict[str, tuple[NDArray, Scores]] = {}
    for task in chosen.tasks:
        if task not in answered:
            problems.append(Problem("not-predicted", task, "nothing was answered; it is not scored", "predict it"))
            continue
        places = chosen.rows(task=task)
        report, scores = _task(chosen.take(places), task, rows, found, problems, baseline, resamples, seed)
        reports.append(report)
        if report.kind == "classification":
            scorings[task] = places, scores
    if not reports:
        raise ValueError(f"none of the tasks of {where} was answered ({', '.join(chosen.tasks)}); predict them first")
    told = None
    if leakage and split != "all" and split != TRAIN and (rows.split == TRAIN).any():
        side = np.where(rows.split == TRAIN, TRAIN, np.where(rows.split == split, TEST, ""))
        told = leakage_report(rows.sequences, rows.task.tolist(), rows.label.tolist(), side, seed=seed)
    return Report(
        tasks=tuple(reports),
        mean=_mean(reports, scorings, chosen.sequences, resamples, seed),
        problems=tuple(problems),
        split=split,
        baseline=baseline,
        resamples=resamples,
        seed=seed,
        level=LEVEL,
        name=name,
        leakage=told,
        calibrations=calibrations,
    )


def _task(
    mine: LabelledData,
    task: str,
    rows: LabelledData,
    found: Mapping[tuple[str, str], Prediction],
    problems: list[Problem],
    baseline: str,
    resamples: int,
    seed: int,
) -> tuple[TaskReport, Scores]:
    """The report of one task, and its metrics as a function of row weights."""
    facts = mine.facts[task]
    given = [found.get((sequence, task)) for sequence in mine.sequences]
    scored = _SCORE[facts.kind](mine, task, given)
    training = rows.take(rows.rows(task=task, split=TRAIN))
    notes = list(scored.notes)
    base: dict[str, NDArray] = {}
    if len(training):
        answers = _baseline(mine, training, task, baseline)
        base = _SCORE[facts.kind](mine, task, answers).scores(None)
    else:
        notes.append("no training row in the data: there is no baseline")
    missing = np.flatnonzero(~scored.answered)
    for row in missing[:_LISTED].tolist():
        shown = mine.sequences[row][:20]
        problems.append(Problem("missing", f"{task}, {shown}…", "no usable answer; it counts as wrong", "predict it"))
    if len(missing) > _LISTED:
        problems.append(Problem("missing", task, f"{len(missing) - _LISTED} more rows have no usable answer"))
    groups = sequence_groups(mine.sequences).tolist()
    bounded = facts.kind != "number"
    unseen = _with_unseen(mine, task, given) if bounded else scored.scores
    # Tasks draw their resamples independently, whichever other tasks are there.
    own = seed + zlib.crc32(task.encode())
    replicates = statistic_replicates(unseen, len(mine), bounded=bounded, groups=groups, resamples=resamples, seed=own)
    values = scored.scores(None)
    metrics = METRICS[facts.kind]
    scores = tuple(
        TaskScore(
            task=task,
            metric=metric,
            interval=interval(float(values[metric.name]), replicates[metric.name], level=LEVEL, units=len(set(groups))),
            baseline=float(base.get(metric.name, math.nan)),
            rows=len(mine),
            missing=len(missing),
        )
        for metric in metrics
    )
    report = TaskReport(
        task=task,
        kind=facts.kind,
        labels=facts.labels,
        rows=len(mine),
        missing=len(missing),
        sequences=len(set(groups)),
        baseline=baseline if facts.kind == "classification" else _OTHER_BASELINES[facts.kind],
        scores=scores,
        bins=reliability(*scored.confidence) if scored.confidence else (),
        notes=tuple(notes),
    )
    return report, unseen


def _with_unseen(mine: LabelledData, task: str, given: list[Prediction | None]) -> Scores:
    """The metrics under weights (..., 3 n): of the rows, of the same unanswered, and of the same well answered."""
    n = len(mine)
    right = [
        Prediction(sequence, task, label, {label: 1.0})
        for sequence, label in zip(mine.sequences, mine.label.tolist(), strict=True)
    ]
    thrice = mine.take(np.tile(np.arange(n), 3))
    return _SCORE[mine.facts[task].kind](thrice, task, [*given, *[None] * n, *right]).scores


def _classes(mine: LabelledData, task: str, given: list[Prediction | None]) -> _Scored:
    labels = mine.facts[task].labels
    place = {label: index for index, label in enumerate(labels)}
    target = np.array([place[label] for label in mine.label.tolist()], dtype=np.intp)
    size = max(2, len(labels))
    # A missing answer is the next class with probability 1: wrong, and last in every ranking.
    predicted = (target + 1) % size
    shares = np.eye(size)[predicted]
    answered = np.zeros(len(mine), dtype=bool)
    hard = 0
    for row, each in enumerate(given):
        if each is None or each.answer not in place:
            continue
        answered[row] = True
        predicted[row] = place[each.answer]
        own = np.array([each.probabilities.get(label, 0.0) for label in labels] + [0.0] * (size - len(labels)))
        hard += not own.sum() > 0
        shares[row] = own / own.sum() if own.sum() > 0 else np.eye(size)[predicted[row]]
    notes = []
    if hard:
        notes.append(f"{hard} answers have no probabilities: they count as certain, in AUROC, AUPRC and ECE too")
    absent = [label for index, label in enumerate(labels) if not (target == index).any()]
    if absent:
        notes.append(f"no row of class {', '.join(absent)}: left out of AUROC and AUPRC")

    def scores(weights: NDArray | None) -> dict[str, NDArray]:
        return classification_scores(target, shares, predicted, weights)

    sure = shares[np.arange(len(target)), predicted]
    return _Scored(scores, answered, (sure[answered], (predicted == target)[answered]), notes)


def _numbers(mine: LabelledData, task: str, given: list[Prediction | None]) -> _Scored:
    target = np.array([float(label) for label in mine.label])
    values = np.full(len(mine), np.nan)
    for row, each in enumerate(given):
        if each is not None and each.answer is not None:
            try:
                values[row] = float(each.answer)
            except ValueError:
                continue
    answered = np.isfinite(values)
    low, high = target.min(), target.max()
    farthest = np.where(target - low > high - target, low, high)
    values = np.where(answered, values, farthest)
    return _Scored(lambda weights: number_scores(target, values, weights), answered)


def _rowwise(mine: LabelledData, task: str, given: list[Prediction | None]) -> _Scored:
    kind = mine.facts[task].kind
    answers = [None if each is None else each.answer for each in given]
    table = (text_rows if kind == "text" else image_rows)(mine.label.tolist(), answers)
    names = [metric.name for metric in METRICS[kind]]

    def scores(weights: NDArray | None) -> dict[str, NDArray]:
        rows = np.ones(len(table)) if weights is None else weights
        means = rows @ table / rows.sum(axis=-1, keepdims=True)
        return {name: means[..., index] for index, name in enumerate(names)}

    return _Scored(scores, np.array([answer is not None for answer in answers]))


_SCORE: dict[str, Callable[[LabelledData, str, list[Prediction | None]], _Scored]] = {
    "classification": _classes,
    "number": _numbers,
    "text": _rowwise,
    "image": _rowwise,
}
_OTHER_BASELINES = {"number": "mean", "text": "most frequent text", "image": "most frequent image"}


def _baseline(mine: LabelledData, training: LabelledData, task: str, name: str) -> list[Prediction | None]:
    """What the baseline, fitted on the training rows, answers."""
    kind = mine.facts[task].kind
    if kind != "classification":
        told = training.label.tolist()
        constant = (
            str(np.mean([float(label) for label in told])) if kind == "number" else Counter(told).most_common(1)[0][0]
        )
        return [Prediction(sequence, task, constant, {}) for sequence in mine.sequences]
    model = BASELINES[name](0)
    model.fit(training.sequences, training.label.tolist())
    shares = model.predict(mine.sequences)
    return [
        Prediction(
            sequence, task, model.classes[int(each.argmax())], dict(zip(model.classes, each.tolist(), strict=True))
        )
        for sequence, each in zip(mine.sequences, shares, strict=True)
    ]


def _mean(
    reports: list[TaskReport],
    scorings: Mapping[str, tuple[NDArray, Scores]],
    sequences: list[str],
    resamples: int,
    seed: int,
) -> TaskScore | None:
    """The mean MCC over the classification tasks; None where there are fewer than two.

    Its resamples draw sequences over all tasks at once: tasks that share sequences err together.
    """
    chosen = [report.main for report in reports if report.task in scorings]
    if len(chosen) < 2:
        return None
    places = np.concatenate([rows for rows, _ in scorings.values()])
    groups = sequence_groups([sequences[int(row)] for row in places]).tolist()
    ends = np.cumsum([len(rows) for rows, _ in scorings.values()])[:-1]

    def mean(weights: NDArray) -> dict[str, NDArray]:
        parts = [np.split(part, ends, axis=1) for part in np.split(weights, 3, axis=1)]
        of_tasks = zip(*parts, scorings.values(), strict=True)
        return {"MCC": np.mean([scores(np.concatenate(own, axis=1))["MCC"] for *own, (_, scores) in of_tasks], axis=0)}

    replicates = statistic_replicates(mean, len(places), groups=groups, resamples=resamples, seed=seed)["MCC"]
    return TaskScore(
        task=f"mean of {len(chosen)} tasks",
        metric=METRICS["classification"][0],
        interval=interval(
            float(np.mean([score.interval.value for score in chosen])),
            replicates,
            level=LEVEL,
            units=len(set(groups)),
        ),
        baseline=float(np.mean([score.baseline for score in chosen])),
        rows=sum(score.rows for score in chosen),
        missing=sum(score.missing for score in chosen),
    )


def leakage_of(data: LabelledData) -> LeakageReport:
    """What the test rows of labelled data share with their training rows."""
    return leakage_report(data.sequences, data.task.tolist(), data.label.tolist(), data.split)
