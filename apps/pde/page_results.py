"""What an operator answered: maps, profiles and solids, beside the solver's answer where it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from apps.pde.page_input import Asked
from apps.pde.page_model import Model
from domains.pde.networks.description import Description, grid_axes
from domains.pde.outlines import measure
from domains.pde.questions import Question
from domains.pde.samples import Quantity
from domains.pde.write import (
    FIELD_FILE,
    MESH_FILE,
    PLOT_FILE,
    THUMBNAIL_FILE,
    Answer,
    summarise,
    write_answer,
)
from polyhead.application import RESEARCH_USE
from ui.download import zip_of
from ui.field_plots import ERROR, FIELD, Curve, between_nodes, field_map, label, level_surface, limits, profile, solid
from ui.theme import facts, ink

CHART = {"displaylogo": False, "scrollZoom": False}

BAND = "Half-width of the band"

SURFACE_GRID = (97, 97, 25)


class Collected:
    """A writer that keeps the files of one case in memory, by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def write_bytes(self, name: str, data: bytes) -> None:
        self.files[name] = data

    def write_json(self, name: str, value: Any) -> None:
        import json

        self.files[name] = json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def files_of(answer: Answer, *, plots: bool = True) -> dict[str, bytes]:
    """The files that `predict` would write for an answer."""
    out = Collected()
    write_answer(answer, out, plots=plots)
    return {name: data for name, data in out.files.items() if name != THUMBNAIL_FILE}


def with_solver(model: Model, asked: Asked, answer: Answer) -> tuple[Answer, str]:
    """The answer with that of the solver where it was asked, or why the solver has none."""
    kept = st.session_state.get("pde-solved")
    if kept is None or kept["signature"] != _signature(model, asked):
        return answer, ""
    if kept["field"] is None:
        return answer, kept["reason"]
    seconds = {**(answer.seconds or {}), "solver": round(kept["seconds"], 6)}
    return replace(answer, solver=kept["field"], seconds=seconds), ""


def _signature(model: Model, asked: Asked) -> str:
    return f"{model.weights_hash} {asked.signature}"


def field_part(answer: Answer) -> None:
    """The field of the operator and what is to be said of it."""
    lines = [f"{line[:1].upper()}{line[1:]}." for line in answer.warnings]
    if lines:
        st.warning("\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0], icon=":material/warning:")
    if len(answer.question.grid_shape) == 3:
        _in_space(answer)
    else:
        _map(answer, "Operator", _plane(answer), height=430)
    facts(fact_words(answer))
    if answer.half_width is None:
        st.caption("No coverage band: this task was not calibrated. `polyhead pde calibrate RUN DATA` makes its bands.")


def compare_part(model: Model, asked: Asked, answer: Answer, refused: str) -> None:
    """The solver's answer on request, the difference and the band as maps, a profile, and the downloads."""
    if refused:
        st.warning(refused, icon=":material/warning:")
    elif answer.solver is None and st.button(
        "Solve it too, and compare", key="solve", help="Our own verified solver, on this machine"
    ):
        with st.spinner("Solving ..."):
            st.session_state["pde-solved"] = {"signature": _signature(model, asked), **solved(answer)}
        st.rerun()
    plane = _level(answer) if len(answer.question.grid_shape) == 3 else _plane(answer)
    in_space = len(answer.question.grid_shape) == 3
    shown = [title for title in _fields(answer) if title != "Operator" or in_space]
    for start in range(0, len(shown), 2):
        for column, title in zip(st.columns(2), shown[start : start + 2], strict=False):
            with column:
                _map(answer, title, plane)
    _profile(answer, plane)
    _downloads(model, asked, answer)


def input_part(answer: Answer) -> None:
    """A picture of the input function."""
    about, values = answer.about, answer.question.functions
    if not about.functions:
        return
    name = _label(about.functions[0])
    axes = about.axes[-(values.ndim - 1) :]
    ticks = [np.linspace(axis[0], axis[-1], count) for axis, count in zip(about.sensors, values.shape[1:], strict=True)]
    low, high = limits([values])
    words = f"Input, {name}: from {low:.4g} to {high:.4g}"
    if len(ticks) == 1:
        curves = [Curve(name, values[0])]
        figure = profile(ticks[0], curves, names=(_label(axes[0]), name), ink=ink(), height=220)
    elif len(ticks) == 2:
        figure = field_map(
            values[0],
            ticks[1],
            ticks[0],
            names=(_label(axes[1]), _label(axes[0])),
            quantity=name,
            bounds=(low, high),
            ink=ink(),
            colours="Cividis",
            equal=True,
            outline=_outline(answer),
            height=330,
        )
    else:
        return
    st.plotly_chart(figure, key="input", config=CHART, alt=words)


def solved(answer: Answer) -> dict[str, Any]:
    """The solver's ``field`` (n,) or None, the ``reason`` why there is none, and the ``seconds`` that it took."""
    from domains.pde.reference import solve

    began = time.perf_counter()
    try:
        field = solve(answer.question, answer.about)
        reason = f"No solver is known for {answer.question.task} with this geometry."
    except ValueError as refused:
        field, reason = None, f"The solver refuses this input: {' '.join(str(refused).split())}."
    return {"field": field, "reason": reason, "seconds": time.perf_counter() - began}


def fact_words(answer: Answer) -> dict[str, str]:
    """The answer in numbers with their units."""
    said = summarise(answer)
    unit = "" if said["quantity"]["unit"] == "1" else f" {said['quantity']['unit']}"
    told = {
        said["quantity"]["name"].capitalize(): f"{said['minimum']:.4g} to {said['maximum']:.4g}{unit}, "
        f"mean {said['mean']:.4g}{unit}",
        "Points": f"{said['points_inside']:,} inside of {said['points']:,}",
    }
    if said["integral"] is not None:
        units = product([said["quantity"]["unit"], *(axis["unit"] for axis in said["axes"])])
        told["Integral"] = f"{said['integral']:.4g} {units}".rstrip()
    told["Time of the operator"] = f"{duration_words(said['seconds']['operator'])}, its trunk at these points kept"
    if (error := said["error"]) is not None:
        relative = "not defined" if error["relative_l2"] is None else f"{100 * error['relative_l2']:.2f} %"
        told["Time of the solver"] = (
            f"{duration_words(said['seconds']['solver'])} (its first run on a grid includes preparation)"
        )
        told["Relative L2 error"] = f"{relative} against the solver"
        told["Largest error"] = f"{error['largest']:.3g}{unit}, root mean square {error['rmse']:.3g}{unit}"
    if (band := said["band"]) is not None:
        told["Band"] = (
            f"covers the whole true field with probability {band['level']:.0%}: ± {band['mean_half_width']:.3g}{unit} "
            f"on average, ± {band['largest_half_width']:.3g}{unit} at most"
        )
    return told


def product(units: Sequence[str]) -> str:
    """Units multiplied, equal ones as a power.

    >>> product(["K", "m", "1", "m"])
    'K·m²'
    """
    counts = Counter(unit for unit in units if unit != "1")
    powers = {1: "", 2: "²", 3: "³"}
    return "·".join(f"{unit}{powers.get(count, f'^{count}')}" for unit, count in counts.items())


def duration_words(seconds: float) -> str:
    """
    >>> duration_words(0.0032), duration_words(2.5)
    ('3.2 ms', '2.5 s')
    """
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _fields(answer: Answer) -> dict[str, np.ndarray]:
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
    return [_label(axis) for axis in answer.about.axes], _label(answer.about.solution)


def _label(quantity: Quantity) -> str:
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


def _plane(answer: Answer) -> Plane:
    """All of a field of two axes, the first upwards."""
    return Plane(1, 0, _ticks(answer))


def _level(answer: Answer) -> Plane:
    """The level of a field of three axes that a slider chooses."""
    ticks = _ticks(answer)
    inside = answer.question.mask.reshape(answer.question.grid_shape)
    filled = [level for level in range(len(ticks[2])) if inside[:, :, level].any()]
    axis = answer.about.axes[2]
    level = st.select_slider(
        f"Level {_label(axis)}",
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


def _map(answer: Answer, title: str, plane: Plane, height: int = 400) -> None:
    names, quantity = _labels(answer)
    fields = _fields(answer)
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
            outline=_outline(answer),
            height=height,
        ),
        key=f"map-{title}",
        config=CHART,
        alt=f"{title}: map of {quantity}{where}, from {low:.4g} to {high:.4g}",
    )


def _outline(answer: Answer) -> list[np.ndarray]:
    """The boundary of a planar geometry as closed lines, from its signed distance."""
    shape = answer.question.shape
    if shape is None:
        return []
    from skimage.measure import find_contours

    ticks = np.linspace(-0.02, 1.02, 209)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    distance = shape.distance(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    return [ticks[0] + (ticks[1] - ticks[0]) * ring[:-1, ::-1] for ring in find_contours(distance, 0.0)]


def _profile(answer: Answer, plane: Plane) -> None:
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
        title: plane.of(values.reshape(answer.question.grid_shape))[row] for title, values in _fields(answer).items()
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


def _in_space(answer: Answer) -> None:
    """The surface of the solid, coloured by a field that can be chosen."""
    question = answer.question
    names, quantity = _labels(answer)
    fields = _fields(answer)
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


def _downloads(model: Model, asked: Asked, answer: Answer) -> None:
    stem = answer.question.task.replace("/", "-")

    def everything() -> bytes:
        inputs = {f"input/{name}": data for name, data in asked.entries().items()}
        return zip_of(files_of(answer) | inputs | {"READ ME.txt": _readme(model)})

    with st.container(horizontal=True):
        for words, name, mime, make in (
            ("Everything (zip)", f"{stem}.zip", "application/zip", everything),
            ("Field (npz)", f"{stem}.npz", "application/octet-stream", lambda: _one(answer, FIELD_FILE)),
            ("For ParaView (vtu)", f"{stem}.vtu", "application/xml", lambda: _one(answer, MESH_FILE)),
            ("Picture (png)", f"{stem}.png", "image/png", lambda: _one(answer, PLOT_FILE)),
        ):
            st.download_button(
                words, data=make, file_name=name, mime=mime, on_click="ignore", key=f"get-{name.rpartition('.')[2]}"
            )


def _one(answer: Answer, name: str) -> bytes:
    return files_of(answer, plots=name == PLOT_FILE)[name]


def _readme(model: Model) -> bytes:
    lines = [
        RESEARCH_USE,
        "",
        f"Model: {model.title}",
        f"Weights (SHA-256): {model.weights_hash}",
        "The folder input holds the question; the same answer comes from:",
        "polyhead pde predict RUN input/request.json -o OUT",
        "",
    ]
    return "\n".join(lines).encode()
