"""The points of a solution: from one array, from grids as of meshgrid, from axes, or evenly spaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.importing.assemble import grid_axes
from domains.pde.importing.options import ImportOptions

Fail = Callable[[str], ValueError]

_POINTS = ("coordinates", "coords", "points", "grid", "trunk")
_ORDER = ("t", "z", "y", "x")
_USUAL = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x"), 4: ("t", "z", "y", "x")}


@dataclass(frozen=True)
class Points:
    """Coordinates (*grid, d), their d axes, the arrays that they came from, and what is to be said of them."""

    coordinates: np.ndarray
    axes: tuple[Quantity, ...]
    names: tuple[str, ...]
    notes: dict[str, str] = field(default_factory=dict)


def mesh_names(arrays: Mapping[str, np.ndarray]) -> set[str]:
    """Names that speak of axes and grids: ``xx``, ``yy``, ..., and ``x``, ``y``, ... where they have one dimension."""
    doubled = {name for name in arrays if len(name) == 2 and name[0] == name[1] and name[0].lower() in _ORDER}
    single = {name for name in arrays if name.lower() in _ORDER and _is_line(arrays[name])}
    return doubled | single


def _is_line(values: np.ndarray) -> bool:
    return max(values.shape, default=0) == values.size


def points_of(
    arrays: Mapping[str, np.ndarray], meshes: set[str], options: ImportOptions, shape: tuple[int, ...], fail: Fail
) -> Points:
    """The points of solutions of that shape.

    Args:
        arrays: what may hold coordinates.
        meshes: names among them of grids or axes.
        shape: of one solution, its grid, or (P,) where it is flattened.

    Raises:
        ValueError: made by `fail`, where coordinates and solution do not fit.
    """
    count = int(np.prod(shape))
    names = options.coordinates
    if not names:
        single = tuple(name for name in arrays if name.lower() in _POINTS and arrays[name].ndim >= 2)
        names = single or tuple(sorted(meshes & set(arrays), key=lambda name: _ORDER.index(name[0].lower())))
    for name in names:
        if name not in arrays:
            raise fail(f"no array {name!r} for the coordinates")
    given = [arrays[name] for name in names]
    if not given:
        return _even(options, shape, fail)
    if len(given) == 1 and not _is_line(given[0]):
        dimensions = given[0].shape[-1]
        if int(np.prod(given[0].shape[:-1])) != count:
            raise fail(f"coordinates {names[0]!r} of shape {given[0].shape} do not fit outputs of shape (N, {shape})")
        grid = options.grid_shape or (shape if len(shape) in (1, dimensions) else given[0].shape[:-1])
        return Points(given[0].reshape(*grid, dimensions), _axes(dimensions, options), names)
    quantities = tuple(Quantity(name[0].lower() if len(name) == 2 and name[0] == name[1] else name) for name in names)
    if all(map(_is_line, given)):
        return _of_lines(names, [values.ravel() for values in given], quantities, shape, fail)
    grid = given[0].shape
    if any(values.shape != grid for values in given) or int(np.prod(grid)) != count:
        raise fail(f"coordinates {', '.join(names)} do not fit outputs of shape (N, {shape})")
    # MATLAB's meshgrid lets x run along the second axis: each grid belongs to the axis that it changes along.
    along = [int(np.argmax([np.ptp(values, axis=k).max() for k in range(values.ndim)])) for values in given]
    order = sorted(range(len(given)), key=along.__getitem__)
    coordinates = np.stack([given[k] for k in order], axis=-1)
    if grid_axes(coordinates) is None:
        return Points(np.stack([values.ravel() for values in given], axis=-1), quantities, names)
    return Points(coordinates, tuple(quantities[k] for k in order), names)


def _of_lines(
    names: tuple[str, ...],
    lines: list[np.ndarray],
    quantities: tuple[Quantity, ...],
    shape: tuple[int, ...],
    fail: Fail,
) -> Points:
    lengths = tuple(map(len, lines))
    count = int(np.prod(shape))
    if shape == lengths or (len(shape) == 1 and int(np.prod(lengths)) == count):
        return Points(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1), quantities, names)
    if shape == (lengths[0],) and set(lengths) == {count}:
        return Points(np.stack(lines, axis=-1), quantities, names)
    raise fail(
        f"axes {', '.join(names)} of lengths {lengths} do not fit outputs of shape (N, {shape}); name the axes in the "
        "order of the outputs (--coordinates, once for each)"
    )


def _even(options: ImportOptions, shape: tuple[int, ...], fail: Fail) -> Points:
    grid = options.grid_shape or shape
    bounds = options.bounds or ((0.0, 1.0),) * len(grid)
    if int(np.prod(grid)) != int(np.prod(shape)) or len(bounds) != len(grid):
        raise fail(
            f"a grid {grid} with bounds of {len(bounds)} axes does not fit outputs of shape (N, {shape}): "
            "mend --set grid_shape=[...] or --set bounds=[[low, high], ...]"
        )
    axes = [np.linspace(low, high, length) for (low, high), length in zip(bounds, grid, strict=True)]
    said = " x ".join(f"[{low:g}, {high:g}]" for low, high in bounds)
    note = {"coordinates": f"not in the file; taken as evenly spaced nodes of {said}"}
    return Points(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1), _axes(len(grid), options), (), note)


def _axes(dimensions: int, options: ImportOptions) -> tuple[Quantity, ...]:
    if len(options.axes) == dimensions:
        return options.axes
    usual = _USUAL.get(dimensions) or tuple(f"axis {k + 1}" for k in range(dimensions))
    return tuple(map(Quantity, usual))
