"""The scores of a set of predictions: every metric of every task, as JSON, on a terminal, and as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.application import RESEARCH_USE
from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.report import (
    Problem,
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

HEAD = ("task", "metric", "value", "interval", "baseline", "rows", "missing")


@dataclass(frozen=True)
class ScoreReport:
    """Scores and what is wrong with data and predictions.

    Attributes:
        title: of the page.
        scores: the first of each task is the one that it is judged by.
        resamples, seed: of the intervals.
        conventions: how the numbers are to be read, a sentence each.
        remarks: what must be known before any score is read, a sentence each.
    """

    title: str
    scores: tuple[TaskScore, ...]
    problems: tuple[Problem, ...] = ()
    resamples: int = 1000
    seed: int = 0
    conventions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values only; an undefined number is None."""
        return {
            "research_use": RESEARCH_USE,
            "remarks": list(self.remarks),
            "conventions": list(self.conventions),
            "intervals": {"resamples": self.resamples, "seed": self.seed},
            "scores": [score.to_json() for score in self.scores],
            "problems": [asdict(problem) for problem in self.problems],
        }

    def print(self, console: Console, *, full: bool = False) -> None:
        """The main score of each task, or with `full` all of them, and how many problems there are."""
        from rich.table import Table

        table = Table(*HEAD)
        for score in self.scores if full else _first_of_each(self.scores):
            table.add_row(*map(_as_it_stands, _cells(score)))
        console.print(table)
        for remark in self.remarks:
            console.print(_as_it_stands(remark))
        if self.problems:
            console.print(f"problems: {len(self.problems)}, the first: {_as_it_stands(str(self.problems[0]))}")

    def write(self, path: Path) -> list[Path]:
        """Writes the page to `path` and beside it the same as JSON and CSV; the three files."""
        rows = [_cells(score) for score in self.scores]
        parts = [
            f"<p class=notice>{escape(RESEARCH_USE)}</p>",
            *remark_parts(self.remarks),
            *(f"<p>{escape(sentence)}</p>" for sentence in self.conventions),
            score_table([(score.task, score) for score in self.scores]),
            problem_list(self.problems),
        ]
        table = table_text([dict(zip(HEAD, row, strict=True)) for row in rows], HEAD)
        return write_report_files(path, page=html_page(self.title, parts), data=self.to_json(), table=table)


def _as_it_stands(text: str) -> str:
    """Text that rich shows as it stands."""
    from rich.markup import escape as escaped

    return escaped(text)


def _first_of_each(scores: Sequence[TaskScore]) -> list[TaskScore]:
    return list({score.task: score for score in reversed(scores)}.values())[::-1]


def _cells(score: TaskScore) -> tuple[str, ...]:
    unit = f" {score.metric.unit}" if score.metric.unit else ""
    return (
        score.task,
        score.metric.name,
        f"{number(score.interval.value)}{unit}",
        span(score),
        number(score.baseline),
        str(score.rows),
        str(score.missing),
    )
