"""Plots of fields: maps in the plane, profiles with a band, solids in space. Arrays and words in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

FIELD, ERROR = "Viridis", "Inferno"
"""Colours of fields and of errors; both grow evenly in lightness, so that they survive grey printing."""

LINES = ("#2a7fa3", "#c2571a", "#5d8a2f")
DASHES = ("solid", "dash", "dot")


@dataclass(frozen=True)
class Curve:
    """One line of a profile: its name and its values (n,), NaN where there are none."""

    name: str
    values: np.ndarray


def label(name: str, unit: str) -> str:
    """A name with its unit, "1" and nothing being none.

    >>> label("rate", "1/s"), label("beta", "1")
    ('rate [1/s]', 'beta')
    """
    return name if unit in ("", "1") else f"{name} [{unit}]"


def limits(fields: Sequence[np.ndarray]) -> tuple[float, float]:
    """Common limits of fields, NaN left out; (0, 1) where nothing is left."""
    values = np.concatenate([np.ravel(field) for field in fields])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def field_map(
    values: np.ndarray,
    across: np.ndarray,
    up: np.ndarray,
    *,
    names: tuple[str, str],
    quantity: str,
    bounds: tuple[float, float],
    ink: str,
    title: str = "",
    colours: str = FIELD,
    equal: bool = False,
    outline: Sequence[np.ndarray] = (),
    height: int = 360,
) -> go.Figure:
    """A field on a grid as a map with a colour bar that names what is shown.

    Args:
        values: (rows, columns); NaN is left empty.
        across, up: (columns,) and (rows,), ascending.
        names: labels of the two axes.
        quantity: label of the values.
        bounds: ends of the colours.
        ink: colour of letters.
        equal: one unit is as long on both axes.
        outline: rings (k, 2) of (across, up) drawn over it.
    """
    if values.shape != (len(up), len(across)):
        raise ValueError(f"values of shape {values.shape} for {len(up)} rows and {len(across)} columns")
    bar = {
        "title": {"text": quantity, "side": "right", "font": {"color": ink}},
        "tickfont": {"color": ink},
        "thickness": 14,
    }
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=across,
            y=up,
            zmin=bounds[0],
            zmax=bounds[1],
            colorscale=colours,
            colorbar=bar,
            hovertemplate=f"{names[0]} %{{x:.4g}}<br>{names[1]} %{{y:.4g}}<br>{quantity} %{{z:.5g}}<extra></extra>",
            hoverongaps=False,
        )
    )
    for ring in outline:
        closed = np.concatenate([ring, ring[:1]])
        figure.add_scatter(
            x=closed[:, 0],
            y=closed[:, 1],
            mode="lines",
            line={"color": ink, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    _style(figure, names, ink, title, height)
    if equal:
        figure.update_yaxes(scaleanchor="x", constrain="domain")
        figure.update_xaxes(constrain="domain")
    return figure


def profile(
    place: np.ndarray,
    curves: Sequence[Curve],
    *,
    names: tuple[str, str],
    ink: str,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    band_name: str = "band",
    title: str = "",
    height: int = 320,
) -> go.Figure:
    """Curves over one axis, told apart by dashes as well as by colour, and a band around the first.

    Args:
        place: (n,) the axis.
        curves: at most three.
        names: labels of the axis and of the values.
        band: lower and upper end, (n,) each.
    """
    if len(curves) > len(LINES):
        raise ValueError(f"at most {len(LINES)} curves, got {len(curves)}")
    figure = go.Figure()
    if band is not None:
        edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(x=place, y=band[0], showlegend=False, **edge)
        figure.add_scatter(x=place, y=band[1], name=band_name, fill="tonexty", fillcolor="rgba(42,127,163,.25)", **edge)
    for curve, colour, dash in zip(curves, LINES, DASHES, strict=False):
        figure.add_scatter(
            x=place,
            y=curve.values,
            name=curve.name,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
            hovertemplate=f"{names[0]} %{{x:.4g}}<br>{curve.name} %{{y:.5g}}<extra></extra>",
        )
    _style(figure, names, ink, title, height)
    figure.update_layout(
        showlegend=len(curves) > 1 or band is not None,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": ink}},
    )
    return figure


def solid(
    points: np.ndarray,
    values: np.ndarray,
    inside: np.ndarray,
    *,
    names: tuple[str, str, str],
    quantity: str,
    bounds: tuple[float, float],
    ink: str,
    height: int = 520,
) -> go.Figure:
    """The surface of a solid in space, coloured by a field on its nodes.

    Args:
        points: (nx, ny, nz, 3) of a grid.
        values: (nx, ny, nz).
        inside: (nx, ny, nz) bool, nodes of the solid.
    """
    triangles = surface(inside)
    used, index = np.unique(triangles, return_inverse=True)
    corners, index = points.reshape(-1, 3)[used], index.reshape(-1, 3)
    figure = go.Figure(
        go.Mesh3d(
            x=corners[:, 0],
            y=corners[:, 1],
            z=corners[:, 2],
            i=index[:, 0],
            j=index[:, 1],
            k=index[:, 2],
            intensity=values.ravel()[used],
            cmin=bounds[0],
            cmax=bounds[1],
            colorscale=FIELD,
            colorbar={
                "title": {"text": quantity, "side": "right", "font": {"color": ink}},
                "tickfont": {"color": ink},
                "thickness": 14,
                "len": 0.8,
            },
            lighting={"ambient": 0.75, "diffuse": 0.4, "specular": 0.05},
            flatshading=False,
            hovertemplate=f"{names[0]} %{{x:.3g}}<br>{names[1]} %{{y:.3g}}<br>{names[2]} %{{z:.3g}}<br>"
            f"{quantity} %{{intensity:.5g}}<extra></extra>",
        )
    )
    axis = {"color": ink, "showbackground": False, "gridcolor": "rgba(128,128,128,.35)"}
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        scene={
            **{f"{key}axis": {"title": {"text": name}, **axis} for key, name in zip("xyz", names, strict=True)},
            "aspectmode": "data",
            "camera": {"eye": {"x": 0.9, "y": -1.2, "z": 1.0}},
        },
    )
    return figure


def surface(inside: np.ndarray) -> np.ndarray:
    """(k, 3) int: triangles of the surface of the cells whose eight nodes (nx, ny, nz) all lie inside.

    The numbers are those of the nodes in C order; seen from outside the corners run counter-clockwise.
    """
    if inside.ndim != 3 or min(inside.shape) < 2:
        raise ValueError(f"nodes of a solid need three axes of at least two, got {inside.shape}")
    x, y, z = (slice(0, -1), slice(1, None)), (slice(0, -1), slice(1, None)), (slice(0, -1), slice(1, None))
    cells = np.ones(np.array(inside.shape) - 1, dtype=bool)
    for a in x:
        for b in y:
            for c in z:
                cells &= inside[a, b, c]
    number = np.arange(inside.size).reshape(inside.shape)
    found = []
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        padded = np.pad(cells, [(1, 1) if each == axis else (0, 0) for each in range(3)])
        step = np.diff(padded.astype(np.int8), axis=axis)
        # A face before its cell (step 1) looks back along the axis, one behind it (step -1) along it.
        for sign in (1, -1):
            at = np.argwhere(step == sign)
            corners = np.repeat(at[:, None], 4, axis=1)
            corners[:, [1, 2], first] += 1
            corners[:, [2, 3], second] += 1
            if sign == 1:
                corners = corners[:, ::-1]
            nodes = number[tuple(np.moveaxis(corners, -1, 0))]
            found += [nodes[:, [0, 1, 2]], nodes[:, [0, 2, 3]]]
    return np.concatenate(found)


def _style(figure: go.Figure, names: tuple[str, str], ink: str, title: str, height: int) -> None:
    figure.update_layout(
        title={"text": title, "font": {"size": 14, "color": ink}, "x": 0} if title else None,
        height=height,
        margin={"l": 8, "r": 8, "t": 36 if title else 12, "b": 8},
    )
    for update, name in ((figure.update_xaxes, names[0]), (figure.update_yaxes, names[1])):
        update(
            title={"text": name, "font": {"color": ink}},
            tickfont={"color": ink},
            automargin=True,
            showgrid=False,
            zeroline=False,
        )
