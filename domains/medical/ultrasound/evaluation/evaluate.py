"""Scores a folder of predictions against labels: every task, with intervals, beside trivial baselines."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.baselines import EMPTY_MASK, Baselines, fit_baselines
from domains.medical.ultrasound.evaluation.by_class import score_classes
from domains.medical.ultrasound.evaluation.by_row import score_by_row
from domains.medical.ultrasound.evaluation.metrics import COLUMN_PREFIX, METRICS
from domains.medical.ultrasound.evaluation.reliability import reliabilities
from domains.medical.ultrasound.evaluation.report import Report, TaskReport
from domains.medical.ultrasound.evaluation.scorable import scorable
from domains.medical.ultrasound.evaluation.scored import Scored, Scoring
from domains.medical.ultrasound.predicting.predictions import place, read_predictions
from polyhead.evaluation.evaluate import Interval, TaskScore
from polyhead.evaluation.intervals import Replicates, interval
from polyhead.evaluation.report import Problem

LEVEL = 0.95


def evaluate(
    predictions: Path,
    data: Path,
    *,
    rows: Sequence[Row] | None = None,
    found: Sequence[Problem] = (),
    official: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    baselines_from: Sequence[Row] | None = None,
) -> Report:
    """Scores predictions task by task with the challenge's metrics.

    A missing or unusable prediction counts as the worst score and is listed: DSC and IoU 0; HD, HD95 and MRE the
    diagonal of the image; a wrong class with probability 1. A row whose label cannot be right is listed and left out
    (`scorable`), and masks are read as training reads them. With `official` everything is read and counted as the
    challenge's public scorer does: masks as grey values, missing predictions skipped, a class that does not exist
    wrong, AUC 0 where a class has no row. The report also holds the numbers of the same answers with missing ones
    counted the other way.

    Args:
        predictions: folder with the challenge's files, or the folder above its ``fm-uia/``.
        data: root of the data set, the folder that holds ``csv_files/``; not read where `rows` are given.
        rows: the rows to score; None reads them from `data`.
        found: what was wrong with the tables that `rows` are of.
        official: report the public scorer's numbers as the main ones.
        resamples: draws of the intervals, over images.
        seed: of the draws.
        baselines_from: training rows that the trivial baselines are fitted on; a task that they lack, or None, takes
            the scored rows themselves, which favours the baseline.

    Raises:
        ValueError: no labelled rows, no predictions at all, or rows of one task that differ in kind or size.
    """
    problems: list[Problem] = list(found)
    if rows is None:
        from domains.medical.ultrasound.data.fm_uia import read_tables

        tables = read_tables(data, scorer=official)
        rows = tables.rows
        problems += tables.problems
    labelled, odd = scorable(rows, official=official)
    problems += odd
    if not labelled:
        first = f"; first problem: {problems[0]}" if problems else ""
        raise ValueError(f"{data}: no labelled rows to score; give tables with labels{first}")
    tasks = _by_task(labelled)
    answers = read_predictions(predictions, rows, official=official)
    problems += answers.problems

    training = fit_baselines(baselines_from or ())
    unseen = [task for task in tasks if task not in training.tasks]
    fitted_here = fit_baselines(row for task in unseen for row in tasks[task])
    baselines = Baselines({**fitted_here.values, **training.values}, {**fitted_here.mean_masks, **training.mean_masks})

    scored: dict[str, Scored] = {}
    for task, members in tasks.items():
        score = score_classes if members[0].kind == "classification" else score_by_row
        # Tasks draw their resamples independently, whichever other tasks are there.
        own = seed + zlib.crc32(task.encode())
        result = score(members, Scoring(answers, baselines, official, resamples, own, problems))
        if task in unseen and result.baseline_name != EMPTY_MASK:
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


def _task_report(task: str, rows: list[Row], result: Scored, official: bool) -> TaskReport:
    headline, other = (result.answered, result.penalised) if official else (result.penalised, result.answered)
    scores = tuple(
        TaskScore(
            task=task,
            metric=metric,
            interval=_interval(headline[metric.name], result.replicates.get(metric.name), result.units),
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
        result.baseline_name,
        scores,
        result.per_class,
        tuple(result.notes),
    )


def _means(
    tasks: dict[str, list[Row]], scored: dict[str, Scored], official: bool, resamples: int
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
            drawn = [
                result.replicates.get(name, Replicates.constant(value, resamples))
                for result, value in zip(results, headline, strict=True)
                if math.isfinite(value)
            ]
            means[column] = TaskScore(
                task=column,
                metric=metric,
                interval=_interval(
                    _mean_defined(headline),
                    Replicates.mean(drawn) if drawn else None,
                    min(result.units for result in results),
                ),
                baseline=_mean_defined([result.baseline[name] for result in results]),
                alternative=_mean_defined(other),
                rows=sum(result.rows for result in results),
                missing=sum(result.missing for result in results),
            )
    return means


def _interval(value: float, replicates: Replicates | None, units: int) -> Interval:
    return Interval(value, level=LEVEL) if replicates is None else interval(value, replicates, level=LEVEL, units=units)


def _by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by task, in order; rows of one task that differ in kind or size are an error."""
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        members = tasks.setdefault(row.task, [])
        members.append(row)
        if (row.kind, row.outputs) != (members[0].kind, members[0].outputs):
            raise ValueError(
                f"{place(row)}: {row.kind} with num_classes {row.outputs}, but its task began as {members[0].kind} "
                f"with {members[0].outputs}; give each task one kind and number"
            )
    return tasks


def _mean_defined(values: list[float]) -> float:
    defined = [value for value in values if math.isfinite(value)]
    return sum(defined) / len(defined) if defined else math.nan
