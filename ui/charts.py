"""Charts that pages share."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

CHOSEN = "#2a7fa3"
OTHER = "#8b9aa3"


def probability_bars(
    labels: Sequence[str], values: Sequence[float], title: str = "", ink: str = "#1b262c"
) -> go.Figure:
    """Horizontal bars of class probabilities, in the order of the classes, the value written at each bar.

    The most probable class is marked by a word as well as by its colour.

    Args:
        labels: names of the classes.
        values: their probabilities in [0, 1].
        title: what is classified.
        ink: colour of the letters.
    """
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels for {len(values)} probabilities")
    if not values:
        raise ValueError("there are no probabilities to show")
    best = max(range(len(values)), key=values.__getitem__)
    names = [f"{label} (most probable)" if i == best else label for i, label in enumerate(labels)]
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=list(range(len(values))),
            orientation="h",
            marker_color=[CHOSEN if i == best else OTHER for i in range(len(values))],
            text=[f"{value:.1%}" for value in values],
            textposition="outside",
            textfont={"color": ink, "size": 13},
            cliponaxis=False,
            customdata=names,
            hovertemplate="%{customdata}: %{x:.4f}<extra></extra>",
        )
    )
    figure.update_layout(
        title={"text": title, "font": {"size": 14, "color": ink}} if title else None,
        height=60 + 34 * len(values) + (30 if title else 0),
        margin={"l": 8, "r": 56, "t": 36 if title else 8, "b": 28},
        bargap=0.35,
        showlegend=False,
    )
    figure.update_xaxes(range=[0, 1], tickformat=".0%", fixedrange=True, automargin=True, tickfont={"color": ink})
    figure.update_yaxes(
        tickvals=list(range(len(values))),
        ticktext=names,
        autorange="reversed",
        fixedrange=True,
        automargin=True,
        tickfont={"color": ink, "size": 13},
    )
    return figure
