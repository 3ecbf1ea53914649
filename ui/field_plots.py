"""Plots of fields: maps in the plane, profiles with a band, solids in space. Arrays and words in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sequential

Colours = str | list[str]

FIELD: Colours = "Viridis"
# Streamlit's theme takes colours between #000001 and #000038 for places to fill in; the first of Inferno is one.
ERROR: Colours = ["rgb(0, 0, 4)", *sequential.Inferno[1:]]
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
    colours: Colours = FIELD,
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
        "title": {"text": quantity, "side": "top", "font": {"color": ink}},
        "tickfont": {"color": ink},
        "thickness": 12,
        "orientation": "h",
        "x": 0.5,
        "y": 1.0,
        "yanchor": "bottom",
        "nticks": 6,
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
    figure.update_layout(margin={"t": 84 if title else 56})
    if equal:
        figure.update_yaxes(scaleanchor="x", constrain="domain", constraintoward="bottom")
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
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 1,
            "xanchor": "right",
            "font": {"color": ink, "size": 13},
        },
    )
    return figure


def solid(
    corners: np.ndarray,
    triangles: np.ndarray,
    values: np.ndarray,
    *,
    names: tuple[str, str, str],
    quantity: str,
    bounds: tuple[float, float],
    ink: str,
    colours: Colours = FIELD,
    height: int = 460,
) -> go.Figure:
    """The surface of a solid in space, coloured by a field.

    Args:
        corners: (k, 3) x, y, z.
        triangles: (t, 3) numbers of corners.
        values: (k,) the field at the corners.
        names: labels of the axes.
    """
    if values.shape != (len(corners),):
        raise ValueError(f"values of shape {values.shape} for {len(corners)} corners")
    figure = go.Figure(
        go.Mesh3d(
            x=corners[:, 0],
            y=corners[:, 1],
            z=corners[:, 2],
            i=triangles[:, 0],
            j=triangles[:, 1],
            k=triangles[:, 2],
            intensity=values,
            cmin=bounds[0],
            cmax=bounds[1],
            colorscale=colours,
            colorbar={
                "title": {"text": quantity, "side": "top", "font": {"color": ink}},
                "tickfont": {"color": ink},
                "thickness": 12,
                "orientation": "h",
                "y": 1.0,
                "yanchor": "bottom",
                "nticks": 6,
            },
            # Light from the front only tints a little: the colour is what is read off.
            lighting={"ambient": 0.85, "diffuse": 0.3, "specular": 0.02},
            hovertemplate=f"{names[0]} %{{x:.3g}}<br>{names[1]} %{{y:.3g}}<br>{names[2]} %{{z:.3g}}<br>"
            f"{quantity} %{{intensity:.5g}}<extra></extra>",
        )
    )
    axis = {"color": ink, "showbackground": False, "gridcolor": "rgba(128,128,128,.35)", "nticks": 5}
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 60, "b": 0},
        scene={
            **{f"{key}axis": {"title": {"text": name}, **axis} for key, name in zip("xyz", names, strict=True)},
            "aspectmode": "data",
            "camera": {"eye": {"x": 1.1, "y": -1.65, "z": 1.35}, "center": {"x": 0, "y": 0, "z": -0.15}},
        },
    )
    return figure


def level_surface(distance: np.ndarray, axes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The surface where a signed distance on a grid is zero: corners (k, 3) and triangles (t, 3).

    The solid ends at the box of the grid at the latest.

    Args:
        distance: (nx, ny, nz), positive inside.
        axes: three evenly spaced axes of it.
    """
    from skimage.measure import marching_cubes

    if not (distance > 0).any():
        raise ValueError("there is no solid: the distance is nowhere positive")
    step = np.array([axis[1] - axis[0] for axis in axes])
    finest = float(step.min())
    # What touches the box ends on it; nodes on the boundary count as inside, which keeps edges between them straight.
    padded = np.pad(distance.astype(np.float64), 1, constant_values=-finest)
    corners, triangles, _, _ = marching_cubes(padded, -1e-4 * finest)
    start = np.array([axis[0] for axis in axes])
    last = np.array([axis[-1] for axis in axes])
    return np.clip(start + (corners - 1) * step, start, last), triangles


def between_nodes(values: np.ndarray, inside: np.ndarray, axes: Sequence[np.ndarray], places: np.ndarray) -> np.ndarray:
    """(k,): a field on the nodes of a grid at places (k, 3), linear; nodes outside take the nearest one inside.

    Args:
        values: (nx, ny, nz).
        inside: (nx, ny, nz) bool, where the field counts; somewhere at least.
        axes: three evenly spaced axes of it.
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    step = [axis[1] - axis[0] for axis in axes]
    nearest = distance_transform_edt(~inside, sampling=step, return_distances=False, return_indices=True)
    filled = values[tuple(np.asarray(nearest))]
    index = [(places[:, k] - axes[k][0]) / step[k] for k in range(3)]
    return map_coordinates(filled.astype(np.float64), index, order=1, mode="nearest")


def _style(figure: go.Figure, names: tuple[str, str], ink: str, title: str, height: int) -> None:
    figure.update_layout(
        title={"text": title, "font": {"size": 14, "color": ink}, "x": 0} if title else None,
        height=height,
        margin={"l": 76, "r": 16, "t": 36 if title else 12, "b": 64},
    )
    for update, name in ((figure.update_xaxes, names[0]), (figure.update_yaxes, names[1])):
        update(
            title={"text": name, "font": {"color": ink}, "standoff": 24},
            nticks=7,
            tickfont={"color": ink},
            automargin=False,
            showgrid=False,
            zeroline=False,
        )
