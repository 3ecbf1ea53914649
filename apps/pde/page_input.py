"""The page's input: widgets that fill a parameter file, the same that `predict` reads."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from apps.pde.page_geometry import choose_geometry
from domains.pde.asking.outlines import is_planar
from domains.pde.asking.questions import reading_order
from domains.pde.data.samples import Quantity
from domains.pde.networks.description import Description
from polyhead.system.files import write_whole
from ui import upload
from ui.field_plots import label

RANDOM, UNIFORM, UPLOAD = "Random field", "Uniform", "Upload"
GRIDS = {"As trained": 1.0, "Half as fine": 0.5, "Twice as fine": 2.0}
MOST_POINTS = 400_000
"""More points than this are work for the command line: a page should answer at once."""

REQUEST_FILE = "request.json"
TRIES = 500


@dataclass(frozen=True)
class Asked:
    """A parameter file as a mapping, and the files that it names, by their names."""

    request: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(json.dumps(self.request, sort_keys=True).encode())
        for name in sorted(self.files):
            digest.update(name.encode() + self.files[name])
        return digest.hexdigest()

    def entries(self) -> dict[str, bytes]:
        """The parameter file and its companions, ready to be written beside each other."""
        return {REQUEST_FILE: json.dumps(self.request, indent=1).encode() + b"\n", **self.files}

    def spooled(self, folder: Path) -> Path:
        """Writes the parameter file and its companions to a folder of their own; the path of the parameter file."""
        home = folder / f"pde-{self.signature[:16]}"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self.entries().items():
            if not (home / name).is_file():
                write_whole(home / name, content)
        return home / REQUEST_FILE


def choose_input(task: str, about: Description) -> Asked | None:
    """The widgets of one task, and what they ask; None where something is still to be chosen."""
    request: dict[str, Any] = {"task": task}
    files: dict[str, bytes] = {}
    parameters = _parameters(task, about)
    if parameters:
        request["parameters"] = parameters
    complete = True
    if is_planar(about):
        geometry, needed = choose_geometry(task)
        files |= needed
        if geometry is None:
            complete = False
        else:
            request["geometry"] = geometry
    if len(about.functions) == 1:
        key = "initial" if len(about.sensors) == 1 else "field"
        value, needed = _function(task, about, key)
        files |= needed
        if value is None:
            complete = False
        else:
            request[key] = value
    elif about.functions:
        st.error("This task takes several input functions; use the tab Folder, or the command line.")
        complete = False
    resolution = choose_resolution(about)
    if resolution is not None:
        request["resolution"] = resolution
    return Asked(request, files) if complete else None


def _parameters(task: str, about: Description) -> dict[str, float]:
    """A control for each parameter; those that the task's source term does not have are left out."""
    trained = about.inputs.get(task)
    values: dict[str, float] = {}
    for place, quantity in enumerate(about.parameters):
        if quantity.name == "beta" and task.startswith("fisher/") and not task.endswith("/zfk"):
            continue
        low, high = (trained.low[place], trained.high[place]) if trained else (0.0, 1.0)
        values[quantity.name] = _number(quantity, low, high, f"parameter-{task}-{quantity.name}")
    return values


def _number(quantity: Quantity, low: float, high: float, key: str) -> float:
    """A slider that reaches somewhat beyond the training range, so that one can see where it ends."""
    words = f"Trained on {low:g} to {high:g}" + ("" if quantity.unit == "1" else f" {quantity.unit}")
    if quantity.name == "holes":
        return st.slider("Number of holes", 1, max(12, round(high)), round((low + high) / 2), key=key, help=words)
    name = label(quantity.name.capitalize(), quantity.unit)
    span = high - low or max(abs(high), 1.0)
    # Every quantity of our problems is positive; below zero only where the training was.
    least = low - 0.5 * span if low < 0 else max(low - 0.5 * span, 0.0)
    digits = 2 - math.floor(math.log10(2 * span))
    bottom, top, middle = (round(value, digits) for value in (least, high + 0.5 * span, (low + high) / 2))
    step = 10.0**-digits
    return st.slider(name, bottom, top, middle, step, key=key, help=words)


def _function(task: str, about: Description, key: str) -> tuple[Any, dict[str, bytes]]:
    """What the request holds under `key`, and the file that it names, if it does."""
    quantity = about.functions[0]
    kinds = [RANDOM, UNIFORM, UPLOAD]
    kind = st.segmented_control(
        quantity.name.capitalize(), kinds, default=RANDOM, required=True, wrap=True, key=f"function-{task}"
    )
    usual = usual_field(task, about)
    if kind == UPLOAD:
        shape = " x ".join(map(str, about.sensor_shape))
        file = st.file_uploader(
            f"{quantity.name.capitalize()}: numbers in a .npy or .csv file ({shape})",
            type=["npy", "csv"],
            key=f"function-file-{task}",
        )
        if len(about.sensors) > 1:
            st.caption("Rows go up along y, columns along x. Another number of rows and columns is interpolated.")
        if file is None:
            st.info(f"Upload a file with the {quantity.name}, or choose another source.")
            return None, {}
        name = f"{key}{Path(upload.safe_name(file.name)).suffix.lower()}"
        return name, {name: file.getvalue()}
    unit = label("Value", quantity.unit)
    if kind == UNIFORM:
        value = st.number_input(unit, value=float(usual["mean"]), step=0.1, format="%.3f", key=f"uniform-{task}")
        return _packed(np.full(about.sensor_shape, value), key)
    left, right = st.columns(2)
    seed = left.number_input("Seed", 0, 1_000_000, 1, key=f"seed-{task}")
    box = min(axis[-1] - axis[0] for axis in about.sensors)
    length = right.slider(
        label("Correlation length", about.axes[-1].unit),
        min_value=0.05 * box,
        max_value=0.6 * box,
        value=min(max(usual["length"], 0.05 * box), 0.6 * box),
        step=0.05 * box,
        key=f"length-{task}",
    )
    deviation = left.number_input(
        "Standard deviation",
        min_value=0.0,
        value=float(usual["deviation"]),
        step=0.1,
        format="%.3f",
        key=f"deviation-{task}",
    )
    mean = right.number_input("Mean", value=float(usual["mean"]), step=0.1, format="%.3f", key=f"mean-{task}")
    if usual["bounded"]:
        st.caption("The field is taken to (0, 1) by the normal distribution function, as in the training data.")
    with st.spinner("Drawing the field ..."):
        values = _drawn(task, about, usual, seed, length, deviation, mean)
    return _packed(values, key)


def usual_field(task: str, about: Description) -> dict[str, Any]:
    """How the training data drew the input function: kernel, length, terms, mean, deviation, whether bounded.

    Data that do not say so get a field that fills their range.
    """
    said = about.attributes
    logarithm = said.get("log_conductivity")
    if isinstance(logarithm, Mapping):
        return {
            "kernel": logarithm["kernel"],
            "length": float(logarithm["range"]),
            "terms": logarithm["terms"],
            "mean": 0.0,
            "deviation": float(logarithm["standard_deviation"]),
            "bounded": False,
        }
    if "correlation_length" in said:
        return {
            "kernel": said["kernel"],
            "length": float(said["correlation_length"]),
            "terms": None,
            "mean": float(said["mean"]),
            "deviation": float(said["deviation"]),
            "bounded": bool(said["bounded"]),
        }
    trained = about.inputs.get(task)
    low, high = (trained.low[-2], trained.high[-1]) if trained else (0.0, 1.0)
    return {
        "kernel": "squared_exponential",
        "length": 0.2 * min(axis[-1] - axis[0] for axis in about.sensors),
        "terms": None,
        "mean": round((low + high) / 2, 3),
        "deviation": round((high - low) / 6, 3),
        "bounded": False,
    }


def _drawn(
    task: str, about: Description, usual: Mapping[str, Any], seed: int, length: float, deviation: float, mean: float
) -> np.ndarray:
    """(*sensors) float64: a member of the Gaussian field; the first that is not negative, where the task needs that."""
    from scipy.special import ndtr

    from domains.pde.solvers.random_fields import gaussian_field

    extent = tuple(axis[-1] - axis[0] for axis in about.sensors)
    made = gaussian_field(usual["kernel"], about.sensor_shape, length, terms=usual["terms"], extent=extent)
    generator = np.random.default_rng(seed)
    positive = task in ("fisher/fisher", "fisher/zfk") and not usual["bounded"]
    values = first = mean + deviation * made.draw(1, generator)[0]
    for _ in range(TRIES if positive else 0):
        if values.min() >= 0:
            break
        values = mean + deviation * made.draw(1, generator)[0]
    else:
        values = first
    return ndtr(values) if usual["bounded"] else values


def _packed(values: np.ndarray, key: str) -> tuple[Any, dict[str, bytes]]:
    """Values as the request holds them: a short list, or a file of float32."""
    if values.ndim == 1:
        return [float(value) for value in values.astype(np.float32)], {}
    stream = io.BytesIO()
    np.save(stream, values.astype(np.float32), allow_pickle=False)
    return f"{key}.npy", {f"{key}.npy": stream.getvalue()}


def choose_resolution(about: Description) -> list[int] | None:
    """Lengths of the grid in the order of the axes' names, None for the grid of the training data."""
    lengths = [len(axis) for axis in about.grid] or [65] * len(about.axes)
    shapes = {name: [round((n - 1) * factor) + 1 for n in lengths] for name, factor in GRIDS.items()}
    offered = [name for name in GRIDS if np.prod(shapes[name]) <= MOST_POINTS and min(shapes[name]) > 1]
    order = reading_order(about)

    def words(name: str) -> str:
        return f"{name} ({' x '.join(str(shapes[name][index]) for index in order)})"

    chosen = st.selectbox(
        f"Grid of the answer ({', '.join(about.axes[index].name for index in order)})",
        offered,
        format_func=words,
        key=f"grid-{about.problem}",
    )
    return [shapes[chosen][index] for index in order] if chosen != "As trained" or not about.grid else None
