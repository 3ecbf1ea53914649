"""What an operator answered, in parts of the page: the field, its numbers, the solver's answer where it was asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from apps.pde.page_charts import (
    CHART,
    chosen_level,
    draw_map,
    draw_profile,
    draw_solid,
    outline,
    quantity_label,
    shown_fields,
    whole_plane,
)
from apps.pde.page_downloads import downloads
from apps.pde.page_input import Asked
from apps.pde.page_model import Model
from domains.pde.predicting.write import Answer, summarise
from ui.field_plots import Curve, field_map, limits, profile
from ui.theme import facts, ink


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
    return f"{model.identity} {asked.signature}"


def field_part(answer: Answer) -> None:
    """The field of the operator and what is to be said of it."""
    lines = [f"{line[:1].upper()}{line[1:]}." for line in answer.warnings]
    if lines:
        st.warning("\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0], icon=":material/warning:")
    if len(answer.question.grid_shape) == 3:
        draw_solid(answer)
    else:
        draw_map(answer, "Operator", whole_plane(answer), height=430)
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
    plane = chosen_level(answer) if len(answer.question.grid_shape) == 3 else whole_plane(answer)
    in_space = len(answer.question.grid_shape) == 3
    shown = [title for title in shown_fields(answer) if title != "Operator" or in_space]
    for start in range(0, len(shown), 2):
        for column, title in zip(st.columns(2), shown[start : start + 2], strict=False):
            with column:
                draw_map(answer, title, plane)
    draw_profile(answer, plane)
    downloads(model, asked, answer)


def input_part(answer: Answer) -> None:
    """A picture of the input function."""
    about, values = answer.about, answer.question.functions
    if not about.functions:
        return
    name = quantity_label(about.functions[0])
    axes = about.axes[-(values.ndim - 1) :]
    ticks = [np.linspace(axis[0], axis[-1], count) for axis, count in zip(about.sensors, values.shape[1:], strict=True)]
    low, high = limits([values])
    words = f"Input, {name}: from {low:.4g} to {high:.4g}"
    if len(ticks) == 1:
        curves = [Curve(name, values[0])]
        figure = profile(ticks[0], curves, names=(quantity_label(axes[0]), name), ink=ink(), height=220)
    elif len(ticks) == 2:
        figure = field_map(
            values[0],
            ticks[1],
            ticks[0],
            names=(quantity_label(axes[1]), quantity_label(axes[0])),
            quantity=name,
            bounds=(low, high),
            ink=ink(),
            colours="Cividis",
            equal=True,
            outline=outline(answer),
            height=330,
        )
    else:
        return
    st.plotly_chart(figure, key="input", config=CHART, alt=words)


def solved(answer: Answer) -> dict[str, Any]:
    """The solver's ``field`` (n,) or None, the ``reason`` why there is none, and the ``seconds`` that it took."""
    from domains.pde.asking.reference import solve

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
