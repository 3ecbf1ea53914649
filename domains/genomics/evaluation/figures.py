"""A figure of an evaluation as SVG in the page: values of several splits side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from polyhead.evaluation.evaluate import TaskScore
from polyhead.evaluation.report import number


def beside_figure(named: Mapping[str, Mapping[str, TaskScore]]) -> str:
    """Values with intervals of one metric, a line a task, a dot an evaluation: ``{evaluation: {task: score}}``.

    The first two evaluations have the page's two colours; the metric must be the same.
    """
    tasks = list(dict.fromkeys(task for scores in named.values() for task in scores))
    values = [
        value
        for scores in named.values()
        for score in scores.values()
        for value in (score.interval.value, score.interval.low, score.interval.high)
        if math.isfinite(value)
    ]
    if not tasks or not values:
        return ""
    low, high = min(0.0, math.floor(min(values) * 5) / 5), max(1.0, math.ceil(max(values) * 5) / 5)
    left, width, step = 175, 280, 26
    height = step * len(tasks) + 24

    def x(value: float) -> float:
        return left + width * (value - low) / (high - low)

    ticks = [low + (high - low) * part / 5 for part in range(6)]
    marks = [
        f'<line class=axis x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - 18}"/>'
        f'<text class=tick x="{x(tick):.1f}" y="{height - 4}">{tick:.2g}</text>'
        for tick in ticks
    ]
    for index, task in enumerate(tasks):
        y = step * index + 16
        shown = task if len(task) <= 26 else f"{task[:25]}…"
        marks.append(f'<text class=name x="{left - 10}" y="{y + 4}">{escape(shown)}</text>')
        for place, (name, scores) in enumerate(named.items()):
            score = scores.get(task)
            if score is None or not math.isfinite(score.interval.value):
                continue
            here, colour = y + 5 * (place - (len(named) - 1) / 2), "ab"[place % 2]
            words = f"{task}, {name}: {number(score.interval.value)}"
            if math.isfinite(score.interval.low):
                words += f" ({number(score.interval.low)} to {number(score.interval.high)})"
                marks.append(
                    f'<line class="line {colour}" x1="{x(score.interval.low):.1f}" x2="{x(score.interval.high):.1f}" '
                    f'y1="{here:.1f}" y2="{here:.1f}"/>'
                )
            marks.append(
                f'<circle class=d{colour} cx="{x(score.interval.value):.1f}" cy="{here:.1f}" r="3.5">'
                f"<title>{escape(words)}</title></circle>"
            )
    metric = next(iter(next(scores for scores in named.values() if scores).values())).metric
    heading = f"{metric.name}: " + " and ".join(
        f"{name} ({('blue', 'amber')[place % 2]})" for place, name in enumerate(named)
    )
    return (
        f"<figure><figcaption>{escape(heading)}</figcaption>"
        f'<svg role=img aria-label="{escape(heading)}" width="{left + width + 20}" height="{height}">'
        f"{''.join(marks)}</svg></figure>"
    )
