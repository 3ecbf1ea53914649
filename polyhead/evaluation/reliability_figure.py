"""The reliability diagram of an evaluation, as SVG in its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from polyhead.uncertainty.reliability import Bin

_SIDE = 170


def reliability_figure(title: str, bins: Sequence[Bin]) -> str:
    """Share of right answers over their mean confidence, dots larger where there are more; ideal is the diagonal."""
    if not bins:
        return ""
    most = max(each.rows for each in bins)
    left, top = 34, 8

    def x(value: float) -> float:
        return left + _SIDE * value

    def y(value: float) -> float:
        return top + _SIDE * (1 - value)

    marks = [
        f'<line class=axis x1="{x(0):.1f}" y1="{y(value):.1f}" x2="{x(1):.1f}" y2="{y(value):.1f}"/>'
        f'<text class=name x="{left - 6}" y="{y(value) + 4:.1f}">{value:g}</text>'
        f'<text class=tick x="{x(value):.1f}" y="{y(0) + 15:.1f}">{value:g}</text>'
        for value in (0.0, 0.5, 1.0)
    ]
    marks.append(f'<line class=axis x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    points = " ".join(f"{x(each.confidence):.1f},{y(each.accuracy):.1f}" for each in bins)
    marks.append(f'<polyline class="line a" points="{points}"/>')
    for each in bins:
        words = f"{each.rows} answers, confidence {each.confidence:.2f}, {each.accuracy:.0%} right"
        radius = 2 + 4 * math.sqrt(each.rows / most)
        marks.append(
            f'<circle class=value cx="{x(each.confidence):.1f}" cy="{y(each.accuracy):.1f}" r="{radius:.1f}">'
            f"<title>{escape(words)}</title></circle>"
        )
    words = f"{title}: share of right answers over confidence"
    size = f'width="{left + _SIDE + 14}" height="{top + _SIDE + 22}"'
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg role=img aria-label="{escape(words)}" {size}>{"".join(marks)}</svg></figure>'
    )
