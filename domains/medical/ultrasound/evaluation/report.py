"""The report of an evaluation: a table on the terminal, JSON, CSV, and one self-contained HTML page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.medical.ultrasound.data.rows import Kind
from domains.medical.ultrasound.evaluation.reliability import TaskReliability, reliability_part
from polyhead.application import RESEARCH_USE
from polyhead.evaluation.evaluate import MetricSpec, TaskScore
from polyhead.evaluation.intervals import INTERVALS
from polyhead.evaluation.report import (
    Problem,
    arrow,
    html_page,
    number,
    problem_list,
    remark_parts,
    score_table,
    span,
    write_report_files,
)
from polyhead.system.spreadsheet import table_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CONVENTIONS = (
    "DSC and HD: per image and class, mean over images, then over classes 1 to C-1. Both masks empty: DSC 1, HD 0; one "
    "empty: DSC 0, HD the diagonal of the image. HD is of the voxel sets, HD95 the larger of the two directed 95th "
    "percentiles between the surfaces; both in pixels.",
    "AUC: of class 1 for two classes, else the mean of one class against the rest over the classes that have rows.",
    "A missing prediction counts as the worst score (DSC and IoU 0; HD, HD95 and MRE the diagonal of the image; a "
    "wrong class with probability 1). With 'missing skipped' it is left out and AUC is 0 where a class has no row, as "
    "the public scorer has them; it also reads labels and answers otherwise, which --official follows.",
    INTERVALS.format("images") + " Tasks are drawn independently.",
    "Baselines know the training rows and no image: the most frequent class, the mean box, the mean points, and the "
    "better of the empty mask and the mean mask, drawn where it reaches the best DSC on the training masks.",
)
_SHOWN = 500  # problem lines on the page; the JSON holds all


MAIN_METRIC: dict[Kind, str] = {
    "segmentation": "DSC",
    "classification": "F1_macro",
    "detection": "IoU",
    "keypoints": "MRE",
}
"""The metric that a task of each kind is judged by where there is room for one."""


@dataclass(frozen=True)
class TaskReport:
    """What one task scored.

    Attributes:
        task, kind, outputs: as in its rows.
        rows: rows that count.
        missing: rows without a usable prediction.
        baseline: name of the trivial baseline.
        scores: one a metric.
        per_class: for segmentation, by metric, the means over images of the classes 1 to C-1.
        notes: what else must be known to read the scores.
    """

    task: str
    kind: Kind
    outputs: int
    rows: int
    missing: int
    baseline: str
    scores: tuple[TaskScore, ...]
    per_class: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The scores of a folder of predictions.

    Attributes:
        tasks: in the order of the rows.
        means: the leaderboard's columns, means over the tasks of a kind.
        problems: all that is wrong with data and predictions, missing predictions among it.
        official: whether the main numbers are the public scorer's; `TaskScore.alternative` holds those of the same
            answers with missing ones counted the other way.
        resamples, seed, level: of the intervals.
        reliability: how honest the probabilities of the classification tasks are.
        remarks: what must be known before any score is read, a sentence each.
    """

    tasks: tuple[TaskReport, ...]
    means: Mapping[str, TaskScore]
    problems: tuple[Problem, ...]
    official: bool
    resamples: int
    seed: int
    level: float
    reliability: tuple[TaskReliability, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        return sum(task.missing for task in self.tasks)

    @property
    def rows(self) -> int:
        return sum(task.rows for task in self.tasks)

    @property
    def alternative_name(self) -> str:
        return "missing at worst" if self.official else "missing skipped"

    def to_json(self) -> dict[str, Any]:
        """JSON values only; an undefined number is None."""
        return {
            "research_use": RESEARCH_USE,
            "main": "public scorer" if self.official else "missing at worst",
            "alternative": self.alternative_name,
            "remarks": list(self.remarks),
            "conventions": list(CONVENTIONS),
            "intervals": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "rows": self.rows,
            "missing": self.missing,
            "leaderboard": {column: score.to_json() for column, score in self.means.items()},
            "tasks": [
                {
                    "task": task.task,
                    "kind": task.kind,
                    "outputs": task.outputs,
                    "rows": task.rows,
                    "missing": task.missing,
                    "baseline": task.baseline,
                    "scores": [score.to_json() for score in task.scores],
                    "per_class": {name: list(values) for name, values in task.per_class.items()},
                    "notes": list(task.notes),
                }
                for task in self.tasks
            ],
            "reliability": [task.to_json() for task in self.reliability],
            "problems": [asdict(problem) for problem in self.problems],
        }

    def print(self, console: Console, *, full: bool = False, problems: int = 10) -> None:
        """Prints tables of tasks and means and the first `problems` lines of what is wrong.

        One metric a task, the one that its kind is judged by; `full` prints them all.
        """
        table = self._table("Scores by task")
        for task in self.tasks:
            shown = [score for score in task.scores if full or score.metric.name == MAIN_METRIC[task.kind]]
            for index, score in enumerate(shown):
                self._add(table, task.task if index == 0 else "", score, end=full and index == len(shown) - 1)
        console.print(table)
        means = self._table("Means over tasks")
        for column, score in self.means.items():
            self._add(means, column, score)
        console.print(means)
        for remark in self.remarks:
            console.print(remark, markup=False, highlight=False)
        for note, tasks in _notes(self.tasks):
            console.print(f"{tasks}: {note}", markup=False, highlight=False)
        if self.problems:
            kinds = ", ".join(f"{count} {code}" for code, count in Counter(p.code for p in self.problems).most_common())
            console.print(f"{len(self.problems)} problems: {kinds}", markup=False, highlight=False)
            for problem in self.problems[:problems]:
                console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
            if len(self.problems) > problems:
                console.print(f"  and {len(self.problems) - problems} more, all in the JSON report", highlight=False)
        console.print(RESEARCH_USE, highlight=False)

    def _table(self, title: str) -> Table:
        from rich.table import Table

        table = Table(title=title, title_justify="left")
        table.add_column("task" if title == "Scores by task" else "column", overflow="fold")
        table.add_column("metric")
        for name in ("value", f"{self.level:.0%} interval", "baseline"):
            table.add_column(name, justify="right")
        if _differs(self):
            table.add_column(self.alternative_name, justify="right")
        table.add_column("n", justify="right")
        table.add_column("missing", justify="right")
        return table

    def _add(self, table: Table, name: str, score: TaskScore, *, end: bool = False) -> None:
        from rich.markup import escape as plain

        style = {True: "green", False: "yellow", None: ""}[score.above_baseline]
        value = number(score.interval.value)
        cells = [plain(name), f"{score.metric.name} {arrow(score.metric)}", f"[{style}]{value}[/]" if style else value]
        cells += [span(score), number(score.baseline)]
        if _differs(self):
            cells.append(_alternative(score))
        table.add_row(*cells, str(score.rows), str(score.missing or ""), end_section=end)


def write_report(report: Report, path: Path) -> list[Path]:
    """Writes `path` as one HTML page that loads nothing, and the same name with .json and .csv beside it.

    Returns:
        the three files.
    """
    return write_report_files(path, page=_page(report), data=report.to_json(), table=_csv(report))


def _notes(tasks: Sequence[TaskReport]) -> list[tuple[str, str]]:
    """Each note once, with the tasks that it holds for."""
    holders: dict[str, list[str]] = {}
    for task in tasks:
        for note in task.notes:
            holders.setdefault(note, []).append(task.task)
    return [(note, ", ".join(names)) for note, names in holders.items()]


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to eight steps of 1, 2 or 5 times a power of ten, from at most `low` to at least `high`."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * max(factor for factor in (1, 2, 5) if factor * power <= rough)
    return [step * index for index in range(math.floor(low / step), math.ceil(high / step - 1e-9) + 1)]


def _csv(report: Report) -> str:
    lines = [score.to_json() for task in report.tasks for score in task.scores]
    lines += [score.to_json() for score in report.means.values()]
    return table_text(lines, None if lines else ["task"])


def _alternative(score: TaskScore) -> str:
    return "" if _same(score) else number(score.alternative)


def _same(score: TaskScore) -> bool:
    value, other = score.interval.value, score.alternative
    return math.isclose(value, other, rel_tol=1e-12, abs_tol=1e-12) or (math.isnan(value) and math.isnan(other))


def _differs(report: Report) -> bool:
    return any(not _same(score) for task in report.tasks for score in task.scores)


def _page(report: Report) -> str:
    other = (report.alternative_name, _alternative) if _differs(report) else None
    main = "the public scorer's rules" if report.official else "missing predictions at their worst score"
    parts = [
        f"<p class=notice>{escape(RESEARCH_USE)}</p>",
        f"<p>{len(report.tasks)} tasks, {report.rows} rows, {report.missing} missing predictions. Scored with {main}; "
        f"{report.level:.0%} intervals from {report.resamples} resamples, seed {report.seed}.</p>",
        *remark_parts(report.remarks),
        "<h2>Means over tasks</h2>",
        score_table(list(report.means.items()), "column", more=other),
        "<h2>Tasks against their baselines</h2><p class=key>"
        "<span class=dot></span> value and interval <span class=ring></span> trivial baseline. In the tables "
        "<b class=good>green</b> values lie beyond the baseline with their whole interval, "
        "<b class=weak>amber</b> ones do not.</p><div class=plots>",
    ]
    metrics = {score.metric: [] for task in report.tasks for score in task.scores}
    for task in report.tasks:
        for score in task.scores:
            metrics[score.metric].append(score)
    parts += [_plot(metric, scores) for metric, scores in metrics.items()]
    parts.append("</div><h2>Scores by task</h2>")
    parts.append(score_table([(task.task, score) for task in report.tasks for score in task.scores], more=other))
    classes = [task for task in report.tasks if len(next(iter(task.per_class.values()), ())) > 1]
    if classes:
        parts.append("<h2>Classes of the segmentation tasks</h2>" + _class_table(classes))
    parts.append(reliability_part(report.reliability))
    notes = [f"{tasks}: {note}" for note, tasks in _notes(report.tasks)]
    for heading, lines in (("Notes", notes), ("Conventions", CONVENTIONS)):
        if lines:
            parts.append(f"<h2>{heading}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")
    parts.append(problem_list(report.problems))
    return html_page("Ultrasound evaluation", parts)


def _class_table(tasks: Sequence[TaskReport]) -> str:
    cells = ["<tr><th>task<th>class<th class=n>DSC<th class=n>HD<th class=n>HD95"]
    for task in tasks:
        for index, values in enumerate(zip(*(task.per_class[name] for name in ("DSC", "HD", "HD95")), strict=True)):
            numbers = "".join(f"<td class=n>{number(value)}" for value in values)
            cells.append(f"<tr><td>{escape(task.task) if index == 0 else ''}<td>{index + 1}{numbers}")
    return f"<div class=wide><table>{''.join(cells)}</table></div>"


def _plot(metric: MetricSpec, scores: Sequence[TaskScore]) -> str:
    """Dots with intervals beside hollow baseline rings, a line a task; the axis starts at 0 unless values are below."""
    values = [
        value
        for score in scores
        for value in (score.interval.value, score.interval.low, score.interval.high, score.baseline)
        if math.isfinite(value)
    ]
    low = min([0.0, *values])
    high = max([1.0 if metric.higher_is_better else 0.0, *values]) or 1.0
    ticks = _ticks(low, high)
    low, high = ticks[0], ticks[-1]
    left, width, step = 175, 250, 20
    height = step * len(scores) + 22

    def x(value: float) -> float:
        return left + width * (value - low) / (high - low)

    marks = [
        f'<line class=axis x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - 18}"/>'
        f'<text class=tick x="{x(tick):.1f}" y="{height - 4}">{tick:.3g}</text>'
        for tick in ticks
    ]
    for index, score in enumerate(scores):
        y = step * index + 14
        name = score.task if len(score.task) <= 26 else f"{score.task[:25]}…"
        title = f"{score.task}: {number(score.interval.value)} [{span(score)}], baseline {number(score.baseline)}"
        marks.append(
            f'<g><title>{escape(title)}</title><text class=name x="{left - 10}" y="{y + 4}">{escape(name)}</text>'
        )
        if math.isfinite(score.interval.low):
            ends = f'x1="{x(score.interval.low):.1f}" x2="{x(score.interval.high):.1f}"'
            marks.append(f'<line class=span {ends} y1="{y}" y2="{y}"/>')
        if math.isfinite(score.baseline):
            marks.append(f'<circle class=base cx="{x(score.baseline):.1f}" cy="{y}" r="4"/>')
        if math.isfinite(score.interval.value):
            marks.append(f'<circle class=value cx="{x(score.interval.value):.1f}" cy="{y}" r="4"/>')
        marks.append("</g>")
    unit = f", {metric.unit}" if metric.unit else ""
    heading = f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better{unit})"
    size = f'width="{left + width + 20}" height="{height}" viewBox="0 0 {left + width + 20} {height}"'
    return f"<figure><figcaption>{escape(heading)}</figcaption><svg role=img {size}>{''.join(marks)}</svg></figure>"
