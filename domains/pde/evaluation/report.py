"""The report of an evaluation: a table on the terminal, JSON, CSV, and one self-contained HTML page."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.application import RESEARCH_USE
from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.intervals import INTERVALS
from polyhead.evaluation.report import Problem, html_page, problem_list, remark_parts, write_report_files
from polyhead.system.spreadsheet import table_text

if TYPE_CHECKING:
    from rich.console import Console

    from domains.pde.evaluation.against import Against
    from domains.pde.evaluation.metrics import MetricRow
    from domains.pde.uncertainty.bands import Coverage

SHORT = ("relative_l2", "rmse", "max_error", "frobenius")
"""The metrics that a table without `full` shows."""

CONVENTIONS = (
    "All metrics are of the points inside the geometry; relative ones are percent. relative_l2: |error| / |reference| "
    "of a sample, mean over samples. frobenius: the same ratio over all samples at once. normalised_rmse: the ratio at "
    "each instant, mean over time. range_error: RMSE over the reference's range.",
    "rmse, max_error, boundary_rmse (points within one grid step of the boundary), conserved_error (the mean over "
    "space) and the Fourier bands are in the unit of the field (PDEBench's definitions, each sample on its own).",
    "A sample without an answer counts as a field of zeros. " + INTERVALS.format("samples"),
    "The baseline is the mean field of the training samples of the task; the value of a field must be below it.",
)
_BINS = 24


@dataclass(frozen=True)
class TaskReport:
    """What one task scored.

    Attributes:
        rows: samples that count.
        missing: samples without a usable answer.
        baseline: name of the trivial baseline.
        scores: one a metric, with the baseline's value.
        table: one a metric, with median, 90th percentile and the samples that they belong to.
        errors: relative L2 of each sample, NaN where it is not defined.
        coverage: of the conformal bands; None where the run is not calibrated.
        pictures: by "median" and "worst", the row of the data set and a PNG.
        notes: what else must be known to read the scores.
    """

    task: str
    problem: str
    rows: int
    missing: int
    baseline: str
    scores: tuple[TaskScore, ...]
    table: tuple[MetricRow, ...]
    errors: tuple[float, ...]
    coverage: Coverage | None = None
    pictures: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def score(self, metric: str) -> TaskScore:
        return next(score for score in self.scores if score.metric.name == metric)


@dataclass(frozen=True)
class Report:
    """The scores of a folder of predictions; `resamples`, `seed` and `level` are of the intervals.

    `against` compares them with single-task models, where that was asked; `remarks` must be known before any score is
    read, a sentence each.
    """

    tasks: tuple[TaskReport, ...]
    problems: tuple[Problem, ...]
    split: str
    resamples: int
    seed: int
    level: float
    against: Against | None = None
    remarks: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return sum(task.missing for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; an undefined number is None."""
        return {
            "research_use": RESEARCH_USE,
            "remarks": list(self.remarks),
            "conventions": list(CONVENTIONS),
            "split": self.split,
            "intervals": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "missing": self.missing,
            "tasks": [
                {
                    "task": task.task,
                    "problem": task.problem,
                    "rows": task.rows,
                    "missing": task.missing,
                    "baseline": task.baseline,
                    "scores": [
                        {**line.to_json(), **score.to_json()}
                        for line, score in zip(task.table, task.scores, strict=True)
                    ],
                    "relative_l2_of_samples": [value if math.isfinite(value) else None for value in task.errors],
                    "coverage": task.coverage.to_json() if task.coverage else None,
                    "drawn": {name: row for name, (row, _) in task.pictures.items()},
                    "notes": list(task.notes),
                }
                for task in self.tasks
            ],
            "against_single_tasks": self.against.to_json() if self.against else None,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def print(self, console: Console, *, full: bool = False, problems: int = 10) -> None:
        """Prints the scores of every task, the coverage of the bands, and the first lines of what is wrong."""
        from rich.markup import escape as plain
        from rich.table import Table

        table = Table(title=f"Scores by task, {self.split} samples", title_justify="left")
        table.add_column("task", overflow="fold")
        table.add_column("metric")
        for name in ("value", f"{self.level:.0%} interval", "median", "90th pct", "mean field", "n"):
            table.add_column(name, justify="right")
        for task in self.tasks:
            shown = [pair for pair in zip(task.table, task.scores, strict=True) if full or pair[1].metric.name in SHORT]
            for index, (line, score) in enumerate(shown):
                style = {True: "green", False: "yellow", None: ""}[score.above_baseline]
                value = shown_value(score.interval.value, score)
                table.add_row(
                    plain(task.task) if index == 0 else "",
                    f"{score.metric.name} ↓",
                    f"[{style}]{value}[/]" if style else value,
                    _span(score),
                    shown_value(line.median, score),
                    shown_value(line.percentile_90, score),
                    shown_value(score.baseline, score),
                    str(score.rows),
                    end_section=index == len(shown) - 1,
                )
        console.print(table)
        for line in (*coverage_lines(self), *(self.against.lines() if self.against else ())):
            console.print(line, markup=False, highlight=False)
        for remark in self.remarks:
            console.print(remark, markup=False, highlight=False)
        for task in self.tasks:
            for note in task.notes:
                console.print(f"{task.task}: {note}", markup=False, highlight=False)
        for problem in self.problems[:problems]:
            console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
        if len(self.problems) > problems:
            console.print(f"  and {len(self.problems) - problems} more, all in the JSON report", highlight=False)
        console.print(RESEARCH_USE, highlight=False)


def coverage_lines(report: Report) -> list[str]:
    """A line a calibrated task: how many fields lie in their bands."""
    return [
        f"{task.task}: {found.fields.value:.0%} of {found.rows} fields lie wholly in their band "
        f"({found.fields.low:.0%} to {found.fields.high:.0%}; aimed at {found.aimed:.0%}), "
        f"{found.pointwise:.1%} of the points; mean width {found.mean_width:.3g}"
        for task in report.tasks
        if (found := task.coverage) is not None
    ]


def write_report(report: Report, path: Path) -> list[Path]:
    """Writes `path` as one HTML page that loads nothing, and the same name with .json and .csv beside it.

    Returns:
        the three files.
    """
    return write_report_files(path, page=_page(report), data=report.to_json(), table=_csv(report))


def shown_value(value: float, score: TaskScore) -> str:
    """Percent for relative metrics, three figures for others, an en dash where undefined."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3g}" if score.metric.unit is not None else f"{100 * value:.2f} %"


def _span(score: TaskScore) -> str:
    low, high = score.interval.low, score.interval.high
    return f"{shown_value(low, score)} … {shown_value(high, score)}" if math.isfinite(low) else ""


def _csv(report: Report) -> str:
    lines = [
        {**line.to_json(), **score.to_json()}
        for task in report.tasks
        for line, score in zip(task.table, task.scores, strict=True)
    ]
    return table_text(lines)


def _page(report: Report) -> str:
    rows = sum(task.rows for task in report.tasks)
    parts = [
        f"<p class=notice>{escape(RESEARCH_USE)}</p>",
        f"<p>{len(report.tasks)} tasks, {rows} {escape(report.split)} samples, {report.missing} without an answer; "
        f"{report.level:.0%} intervals from {report.resamples} resamples, seed {report.seed}.</p>",
        *remark_parts(report.remarks),
        "<h2>Scores by task</h2><p class=key><b class=good>Green</b> values lie below the mean field with their whole "
        "interval, <b class=weak>amber</b> ones do not.</p>",
        _table(report.tasks),
        "<h2>Error of the samples</h2><div class=plots>",
        *(_histogram(task) for task in report.tasks),
        "</div>",
    ]
    drawn = [(task, name) for task in report.tasks for name in task.pictures]
    if drawn:
        parts.append("<h2>Median and worst sample of each task</h2>")
    for task, name in drawn:
        row, png = task.pictures[name]
        words = f"{task.task}, {name} sample (row {row} of {task.problem})"
        data = base64.b64encode(png).decode()
        parts.append(
            f"<figure><figcaption>{escape(words)}</figcaption>"
            f'<img alt="{escape(words)}: reference, prediction and difference" '
            f'src="data:image/png;base64,{data}"></figure>'
        )
    covered, against = coverage_lines(report), report.against.lines() if report.against else []
    notes = [f"{task.task}: {note}" for task in report.tasks for note in task.notes]
    listed = {
        "Against single-task models": against,
        "Coverage of the bands": covered,
        "Notes": notes,
        "Conventions": CONVENTIONS,
    }
    for heading, lines in listed.items():
        if lines:
            parts.append(f"<h2>{heading}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")
    parts.append(problem_list(report.problems))
    return html_page("Operator evaluation", parts)


def _table(tasks: Sequence[TaskReport]) -> str:
    cells = [
        "<tr><th>task<th>metric<th class=n>value<th class=n>interval<th class=n>median<th class=n>90th pct"
        "<th class=n>mean field<th class=n>n<th class=n>undefined"
    ]
    for task in tasks:
        for index, (line, score) in enumerate(zip(task.table, task.scores, strict=True)):
            mark = {True: " class='n good'", False: " class='n weak'", None: " class=n"}[score.above_baseline]
            unit = f" [{escape(score.metric.unit)}]" if score.metric.unit not in (None, "1") else ""
            cells.append(
                f"<tr{' class=first' if index == 0 else ''}><td>{escape(task.task) if index == 0 else ''}"
                f"<td>{escape(score.metric.name)}{unit} ↓<td{mark}>{shown_value(score.interval.value, score)}"
                f"<td class=n>{_span(score)}<td class=n>{shown_value(line.median, score)}"
                f"<td class=n>{shown_value(line.percentile_90, score)}<td class=n>{shown_value(score.baseline, score)}"
                f"<td class=n>{score.rows}<td class=n>{line.undefined or ''}"
            )
    return f"<div class=wide><table>{''.join(cells)}</table></div>"


def _histogram(task: TaskReport) -> str:
    """How many samples have which relative error; the axis starts at 0."""
    values = [100 * value for value in task.errors if math.isfinite(value)]
    if not values:
        return ""
    top = max(values) or 1.0
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int(_BINS * value / top))] += 1
    tallest = max(counts)
    width, height = 290, 90
    bars = "".join(
        f'<rect class=bar x="{20 + index * width / _BINS:.1f}" width="{width / _BINS - 1:.1f}" '
        f'y="{height - height * number / tallest:.1f}" height="{height * number / tallest:.1f}"/>'
        for index, number in enumerate(counts)
    )
    ticks = "".join(
        f'<text class=tick x="{20 + width * part:.1f}" y="{height + 14}">{top * part:.3g}</text>'
        for part in (0, 0.5, 1)
    )
    words = f"{task.task}: relative L2 error in percent, {len(values)} samples"
    return (
        f"<figure><figcaption>{escape(words)}</figcaption>"
        f'<svg role=img aria-label="{escape(words)}" width="{width + 40}" height="{height + 20}">{bars}{ticks}</svg>'
        "</figure>"
    )
