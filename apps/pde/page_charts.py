"""The charts of an answer: maps over planes, profiles with their band, and the surface of a solid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from domains.pde.asking.outlines import measure
from domains.pde.asking.questions import Question
from domains.pde.data.samples import Quantity
from domains.pde.networks.description import Description, grid_axes
from domains.pde.predicting.write import Answer
from ui.field_plots import ERROR, FIELD, Curve, between_nodes, field_map, label, level_surface, limits, profile, solid
from ui.theme import ink

CHART = {"displaylogo": False, "scrollZoom": False}

BAND = "Half-width of the band"

SURFACE_GRID = (97, 97, 25)


def shown_fields(answer: Answer) -> dict[str, np.ndarray]:
    """The fields to show, by title, NaN outside; those of one unit that share their colours come first."""
    mask = answer.question.mask
    found = {"Operator": answer.field}
    if answer.solver is not None:
        found = {"Solver": answer.solver, "Operator": answer.field}
        found["|Operator − solver|"] = np.abs(answer.field - answer.solver)
    if answer.half_width is not None:
        found[BAND] = answer.half_width
    return {name: np.where(mask, values, np.nan) for name, values in found.items()}


def _is_error(title: str) -> bool:
    return title not in ("Operator", "Solver")


def _labels(answer: Answer) -> tuple[list[str], str]:
    return [quantity_label(axis) for axis in answer.about.axes], quantity_label(answer.about.solution)


def quantity_label(quantity: Quantity) -> str:
    return label(quantity.name, quantity.unit)


def _ranges(fields: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Colour limits: one for operator and solver, from zero for each error."""
    shared = limits([values for name, values in fields.items() if not _is_error(name)])
    return {name: (0.0, limits([values])[1]) if _is_error(name) else shared for name, values in fields.items()}


@dataclass(frozen=True)
class Plane:
    """Two axes to draw a field over: which they are, their values, what is taken of the grid, and where, in words."""

    across: int
    up: int
    ticks: tuple[np.ndarray, ...]
    take: tuple[Any, ...] = ()
    words: str = ""

    def of(self, grid: np.ndarray) -> np.ndarray:
        """(rows, columns) of a field on the grid."""
        plane = grid[self.take] if self.take else grid
        return plane if self.up < self.across else plane.T


def whole_plane(answer: Answer) -> Plane:
    """All of a field of two axes, the first upwards."""
    return Plane(1, 0, _ticks(answer))


def chosen_level(answer: Answer) -> Plane:
    """The level of a field of three axes that a slider chooses."""
    ticks = _ticks(answer)
    inside = answer.question.mask.reshape(answer.question.grid_shape)
    filled = [level for level in range(len(ticks[2])) if inside[:, :, level].any()]
    axis = answer.about.axes[2]
    level = st.select_slider(
        f"Level {quantity_label(axis)}",
        filled,
        filled[0],
        format_func=lambda index: f"{ticks[2][index]:.3g}",
        key=f"level-{len(ticks[2])}",
    )
    return Plane(0, 1, ticks, (slice(None), slice(None), level), _at(axis, ticks[2][level]))


def _ticks(answer: Answer) -> tuple[np.ndarray, ...]:
    return tuple(np.array(axis) for axis in grid_axes(answer.question.points, answer.question.grid_shape))


def _at(axis: Quantity, value: float) -> str:
    unit = "" if axis.unit == "1" else f" {axis.unit}"
    return f"{axis.name} = {value:.4g}{unit}"


def draw_map(answer: Answer, title: str, plane: Plane, height: int = 400) -> None:
    names, quantity = _labels(answer)
    fields = shown_fields(answer)
    values = plane.of(fields[title].reshape(answer.question.grid_shape))
    axes = [answer.about.axes[plane.across], answer.about.axes[plane.up]]
    low, high = limits([values])
    where = f" at {plane.words}" if plane.words else ""
    st.plotly_chart(
        field_map(
            values,
            plane.ticks[plane.across],
            plane.ticks[plane.up],
            names=(names[plane.across], names[plane.up]),
            quantity=quantity,
            bounds=_ranges(fields)[title],
            ink=ink(),
            title=f"{title}{where}",
            colours=ERROR if _is_error(title) else FIELD,
            equal=axes[0].unit == axes[1].unit and "t" not in (axes[0].name, axes[1].name),
            outline=outline(answer),
            height=height,
        ),
        key=f"map-{title}",
        config=CHART,
        alt=f"{title}: map of {quantity}{where}, from {low:.4g} to {high:.4g}",
    )


def outline(answer: Answer) -> list[np.ndarray]:
    """The boundary of a planar geometry as closed lines, from its signed distance."""
    shape = answer.question.shape
    if shape is None:
        return []
    from skimage.measure import find_contours

    ticks = np.linspace(-0.02, 1.02, 209)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    distance = shape.distance(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    return [ticks[0] + (ticks[1] - ticks[0]) * ring[:-1, ::-1] for ring in find_contours(distance, 0.0)]


def draw_profile(answer: Answer, plane: Plane) -> None:
    """The fields along one axis, with the band around the operator's; a slider chooses where on the other axis."""
    names, quantity = _labels(answer)
    across, up = plane.across, plane.up
    axis, ticks = answer.about.axes[up], plane.ticks[up]
    row = st.select_slider(
        f"Profile at {names[up]}",
        range(len(ticks)),
        len(ticks) - 1 if axis.name == "t" else len(ticks) // 2,
        format_func=lambda index: f"{ticks[index]:.4g}",
        key=f"profile-{answer.about.problem}-{len(ticks)}",
    )
    lines = {
        title: plane.of(values.reshape(answer.question.grid_shape))[row]
        for title, values in shown_fields(answer).items()
    }
    curves = [Curve(title, values) for title, values in lines.items() if not _is_error(title)][::-1]
    band = None
    if answer.half_width is not None:
        width = lines[BAND]
        band = (lines["Operator"] - width, lines["Operator"] + width)
    level = "band" if answer.level is None else f"{answer.level:.0%} band"
    where = ", ".join(filter(None, [_at(axis, ticks[row]), plane.words]))
    st.plotly_chart(
        profile(
            plane.ticks[across],
            curves,
            names=(names[across], quantity),
            ink=ink(),
            band=band,
            band_name=level,
            title=f"At {where}",
        ),
        key="profile",
        config=CHART,
        alt=f"{quantity} along {names[across]} at {where}: " + ", ".join(curve.name for curve in curves),
    )


def draw_solid(answer: Answer) -> None:
    """The surface of the solid, coloured by a field that can be chosen."""
    question = answer.question
    names, quantity = _labels(answer)
    fields = shown_fields(answer)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = "Operator"
        if len(fields) > 1:
            shown = st.segmented_control("Shown", list(fields), default=shown, required=True, key="space-field")
        opened = st.toggle("Cut open", key="space-open")
    corners, triangles = _surface(question, answer.about, opened)
    inside = question.mask.reshape(question.grid_shape)
    values = between_nodes(fields[shown].reshape(question.grid_shape), inside, _ticks(answer), corners)
    low, high = limits([values])
    st.plotly_chart(
        solid(
            corners,
            triangles,
            values,
            names=(names[0], names[1], names[2]),
            quantity=f"{shown}: {quantity}",
            bounds=_ranges(fields)[shown],
            ink=ink(),
            colours=ERROR if _is_error(shown) else FIELD,
        ),
        key="space",
        config=CHART | {"scrollZoom": True},
        alt=f"{shown}: {quantity} on the surface of the solid, from {low:.4g} to {high:.4g}",
    )


@st.cache_data(max_entries=20, show_spinner=False, hash_funcs={Question: lambda q: (q.task, q.parameters.tobytes())})
def _surface(question: Question, _about: Description, opened: bool) -> tuple[np.ndarray, np.ndarray]:
    """Corners and triangles of the solid's surface, on a grid finer than most answers; the half y > 0 where opened."""
    ticks = [np.linspace(a, b, n) for a, b, n in zip(_about.lower, _about.upper, SURFACE_GRID, strict=True)]
    mesh = np.meshgrid(*ticks, indexing="ij")
    distance, _ = measure(question, _about, np.stack(mesh, axis=-1).reshape(-1, 3))
    distance = distance.reshape(SURFACE_GRID)
    return level_surface(np.minimum(distance, mesh[1]) if opened else distance, ticks)
