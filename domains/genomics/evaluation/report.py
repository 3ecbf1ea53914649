"""The report of an evaluation: a table on the terminal, JSON, CSV, and one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domains.genomics.evaluation.figures import beside_figure
from domains.genomics.evaluation.leakage import LeakageReport
from domains.genomics.evaluation.metrics import METRICS
from polyhead.application import RESEARCH_USE
from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.intervals import INTERVALS
from polyhead.evaluation.reliability_figure import reliability_figure
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
from polyhead.uncertainty.reliability import Bin
from polyhead.uncertainty.temperature import Temperature

if TYPE_CHECKING:
    from rich.console import Console

CONVENTIONS = (
    "MCC is Gorodkin's for several classes; AUROC and AUPRC are of class 1 of two, and means of one against the rest "
    "of more; ECE is of the predicted class, in fifteen bins of equal width. exact_match and token_F1 compare words; "
    "token_accuracy compares the codes of an image place by place; invalid is the share without a usable answer.",
    "A row without a usable answer counts as wrong. "
    + INTERVALS.format("distinct sequences, a sequence and its reverse complement being one"),
    "The baseline is fitted on the training rows of the data that were scored.",
    "Leakage: shares of the scored sequences, and of their k-mers of either strand, that stand in training under any "
    "task; and what a predictor reaches that sees no DNA, only the labels of the same sequence under other tasks.",
)


@dataclass(frozen=True)
class TaskReport:
    """What one task scored.

    Attributes:
        rows, missing: rows that count, and those among them without a usable answer.
        sequences: distinct sequences, both strands being one.
        baseline: its name.
        scores: one a metric, with the baseline's value.
        bins: the reliability diagram of the answered rows, of classes.
        notes: what else must be known to read the scores.
    """

    task: str
    kind: str
    labels: tuple[str, ...]
    rows: int
    missing: int
    sequences: int
    baseline: str
    scores: tuple[TaskScore, ...]
    bins: tuple[Bin, ...] = ()
    notes: tuple[str, ...] = ()

    def score(self, metric: str) -> TaskScore:
        return next(score for score in self.scores if score.metric.name == metric)

    @property
    def main(self) -> TaskScore:
        """The score that the kind is judged by."""
        return self.score(METRICS[self.kind][0].name)


@dataclass(frozen=True)
class Report:
    """The scores of a set of predictions; `resamples`, `seed` and `level` are of the intervals.

    `mean` is the mean MCC over the classification tasks, None below two; `leakage` is None where it was not counted;
    `remarks` must be known before any score is read, a sentence each.
    """

    tasks: tuple[TaskReport, ...]
    mean: TaskScore | None
    problems: tuple[Problem, ...]
    split: str
    baseline: str
    resamples: int
    seed: int
    level: float
    name: str = ""
    leakage: LeakageReport | None = None
    calibrations: Mapping[str, Temperature] = field(default_factory=dict)
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
            "name": self.name,
            "split": self.split,
            "baseline": self.baseline,
            "intervals": {"level": self.level, "resamples": self.resamples, "seed": self.seed},
            "missing": self.missing,
            "mean": self.mean.to_json() if self.mean else None,
            "tasks": [
                {
                    "task": task.task,
                    "kind": task.kind,
                    "labels": list(task.labels),
                    "rows": task.rows,
                    "missing": task.missing,
                    "sequences": task.sequences,
                    "baseline": task.baseline,
                    "scores": [score.to_json() for score in task.scores],
                    "reliability": [each.to_json() for each in task.bins],
                    "notes": list(task.notes),
                }
                for task in self.tasks
            ],
            "leakage": self.leakage.to_json() if self.leakage else None,
            "calibration": {task: each.to_json() for task, each in self.calibrations.items()},
            "problems": [asdict(problem) for problem in self.problems],
        }

    def print(self, console: Console, *, full: bool = False, problems: int = 10) -> None:
        """Prints the scores, what the split gives away, and the first lines of what is wrong."""
        from rich.markup import escape as plain
        from rich.table import Table

        table = Table(title=f"Scores by task, {_split_name(self)}", title_justify="left")
        table.add_column("task", overflow="fold")
        table.add_column("metric")
        for name in ("value", f"{self.level:.0%} interval", "baseline", "n", "missing"):
            table.add_column(name, justify="right")
        lines = [(task.task, score) for task in self.tasks for score in (task.scores if full else (task.main,))]
        lines += [(self.mean.task, self.mean)] if self.mean else []
        previous = None
        for name, score in lines:
            style = {True: "green", False: "yellow", None: ""}[score.above_baseline]
            value = number(score.interval.value)
            table.add_row(
                "" if name == previous else plain(name),
                f"{score.metric.name} {arrow(score.metric)}",
                f"[{style}]{value}[/]" if style else value,
                span(score),
                number(score.baseline),
                str(score.rows),
                str(score.missing or ""),
            )
            previous = name
        console.print(table)
        for line in (*_leakage_lines(self), *_calibration_lines(self)):
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


def write_report(report: Report, path: Path, *, beside: Sequence[Report] = ()) -> list[Path]:
    """Writes `path` as one HTML page that loads nothing, and the same name with .json and .csv beside it.

    Args:
        beside: evaluations of the same tasks on other splits, each with a name of its own, shown next to `report`.

    Returns:
        the three files.
    """
    names = [each.name for each in (report, *beside)]
    if beside and (len(set(names)) < len(names) or "" in names):
        raise ValueError(f"evaluations that are shown side by side need a name each, got {names}")
    data = report.to_json() | ({"beside": [each.to_json() for each in beside]} if beside else {})
    return write_report_files(path, page=_page(report, beside), data=data, table=_csv((report, *beside)))


def _split_name(report: Report) -> str:
    return f"{report.name} split, {report.split} rows" if report.name else f"{report.split} rows"


def _leakage_lines(report: Report) -> list[str]:
    if report.leakage is None:
        return []
    if report.leakage.clean:
        return [f"Leakage: none; no {report.split} row shares a sequence or a {report.leakage.k}-mer with training."]
    return [f"Leakage: {line}" for line in report.leakage.lines()]


def _calibration_lines(report: Report) -> list[str]:
    return [
        f"{task}: temperature {each.temperature:.2f} from {each.rows} validation rows, on which ECE went from "
        f"{each.error_before:.3f} to {each.error_after:.3f}"
        for task, each in report.calibrations.items()
    ]


def _csv(reports: Sequence[Report]) -> str:
    lines = [
        {"evaluation": report.name, "split": report.split, **score.to_json()}
        for report in reports
        for score in (
            *(score for task in report.tasks for score in task.scores),
            *((report.mean,) if report.mean else ()),
        )
    ]
    return table_text(lines, None if lines else ["task"])


def _page(report: Report, beside: Sequence[Report]) -> str:
    rows = sum(task.rows for task in report.tasks)
    parts = [
        f"<p class=notice>{escape(RESEARCH_USE)}</p>",
        f"<p>{len(report.tasks)} tasks, {rows} rows ({escape(_split_name(report))}), {report.missing} without a usable "
        f"answer; {report.level:.0%} intervals from {report.resamples} resamples, seed {report.seed}. The baseline of "
        f"classes is {escape(report.baseline)}.</p>",
    ]
    parts += remark_parts(report.remarks)
    if beside:
        parts += ["<h2>Splits side by side</h2>", _beside((report, *beside))]
    scores = [(task.task, score) for task in report.tasks for score in task.scores]
    scores += [(report.mean.task, report.mean)] if report.mean else []
    parts += [
        "<h2>Scores by task</h2><p class=key><b class=good>Green</b> values are better than the baseline with their "
        "whole interval, <b class=weak>amber</b> ones are not.</p>",
        score_table(scores),
    ]
    for each in (report, *beside):
        if each.leakage is not None:
            heading = f"What the split gives away{f': {each.name}' if each.name else ''}"
            parts += [f"<h2>{escape(heading)}</h2>", _leakage_table(each)]
    diagrams = [reliability_figure(task.task, task.bins) for task in report.tasks if task.bins]
    if diagrams:
        parts += ["<h2>Calibration</h2><div class=plots>", *diagrams, "</div>"]
    listed = {
        "Temperatures": _calibration_lines(report),
        "Notes": [f"{task.task}: {note}" for task in report.tasks for note in task.notes],
        "Conventions": CONVENTIONS,
    }
    for heading, lines in listed.items():
        if lines:
            parts.append(f"<h2>{heading}</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")
    parts.append(problem_list(report.problems))
    return html_page("Genomics evaluation", parts)


def _beside(reports: Sequence[Report]) -> str:
    """The main metric of every task under every split, in a figure a metric and a table."""
    tasks = list(dict.fromkeys(task.task for report in reports for task in report.tasks))
    mains = [
        {task.task: task.main for task in report.tasks} | ({"mean": report.mean} if report.mean else {})
        for report in reports
    ]
    metrics = list(dict.fromkeys(score.metric.name for found in mains for score in found.values()))
    figures = [
        beside_figure(
            {
                report.name: {task: score for task, score in found.items() if score.metric.name == metric}
                for report, found in zip(reports, mains, strict=True)
            }
        )
        for metric in metrics
    ]
    head = "".join(f"<th class=n>{escape(report.name)}<th class=n>interval<th class=n>n" for report in reports)
    cells = [f"<tr><th>task<th>metric{head}"]
    for task in [*tasks, *(["mean"] if any(report.mean for report in reports) else [])]:
        metric = next(found[task].metric.name for found in mains if task in found)
        cells.append(f"<tr><td>{escape(task)}<td>{escape(metric)}")
        for found in mains:
            score = found.get(task)
            cells.append(
                "<td class=n>–<td><td>"
                if score is None
                else f"<td class=n>{number(score.interval.value)}<td class=n>{span(score)}<td class=n>{score.rows}"
            )
    return f"<div class=plots>{''.join(figures)}</div><div class=wide><table>{''.join(cells)}</table></div>"


def _leakage_table(report: Report) -> str:
    leakage = report.leakage
    assert leakage is not None
    if leakage.clean:
        return f"<p>{escape(_leakage_lines(report)[0])}</p>"
    cells = [
        "<tr><th>task<th class=n>train<th class=n>scored<th class=n>same task<th class=n>any task"
        f"<th class=n>{leakage.k}-mers<th class=n>a fifth shared<th class=n>MCC without DNA<th class=n>on"
    ]
    cells += [
        f"<tr><td>{escape(each.task)}<td class=n>{each.train}<td class=n>{each.test}<td class=n>{each.same_task:.1%}"
        f"<td class=n>{each.any_task:.1%}<td class=n>{_percent(each.kmers)}<td class=n>{_percent(each.overlapping)}"
        f"<td class=n>{number(each.label_only)}<td class=n>{each.label_only_rows}"
        for each in leakage.tasks
    ]
    return f"<div class=wide><table>{''.join(cells)}</table></div>"


def _percent(value: float) -> str:
    return f"{value:.1%}" if math.isfinite(value) else "–"
