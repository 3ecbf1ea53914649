"""The page's charts: tracks along a sequence, values at its bases, the matrix of all changes, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.colors import diverging

BASES = "ACGT"
CHART = {"displaylogo": False, "scrollZoom": False}

LINES = ("#2a7fa3", "#c2571a", "#5d8a2f", "#8e5ea2", "#8a6d1a", "#5f6b73")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
UP, DOWN = "#2a7fa3", "#c2571a"
CHANGES = diverging.RdBu
"""Colours of changes: red is less, blue is more; both ends are dark, so that the size survives grey printing."""

MOST_LETTERS = 130
"""Wider stretches have no room for a letter a base under the chart."""


def track_chart(
    runs: Sequence[tuple[int, int, np.ndarray]], names: Sequence[str], *, length: int, ink: str, height: int = 320
) -> go.Figure:
    """Probabilities along a sequence as steps, told apart by dashes as well as by colour; gaps stay empty.

    Args:
        runs: start, end (0-based, half-open) and one value a name, sorted.
        names: of the lines.
        length: bases of the sequence.
    """
    figure = go.Figure()
    for index, name in enumerate(names):
        places: list[float] = []
        values: list[float | None] = []
        before: int | None = None
        for start, end, row in runs:
            if before is not None and before != start:
                places.append(before + 0.5)
                values.append(None)
            places += [start + 0.5, end + 0.5]
            values += [float(row[index])] * 2
            before = end
        figure.add_scatter(
            x=places,
            y=values,
            name=name,
            mode="lines",
            line={"color": LINES[index % len(LINES)], "dash": DASHES[index // len(LINES) % len(DASHES)], "width": 2}
            if len(names) > len(LINES)
            else {"color": LINES[index], "dash": DASHES[index], "width": 2},
            hovertemplate=f"{name}: %{{y:.1%}}<br>at base %{{x:.0f}}<extra></extra>",
        )
    _style(figure, ink, height)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": ink, "size": 13}},
        margin={"l": 64, "r": 16, "t": 48, "b": 56},
    )
    figure.update_xaxes(title={"text": "Base", "font": {"color": ink}}, range=[0.5, length + 0.5])
    figure.update_yaxes(title={"text": "Probability", "font": {"color": ink}}, range=[0, 1.02], tickformat=".0%")
    return figure


def base_bars(
    sequence: str, values: np.ndarray, *, start: int = 0, what: str, ink: str, height: int = 260
) -> go.Figure:
    """A bar for each base, its letter under it where there is room; above zero speaks for, below against.

    Args:
        sequence: the shown bases.
        values: (n,), one a base.
        start: 0-based place of the first.
        what: label of the values.
    """
    if len(values) != len(sequence):
        raise ValueError(f"{len(values)} values for {len(sequence)} bases")
    places = np.arange(start + 1, start + 1 + len(sequence))
    figure = go.Figure(
        go.Bar(
            x=places,
            y=values,
            marker_color=np.where(np.nan_to_num(values) >= 0, UP, DOWN).tolist(),
            marker_line_width=0,
            customdata=list(sequence),
            hovertemplate="Base %{x}: %{customdata}<br>%{y:.4g}<extra></extra>",
        )
    )
    _style(figure, ink, height)
    figure.update_layout(bargap=0.1, showlegend=False)
    _bases_below(figure, sequence, places, ink)
    figure.update_yaxes(title={"text": what, "font": {"color": ink}}, zeroline=True, zerolinecolor=ink)
    return figure


def change_map(
    sequence: str, values: np.ndarray, *, start: int = 0, what: str, ink: str, height: int = 300
) -> go.Figure:
    """Every single-base change as a matrix: a row a base that is put in, a column a place.

    The base that stands there is marked by a dot. The colours are even around zero.

    Args:
        sequence: the shown bases.
        values: (4, n), rows A, C, G, T; not a number where nothing is known.
        start: 0-based place of the first.
        what: label of the values.
    """
    if values.shape != (4, len(sequence)):
        raise ValueError(f"values of shape {values.shape} for {len(sequence)} bases")
    places = np.arange(start + 1, start + 1 + len(sequence))
    most = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    most = most or 1.0
    words = [[f"{own} to {base}" for own in sequence] for base in BASES]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=places,
            y=list(BASES),
            zmin=-most,
            zmax=most,
            colorscale=CHANGES,
            customdata=words,
            hoverongaps=False,
            hovertemplate="Base %{x}, %{customdata}<br>" + what + " %{z:+.4g}<extra></extra>",
            colorbar={
                "title": {"text": what, "side": "top", "font": {"color": ink}},
                "tickfont": {"color": ink},
                "thickness": 12,
                "orientation": "h",
                "x": 0.5,
                "y": 1.0,
                "yanchor": "bottom",
                "nticks": 5,
            },
        )
    )
    own = [(place, base) for place, base in zip(places.tolist(), sequence, strict=True) if base in BASES]
    figure.add_scatter(
        x=[place for place, _ in own],
        y=[base for _, base in own],
        mode="markers",
        marker={"color": "#1b262c", "size": 5},
        name="the sequence's own base",
        hoverinfo="skip",
        showlegend=False,
    )
    _style(figure, ink, height)
    figure.update_layout(margin={"l": 64, "r": 16, "t": 84, "b": 56})
    _bases_below(figure, sequence, places, ink)
    figure.update_yaxes(title={"text": "Changed to", "font": {"color": ink}}, autorange="reversed")
    return figure


def variant_bars(names: Sequence[str], values: Sequence[float], *, what: str, ink: str) -> go.Figure:
    """Horizontal bars to both sides of zero, one a variant, the value written at each."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=list(range(len(names))),
            orientation="h",
            marker_color=[UP if value >= 0 else DOWN for value in values],
            text=[f"{value:+.3g}" for value in values],
            textposition="outside",
            textfont={"color": ink},
            cliponaxis=False,
            customdata=list(names),
            hovertemplate="%{customdata}: %{x:+.4g}<extra></extra>",
        )
    )
    _style(figure, ink, 90 + 26 * len(names))
    most = max((abs(value) for value in values), default=1.0) or 1.0
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 24, "t": 12, "b": 56})
    figure.update_xaxes(
        title={"text": what, "font": {"color": ink}},
        range=[-1.25 * most, 1.25 * most],
        zeroline=True,
        zerolinecolor=ink,
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), autorange="reversed", automargin=True, showgrid=False
    )
    return figure


def reliability_chart(
    curves: Mapping[str, Sequence[tuple[float, float, int]]], *, ink: str, height: int = 380
) -> go.Figure:
    """How often an answer of some confidence is right; the diagonal is where confidence can be taken at its word.

    Args:
        curves: name to bins of (mean confidence, share that is right, rows).
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as sure as right", line={"color": ink, "width": 1, "dash": "dot"}
    )
    most = max((rows for bins in curves.values() for _, _, rows in bins), default=1)
    for index, (name, bins) in enumerate(curves.items()):
        figure.add_scatter(
            x=[confidence for confidence, _, _ in bins],
            y=[right for _, right, _ in bins],
            customdata=[rows for _, _, rows in bins],
            mode="lines+markers",
            name=name,
            line={"color": LINES[index % len(LINES)], "dash": DASHES[index % len(DASHES)], "width": 2},
            marker={"size": [5 + 15 * (rows / most) ** 0.5 for _, _, rows in bins]},
            hovertemplate=f"{name}<br>confidence %{{x:.1%}}, right %{{y:.1%}}<br>%{{customdata}} rows<extra></extra>",
        )
    _style(figure, ink, height)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": ink, "size": 13}},
        margin={"l": 64, "r": 16, "t": 48, "b": 56},
    )
    figure.update_xaxes(
        title={"text": "Confidence", "font": {"color": ink}}, range=[-0.03, 1.05], tickformat=".0%", constrain="domain"
    )
    figure.update_yaxes(
        title={"text": "Share that is right", "font": {"color": ink}},
        range=[-0.03, 1.05],
        tickformat=".0%",
        scaleanchor="x",
        constrain="domain",
    )
    return figure


def _bases_below(figure: go.Figure, sequence: str, places: np.ndarray, ink: str) -> None:
    """Letters under the columns where they have room, numbers where not; the axis ends with the stretch."""
    title = f"Base {places[0]} to {places[-1]}" if len(places) else "Base"
    figure.update_xaxes(
        title={"text": title, "font": {"color": ink}},
        range=[float(places[0]) - 0.5, float(places[-1]) + 0.5],
    )
    if len(sequence) <= MOST_LETTERS:
        size = 12 if len(sequence) <= 80 else 9
        figure.update_xaxes(
            tickvals=places.tolist(),
            ticktext=list(sequence),
            tickangle=0,
            nticks=None,
            tickfont={"color": ink, "size": size, "family": "monospace"},
        )


def _style(figure: go.Figure, ink: str, height: int) -> None:
    figure.update_layout(height=height, margin={"l": 64, "r": 16, "t": 16, "b": 56})
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(tickfont={"color": ink}, showgrid=False, zeroline=False, nticks=8, automargin=False)
    figure.update_yaxes(showgrid=True, gridcolor="rgba(128,128,128,.25)")
