"""Evaluation reports of every application: what is wrong in one form, and one HTML page that loads nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.evaluation.own_report import refuse_foreign_report, report_files
from polyhead.system.files import write_whole

if TYPE_CHECKING:
    from polyhead.evaluation.evaluate import MetricSpec, TaskScore

_SHOWN = 500


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row or file: a stable code, where it stands, why, and what to do."""

    code: str
    where: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: [{self.code}] {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


def write_report_files(path: Path, *, page: str, data: Any, table: str) -> list[Path]:
    """Writes an HTML page to `path`, and under the same name with .json the data and with .csv the table.

    A path of another suffix gets ``.html`` behind it.

    Returns:
        the three files.

    Raises:
        ValueError: one of them is there and is of no report.
    """
    refuse_foreign_report(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = report_files(path)
    texts = page, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), table
    for file, text in zip(files, texts, strict=True):
        write_whole(file, text.encode())
    return list(files)


def number(value: float) -> str:
    """Three decimals below 10, one above; an en dash where undefined."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def arrow(metric: MetricSpec) -> str:
    """Which way is better."""
    return "↑" if metric.higher_is_better else "↓"


def span(score: TaskScore) -> str:
    """The interval of a score; nothing where there is none."""
    low, high = score.interval.low, score.interval.high
    return f"{number(low)} … {number(high)}" if math.isfinite(low) else ""


def score_table(
    lines: Sequence[tuple[str, TaskScore]],
    first: str = "task",
    more: tuple[str, Callable[[TaskScore], str]] | None = None,
) -> str:
    """Scores as HTML, a row each under its name, which is shown once; good and weak ones are marked.

    Args:
        first: what the names are of.
        more: heading and cells of one column more, behind the baseline.
    """
    heading = f"<th class=n>{escape(more[0])}" if more else ""
    cells = [
        f"<tr><th>{escape(first)}<th>metric<th class=n>value<th class=n>interval<th class=n>baseline{heading}"
        "<th class=n>n<th class=n>missing"
    ]
    previous = None
    for name, score in lines:
        other = f"<td class=n>{escape(more[1](score))}" if more else ""
        mark = {True: " class='n good'", False: " class='n weak'", None: " class=n"}[score.above_baseline]
        cells.append(
            f"<tr{'' if name == previous else ' class=first'}><td>{'' if name == previous else escape(name)}"
            f"<td>{escape(score.metric.name)} {arrow(score.metric)}<td{mark}>{number(score.interval.value)}"
            f"<td class=n>{span(score)}<td class=n>{number(score.baseline)}{other}<td class=n>{score.rows}"
            f"<td class=n>{score.missing or ''}"
        )
        previous = name
    return f"<div class=wide><table>{''.join(cells)}</table></div>"


def remark_parts(remarks: Sequence[str]) -> list[str]:
    """What must be known before scores are read, as HTML."""
    return [f"<p class=notice>{escape(remark)}</p>" for remark in remarks]


def problem_list(problems: Sequence[Problem]) -> str:
    """The problems as HTML, the first few hundred of them."""
    if not problems:
        return "<h2>Problems</h2><p>None.</p>"
    lines = "".join(
        f"<tr><td>{escape(p.code)}<td>{escape(p.where)}<td>{escape(p.reason)}<td>{escape(p.remedy)}"
        for p in problems[:_SHOWN]
    )
    rest = f"<p>and {len(problems) - _SHOWN} more, all in the JSON file.</p>" if len(problems) > _SHOWN else ""
    head = "<tr><th>code<th>where<th>what is wrong<th>what to do"
    return f"<h2>Problems ({len(problems)})</h2><div class=wide><table>{head}{lines}</table></div>{rest}"


def html_page(title: str, parts: Sequence[str]) -> str:
    """One page, in the light or dark scheme of the reader, that loads nothing from anywhere."""
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


_STYLE = """\
:root { color-scheme: light dark; --ink: light-dark(#1c2733, #e3e9ef); --faint: light-dark(#d8dfe6, #36414c);
 --soft: light-dark(#5d6b79, #9aa8b5); --value: light-dark(#0b6e99, #54b4dc); --page: light-dark(#ffffff, #14191f);
 --good: light-dark(#12753a, #5fca8a); --weak: light-dark(#a15400, #f0a95c); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1100px;
 margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.notice { border-left: 4px solid var(--weak); padding: .4rem .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; }
th { border-bottom: 1px solid var(--soft); font-weight: 600; }
tr.first td { border-top: 1px solid var(--faint); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); font-weight: 600; } .weak { color: var(--weak); font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 1.2rem 2.5rem; align-items: flex-start; }
figure { margin: 0 0 1rem; } figcaption { font-weight: 600; font-size: .9rem; }
img { max-width: 100%; background: #fff; } svg { max-width: 100%; height: auto; }
.bar { fill: var(--value); } .axis { stroke: var(--faint); }
.line { fill: none; stroke-width: 2; } .a { stroke: var(--value); } .b { stroke: var(--weak); }
.da { fill: var(--value); } .db { fill: var(--weak); }
text { fill: var(--ink); font-size: 12px; }
.tick { fill: var(--soft); text-anchor: middle; font-size: 11px; }
.key { color: var(--soft); }
.span { stroke: var(--value); stroke-width: 2; }
.value { fill: var(--value); } .base { fill: var(--page); stroke: var(--weak); stroke-width: 2; }
.name { text-anchor: end; }
.key span { display: inline-block; width: 9px; height: 9px; border-radius: 50%; }
.dot { background: var(--value); } .ring { border: 2px solid var(--weak); margin-left: 1rem; }
"""
