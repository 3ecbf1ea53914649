"""What an operator answered: maps, profiles and solids, beside the solver's answer where it was asked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from apps.pde.page_input import Asked
from apps.pde.page_model import Model
from domains.pde.networks.description import grid_axes
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
from ui.field_plots import ERROR, Curve, field_map, label, limits, profile, solid
from ui.theme import facts, ink

CHART = {"displaylogo": False, "scrollZoom": False}


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


def results_part(model: Model, asked: Asked, answer: Answer) -> Answer:
    """Shows an answer with all that belongs to it; returns it with the solver's answer, where there is one."""
    st.subheader("2. Field")
    for line in answer.warnings:
        st.warning(f"{line[:1].upper()}{line[1:]}.", icon=":material/warning:")
    answer = _compared(model, asked, answer)
    if len(answer.question.grid_shape) == 3:
        _space(answer)
    else:
        _plane(answer)
    facts(fact_words(answer))
    if answer.half_width is None:
        st.caption("No coverage band: this task was not calibrated. `polyhead pde calibrate RUN DATA` makes its bands.")
    _downloads(model, asked, answer)
    return answer


def _compared(model: Model, asked: Asked, answer: Answer) -> Answer:
    """The answer with that of the solver, which runs on the button and is kept until the question changes."""
    signature = f"{model.weights_hash} {asked.signature}"
    kept = st.session_state.get("pde-solved")
    if kept is None or kept["signature"] != signature:
        kept = None
        if st.button("Solve it too, and compare", key="solve", help="Our own verified solver, on this machine"):
            with st.spinner("Solving ..."):
                kept = {"signature": signature, **solved(answer)}
            st.session_state["pde-solved"] = kept
    if kept is None:
        return answer
    if kept["field"] is None:
        st.warning(kept["reason"], icon=":material/warning:")
        return answer
    return replace(
        answer, solver=kept["field"], seconds={**(answer.seconds or {}), "solver": round(kept["seconds"], 6)}
    )


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
        units = [said["quantity"]["unit"], *(axis["unit"] for axis in said["axes"])]
        told["Integral"] = f"{said['integral']:.4g} {'·'.join(each for each in units if each != '1')}".rstrip()
    told["Time of the operator"] = duration_words(said["seconds"]["operator"])
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
        found["Half-width of the band"] = answer.half_width
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


def _maps(answer: Answer, cut: Any, across: np.ndarray, up: np.ndarray, axes: tuple[int, int], words: str) -> None:
    """A map for each field beside each other; `cut` takes the plane out of a field on the grid."""
    names, quantity = _labels(answer)
    fields = _fields(answer)
    bounds = _ranges(fields)
    units = [answer.about.axes[axis] for axis in axes]
    equal = units[0].unit == units[1].unit and "t" not in (units[0].name, units[1].name)
    rings = _outline(answer)
    for column, (title, values) in zip(st.columns(max(2, len(fields))), fields.items(), strict=False):
        low, high = limits([values])
        with column:
            st.plotly_chart(
                field_map(
                    cut(values.reshape(answer.question.grid_shape)),
                    across,
                    up,
                    names=(names[axes[0]], names[axes[1]]),
                    quantity=quantity,
                    bounds=bounds[title],
                    ink=ink(),
                    title=title,
                    colours=ERROR if _is_error(title) else "Viridis",
                    equal=equal,
                    outline=rings,
                ),
                key=f"map-{title}",
                config=CHART,
                alt=f"{title}: map of {quantity}{words}, from {low:.4g} to {high:.4g}",
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


def _plane(answer: Answer) -> None:
    first, second = (np.array(axis) for axis in grid_axes(answer.question.points, answer.question.grid_shape))
    _maps(answer, lambda grid: grid, second, first, (1, 0), "")
    names, _ = _labels(answer)
    row = st.select_slider(
        f"Profile at {names[0]}",
        range(len(first)),
        len(first) - 1 if answer.about.axes[0].name == "t" else len(first) // 2,
        format_func=lambda index: f"{first[index]:.4g}",
        key=f"profile-{answer.about.problem}-{len(first)}",
    )
    _profile(answer, (row,), second, names[1], f"{names[0]} = {first[row]:.4g}")


def _profile(answer: Answer, pick: tuple[Any, ...], place: np.ndarray, name: str, words: str) -> None:
    _, quantity = _labels(answer)
    grid = {title: values.reshape(answer.question.grid_shape)[pick] for title, values in _fields(answer).items()}
    curves = [Curve(title, values) for title, values in grid.items() if not _is_error(title)][::-1]
    band = None
    if answer.half_width is not None:
        width = grid["Half-width of the band"]
        band = (grid["Operator"] - width, grid["Operator"] + width)
    level = f"{answer.level:.0%} band" if answer.level is not None else "band"
    st.plotly_chart(
        profile(place, curves, names=(name, quantity), ink=ink(), band=band, band_name=level, title=f"At {words}"),
        key="profile",
        config=CHART,
        alt=f"{quantity} along {name} at {words}: " + ", ".join(curve.name for curve in curves),
    )


def _space(answer: Answer) -> None:
    shape = answer.question.grid_shape
    points = answer.question.points.reshape(*shape, 3)
    inside = answer.question.mask.reshape(shape)
    names, quantity = _labels(answer)
    fields = _fields(answer)
    shared = _ranges(fields)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.segmented_control(
            "Shown in space", list(fields), default="Operator", required=True, key="space-field"
        )
        opened = st.toggle("Cut open", key="space-open")
    kept = inside & (points[..., 1] >= -1e-9) if opened else inside
    low, high = limits([fields[shown]])
    st.plotly_chart(
        solid(
            points,
            fields[shown].reshape(shape),
            kept,
            names=(names[0], names[1], names[2]),
            quantity=quantity if not _is_error(shown) else f"{shown}, {quantity}",
            bounds=shared[shown],
            ink=ink(),
        ),
        key="space",
        config=CHART | {"scrollZoom": True},
        alt=f"{shown}: {quantity} on the surface of the solid, from {low:.4g} to {high:.4g}",
    )
    heights = points[0, 0, :, 2]
    filled = [level for level in range(shape[2]) if inside[:, :, level].any()]
    level = st.select_slider(
        f"Cut at {names[2]}",
        filled,
        filled[0],
        format_func=lambda index: f"{heights[index]:.3g}",
        key=f"level-{len(heights)}",
    )
    words = f" at {names[2]} = {heights[level]:.3g}"
    _maps(answer, lambda grid: grid[:, :, level].T, points[:, 0, 0, 0], points[0, :, 0, 1], (0, 1), words)
    middle = shape[1] // 2
    _profile(
        answer,
        (slice(None), middle, level),
        points[:, 0, 0, 0],
        names[0],
        f"{names[1]} = {points[0, middle, 0, 1]:.3g}, {names[2]} = {heights[level]:.3g}",
    )


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
