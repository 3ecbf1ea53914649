"""Learning curves as one self-contained page and a JSON file: error over the number of samples learned from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from polyhead.application import RESEARCH_USE
from polyhead.evaluation.report import html_page
from polyhead.system.files import write_whole

if TYPE_CHECKING:
    from domains.pde.learning.transfer import TransferPoint

WAYS = {"transfer": ("a", "fine-tuned from the run"), "scratch": ("b", "from scratch")}
_WIDTH, _HEIGHT, _LEFT, _TOP = 320, 180, 60, 10


def write_curves(curves: Mapping[str, Sequence[TransferPoint]], page: Path) -> Path:
    """Writes the points of every task beside each other, as `page` and the same name with .json."""
    page.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        "research_use": RESEARCH_USE,
        "tasks": {task: [asdict(point) for point in points] for task, points in curves.items()},
    }
    parts = [
        f"<p class=notice>{escape(RESEARCH_USE)}</p>",
        "<p>Mean relative L2 error on the test samples of the target task, in percent, over the number of its samples "
        "that were learned from. The same samples and settings both ways.</p>",
        "<div class=plots>",
        *(_plot(task, points) for task, points in curves.items()),
        "</div>",
        _table(curves),
    ]
    write_whole(page.with_suffix(".json"), (json.dumps(contents, indent=1, allow_nan=False) + "\n").encode())
    write_whole(page, html_page("Learning curves of the transfer", parts).encode())
    return page


def _plot(task: str, points: Sequence[TransferPoint]) -> str:
    low, high = min(each.samples for each in points), max(each.samples for each in points)
    top = 100 * max(each.relative_l2_mean for each in points) or 1.0

    def x(samples: int) -> float:
        # Counts are spread by their logarithm, as they are usually chosen.
        return _LEFT + (_WIDTH * math.log(samples / low) / math.log(high / low) if high > low else _WIDTH / 2)

    def y(error: float) -> float:
        return _TOP + _HEIGHT * (1 - 100 * error / top)

    marks = []
    for part in (0, 0.5, 1):
        height = _TOP + _HEIGHT * (1 - part)
        marks.append(f'<line class=axis x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{height}" y2="{height}"/>')
        marks.append(f'<text class=tick x="{_LEFT - 24}" y="{height + 4}">{top * part:.3g} %</text>')
    for count in sorted({each.samples for each in points}):
        marks.append(f'<text class=tick x="{x(count):.1f}" y="{_TOP + _HEIGHT + 18}">{count}</text>')
    for way, (mark, words) in WAYS.items():
        mine = sorted((each for each in points if each.way == way), key=lambda each: each.samples)
        if mine:
            line = " ".join(f"{x(each.samples):.1f},{y(each.relative_l2_mean):.1f}" for each in mine)
            marks.append(f'<polyline class="line {mark}" points="{line}"/>')
        for each in mine:
            title = f"{words}, {each.samples} samples: {100 * each.relative_l2_mean:.2f} %"
            spot = f'cx="{x(each.samples):.1f}" cy="{y(each.relative_l2_mean):.1f}"'
            marks.append(f'<circle class=d{mark} {spot} r="4"><title>{escape(title)}</title></circle>')
    size = f'width="{_LEFT + _WIDTH + 20}" height="{_TOP + _HEIGHT + 26}"'
    label = escape(f"{task}: relative L2 error over target samples")
    drawing = f'<svg role=img aria-label="{label}" {size}>{"".join(marks)}</svg>'
    return f"<figure><figcaption>{label}</figcaption>{drawing}</figure>"


def _table(curves: Mapping[str, Sequence[TransferPoint]]) -> str:
    lines = ["<tr><th>task<th>way<th class=n>samples<th class=n>mean<th class=n>median<th class=n>seconds"]
    for task, points in curves.items():
        for index, each in enumerate(points):
            name = escape(task) if index == 0 else ""
            numbers = (
                str(each.samples),
                f"{100 * each.relative_l2_mean:.2f} %",
                f"{100 * each.relative_l2_median:.2f} %",
                f"{each.seconds:.0f}",
            )
            cells = "".join(f"<td class=n>{number}" for number in numbers)
            start = "<tr class=first>" if index == 0 else "<tr>"
            lines.append(f"{start}<td>{name}<td>{escape(WAYS[each.way][1])}{cells}")
    return f"<h2>Figures</h2><div class=wide><table>{''.join(lines)}</table></div>"
