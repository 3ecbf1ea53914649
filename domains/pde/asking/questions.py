"""What is asked of an operator: one input, the points where its answer is wanted, and how a person writes that down."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.pde.data.claims import check_npy
from domains.pde.data.samples import Quantity
from domains.pde.networks.description import Description
from polyhead.batch.case import InvalidInput
from polyhead.system.regular import require_regular

if TYPE_CHECKING:
    from domains.pde.geometry.shape import Shape

KEYS = ("task", "parameters", "initial", "field", "functions", "geometry", "points", "resolution")
"""The keys of a parameter file."""

MAX_POINTS = 20_000_000
_LONGEST_HEADING = 1 << 20


@dataclass(frozen=True)
class Question:
    """One input of an operator and the points where it is answered.

    Attributes:
        task: the task that answers.
        parameters: (m,) float64.
        functions: (c, *any grid) float32 over the box of the problem.
        points: (n, d) float64, in the unit of the axes.
        grid_shape: lengths of their grid, or (n,) for scattered points.
        mask: (n,) bool, points inside the geometry.
        distance: (n,) float32, signed distance at the points; None where there is no boundary to speak of.
        geometry: its name.
        sensor_mask, sensor_distance: the same on the grid of the input functions' sensors; None without functions.
        shape: the planar geometry itself, where it is known.
        cells: cells of a mesh whose nodes the points are, by meshio's names.
        reference: (n,) the known answer.
        warnings: what the reader should know.
        source: of a data set's sample: problem, row, fingerprint of the data.
    """

    task: str
    parameters: np.ndarray
    functions: np.ndarray
    points: np.ndarray
    grid_shape: tuple[int, ...]
    mask: np.ndarray
    distance: np.ndarray | None = None
    geometry: str = ""
    sensor_mask: np.ndarray | None = None
    sensor_distance: np.ndarray | None = None
    shape: Shape | None = None
    cells: Mapping[str, np.ndarray] = field(default_factory=dict)
    reference: np.ndarray | None = None
    warnings: tuple[str, ...] = ()
    source: Mapping[str, Any] | None = None


def read_request(path: Path) -> dict[str, Any]:
    """A parameter file, JSON or YAML, as a mapping with known keys.

    Raises:
        InvalidInput: not such a file, or a key that is not one of `KEYS`.
    """
    import yaml

    try:
        # JSON is YAML, but for tabs, which only JSON allows.
        text = path.read_text(encoding="utf-8-sig")
        found = yaml.safe_load(text.replace("\t", " "))
    except OSError as failure:
        raise InvalidInput(
            "unreadable", f"cannot be opened: {failure.strerror}", "check the path or the link"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as failure:
        raise InvalidInput("unreadable", f"not a JSON or YAML file: {_line(failure)}", "mend the file") from None
    if not isinstance(found, Mapping):
        raise InvalidInput("not-a-request", "the file holds no `key: value` pairs", f"keys are: {', '.join(KEYS)}")
    check_keys(found, KEYS, "key")
    return dict(found)


def read_table(path: Path) -> list[list[str]]:
    """Rows of cells that are not empty, the heading first; between commas, semicolons or tabs, by the heading.

    Raises:
        InvalidInput: not a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline(_LONGEST_HEADING)
            file.seek(0)
            return [row for row in csv.reader(file, delimiter=max(",;\t", key=heading.count)) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as failure:
        raise InvalidInput("unreadable", f"not a table: {_line(failure)}", "save it as CSV in utf-8") from None


def check_keys(found: Mapping[Any, Any], known: Sequence[str], kind: str) -> None:
    """Refuses a key that nobody would read: what it meant to change would be left out silently."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1) or list(known)
            raise InvalidInput(f"unknown-{kind}", f"unknown {kind} {key!r}", f"known: {', '.join(near) or 'none'}")


def choose_task(asked: object, known: Sequence[str], asked_tasks: Sequence[str] = ()) -> str:
    """The task of a request: the one that it names, or the only one that there is."""
    options = [task for task in known if not asked_tasks or task in asked_tasks]
    if asked is None:
        if len(options) == 1:
            return options[0]
        raise InvalidInput("missing-key", "no task is named", f"add `task`, one of: {', '.join(options)}")
    if asked not in options:
        near = difflib.get_close_matches(str(asked), options, n=3) or options
        raise InvalidInput("unknown-task", f"the model has no task {asked!r}", f"known: {', '.join(near)}")
    return str(asked)


def read_parameters(given: object, names: Sequence[Quantity], defaults: Mapping[str, float]) -> np.ndarray:
    """(m,) float64: the named numbers; those with a default may be left out.

    Raises:
        InvalidInput: not a mapping, an unknown or missing name, or no finite number.
    """
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        known = ", ".join(_with_unit(name) for name in names) or "none"
        raise InvalidInput("parameters", "`parameters` holds no `name: value` pairs", f"known: {known}")
    check_keys(given, [name.name for name in names], "parameter")
    values = []
    for quantity in names:
        value = given.get(quantity.name, defaults.get(quantity.name))
        if value is None:
            raise InvalidInput(
                "missing-parameter", f"the parameter {quantity.name!r} is missing", f"give {_with_unit(quantity)}"
            )
        values.append(number(value, quantity.name))
    return np.array(values, dtype=np.float64)


def number(value: object, name: str) -> float:
    """A finite number, or `InvalidInput`."""
    try:
        found = float(str(value))
    except ValueError:
        raise InvalidInput("not-a-number", f"{name} must be a number, got {value!r}", "give its value") from None
    if not np.isfinite(found):
        raise InvalidInput("not-a-number", f"{name} must be a finite number, got {value!r}", "give its value")
    return found


def read_array(given: object, folder: Path, name: str) -> np.ndarray:
    """Numbers written down, or a file of them (``.npy``, ``.csv``, ``.txt``), relative to `folder`; all finite."""
    if isinstance(given, str):
        path = folder / given
        try:
            require_regular(path)
            if path.suffix.lower() == ".npy":
                check_npy(path)
                values = np.load(path, allow_pickle=False)
            elif path.suffix.lower() in (".csv", ".txt"):
                values = np.loadtxt(path, delimiter="," if path.suffix.lower() == ".csv" else None)
            else:
                raise InvalidInput("bad-array", f"{given!r} is no array file", "give numbers, or .npy, .csv or .txt")
        except (OSError, ValueError, EOFError) as failure:
            raise InvalidInput("bad-array", f"{given!r} cannot be read: {_line(failure)}", "mend the file") from None
    else:
        try:
            values = np.array(given, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput("bad-array", f"{name} must be numbers in rows of one length", "mend the list") from None
    if values.dtype.kind not in "fiub":
        raise InvalidInput("bad-array", f"{name} must hold real numbers, got {values.dtype}", "convert it")
    bad = np.flatnonzero(~np.isfinite(values.astype(np.float64)).ravel())
    if len(bad):
        raise InvalidInput("not-finite", f"{name} holds NaN or inf, first at index {int(bad[0])}", "mend the values")
    return values.astype(np.float64)


def read_points(given: object, about: Description, folder: Path) -> np.ndarray:
    """(n, d) float64 in the problem's order of axes.

    A CSV file names its axes in the first line. Points without names are in the order of the axes' names (x, y; t, x).

    Raises:
        InvalidInput: columns that do not fit, no points, or a point outside of the box.
    """
    names = [axis.name for axis in about.axes]
    header: list[str] | None = None
    if isinstance(given, str) and given.lower().endswith(".csv"):
        path = folder / given
        try:
            require_regular(path)
            with path.open(encoding="utf-8-sig") as file:
                first = file.readline(_LONGEST_HEADING)
        except (OSError, UnicodeDecodeError) as failure:
            raise InvalidInput("points", f"{given!r} cannot be read: {_line(failure)}", "mend the file") from None
        words = [word.strip().strip('"') for word in first.split(",")]
        if not _all_numbers(words):
            header = words
            try:
                values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8-sig")
            except ValueError as failure:
                raise InvalidInput("points", f"{given!r}: {_line(failure)}", "give a number in every cell") from None
            if not np.isfinite(values).all():
                raise InvalidInput("not-finite", f"{given!r} holds NaN or inf", "mend the values")
        else:
            values = read_array(given, folder, "points")
    else:
        values = read_array(given, folder, "points")
    values = np.atleast_2d(values)
    if values.ndim != 2 or values.shape[1] != len(names) or len(values) == 0:
        shape = " x ".join(map(str, values.shape))
        raise InvalidInput("points", f"points of shape {shape} for the axes {axis_words(about)}", "a row a point")
    if header is None:
        header = [names[index] for index in reading_order(about)]
    if sorted(header) != sorted(names):
        raise InvalidInput("points", f"columns {', '.join(header)}", f"the axes are: {axis_words(about)}")
    values = values[:, [header.index(name) for name in names]]
    low, high = np.array(about.lower), np.array(about.upper)
    slack = 1e-9 * (high - low)
    outside = ((values < low - slack) | (values > high + slack)).any(axis=1)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        where = ", ".join(f"{name} = {value:g}" for name, value in zip(names, values[first], strict=True))
        box = ", ".join(f"{n} in [{a:g}, {b:g}]" for n, a, b in zip(names, low, high, strict=True))
        raise InvalidInput(
            "points-outside", f"{int(outside.sum())} of {len(values)} points lie outside, first {where}", f"{box}"
        )
    return values


def grid_points(about: Description, resolution: Sequence[int] | None) -> tuple[np.ndarray, tuple[int, ...]]:
    """Points (n, d) of a regular grid over the box and its lengths; None takes the grid of the training data.

    Raises:
        InvalidInput: less than two points an axis, too many in all, or training points that are no grid.
    """
    if resolution is None:
        if not about.grid:
            raise InvalidInput(
                "points", "the model was trained on scattered points, so that there is no grid", "give points"
            )
        ticks = [np.array(axis) for axis in about.grid]
    else:
        if min(resolution) < 2 or np.prod(resolution, dtype=float) > MAX_POINTS:
            raise InvalidInput(
                "resolution",
                f"a grid of {' x '.join(map(str, resolution))} points",
                f"take at least 2 points an axis and at most {MAX_POINTS:,} in all",
            )
        ticks = [np.linspace(a, b, n) for a, b, n in zip(about.lower, about.upper, resolution, strict=True)]
    mesh = np.meshgrid(*ticks, indexing="ij")
    return np.stack(mesh, axis=-1).reshape(-1, len(ticks)), tuple(len(axis) for axis in ticks)


def reading_order(about: Description) -> list[int]:
    """The axes in the order of their names, which is the order of points that name no axes: x before y."""
    return sorted(range(len(about.axes)), key=lambda index: about.axes[index].name)


def axis_words(about: Description) -> str:
    return ", ".join(about.axes[index].name for index in reading_order(about))


def read_resolution(given: object, about: Description) -> list[int]:
    """Lengths of the axes in the problem's order, given in the order of the axes' names; one number is of each."""
    values = list(given) if isinstance(given, list | tuple) else [given] * len(about.axes)
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(whole) != len(values):
        raise InvalidInput("resolution", f"{given!r} is no list of whole numbers", f"give {axis_words(about)}")
    if len(whole) != len(about.axes):
        raise InvalidInput("resolution", f"{len(whole)} numbers for the axes {axis_words(about)}", "one an axis")
    lengths = [0] * len(whole)
    for value, index in zip(whole, reading_order(about), strict=True):
        lengths[index] = value
    return lengths


def _all_numbers(words: Sequence[str]) -> bool:
    try:
        [float(word) for word in words]
    except ValueError:
        return False
    return True


def _with_unit(quantity: Quantity) -> str:
    return quantity.name if quantity.unit == "1" else f"{quantity.name} in {quantity.unit}"


def _line(failure: object) -> str:
    return " ".join(str(failure).split())
