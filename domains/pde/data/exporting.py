"""Fields for other programs: VTK and VTU files for ParaView, and npz."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyhead.application import RESEARCH_USE
from polyhead.system.files import replacing, write_whole

_CELLS = {1: "line", 2: "quad", 3: "hexahedron"}


def write_vtk(
    path: str | Path,
    coordinates: np.ndarray,
    grid_shape: tuple[int, ...],
    fields: Mapping[str, np.ndarray],
    *,
    axes: Sequence[str] = (),
    mask: np.ndarray | None = None,
    cells: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Writes fields at points, in the points' order, as an unstructured grid.

    Every point keeps its place and value. A grid of 2, 3 axes becomes quads or hexahedra (one axis: lines) with the
    points as corners; a cell with a corner outside `mask` is left out. Scattered points become vertices. Points of one
    or two coordinates lie in the plane z = 0.

    Args:
        path: ``.vtu`` (XML) or ``.vtk`` (legacy, binary).
        coordinates: (P, d), d = 1, 2, 3, in C order of `grid_shape`.
        grid_shape: lengths of the d axes, or (P,) for scattered points.
        fields: name to values, (P,) a scalar, (P, 3) a vector.
        axes: names of the coordinates; those named x, y, z become VTK's, others (t, x) are taken in their order.
        mask: (P,) bool, the points inside, also written as the field ``inside``.
        cells: instead of a grid's own: meshio's name of a cell to the indices of its points (n, corners).

    Raises:
        ValueError: shapes that do not fit, values that are not finite, another suffix.
    """
    path = Path(path)
    if path.suffix not in (".vtu", ".vtk"):
        raise ValueError(f"{path}: fields are written as .vtu or .vtk, not {path.suffix or 'without a suffix'}")
    _check(coordinates, grid_shape, fields, axes, mask, str(path))
    points = _in_space(coordinates, axes)
    if cells is None:
        cells = _grid_cells(grid_shape, points, coordinates.shape[1], mask)
    for name, corners in cells.items():
        if corners.ndim != 2 or (corners.size and not 0 <= corners.min() <= corners.max() < len(points)):
            raise ValueError(f"{path}: {name} cells must be (n, corners) with indices in [0, {len(points)})")
    data: dict[str, Any] = {name: np.ascontiguousarray(values) for name, values in fields.items()}
    if mask is not None:
        data["inside"] = mask.astype(np.int8)
    _write_mesh(path, points, {name: corners for name, corners in cells.items() if len(corners)}, data)
    return path


def _check(
    coordinates: np.ndarray,
    grid_shape: tuple[int, ...],
    fields: Mapping[str, np.ndarray],
    axes: Sequence[str],
    mask: np.ndarray | None,
    where: str,
) -> None:
    if coordinates.ndim != 2 or not 1 <= coordinates.shape[1] <= 3:
        raise ValueError(f"{where}: coordinates must be (P, 1), (P, 2) or (P, 3), got {coordinates.shape}")
    count = len(coordinates)
    if not count or int(np.prod(grid_shape)) != count:
        raise ValueError(f"{where}: the grid {grid_shape} has not {count} points")
    if len(grid_shape) not in (1, coordinates.shape[1]):
        raise ValueError(f"{where}: points of {coordinates.shape[1]} coordinates on a grid {grid_shape}")
    if len(axes) not in (0, coordinates.shape[1]):
        raise ValueError(f"{where}: {len(axes)} names for {coordinates.shape[1]} coordinates")
    if mask is not None and mask.shape != (count,):
        raise ValueError(f"{where}: the mask must have shape ({count},), got {mask.shape}")
    for name, values in {"coordinates": coordinates, **fields}.items():
        if name != "coordinates" and values.shape not in ((count,), (count, 3)):
            raise ValueError(f"{where}: {name} must have shape ({count},) or ({count}, 3), got {values.shape}")
        bad = np.flatnonzero(~np.isfinite(values.reshape(count, -1)).all(axis=1))
        if len(bad):
            raise ValueError(f"{where}: {name} is not finite at point {bad[0]}")


def _in_space(coordinates: np.ndarray, axes: Sequence[str]) -> np.ndarray:
    points = np.zeros((len(coordinates), 3))
    names = [name.lower() for name in axes]
    places = ["xyz".index(name) for name in names] if names and set(names) <= set("xyz") else range(3)
    for column, place in zip(coordinates.T, places, strict=False):
        points[:, place] = column
    return points


def _grid_cells(
    grid_shape: tuple[int, ...], points: np.ndarray, dimensions: int, mask: np.ndarray | None
) -> dict[str, np.ndarray]:
    axes = len(grid_shape)
    if axes != dimensions:
        kept = np.arange(grid_shape[0]) if mask is None else np.flatnonzero(mask)
        return {"vertex": kept[:, None]}
    number = np.arange(int(np.prod(grid_shape))).reshape(grid_shape)
    # VTK goes around a face counterclockwise, then around the opposite one.
    face = [(0, 0), (1, 0), (1, 1), (0, 1)] if _right_handed(number, points) else [(0, 0), (0, 1), (1, 1), (1, 0)]
    around = {1: [(0,), (1,)], 2: face, 3: [(k, *corner) for k in (0, 1) for corner in face]}[axes]
    corners = [
        number[tuple(slice(step, length - 1 + step) for step, length in zip(corner, grid_shape, strict=True))].ravel()
        for corner in around
    ]
    cells = np.stack(corners, axis=1)
    return {_CELLS[axes]: cells if mask is None else cells[mask[cells].all(axis=1)]}


def _right_handed(number: np.ndarray, points: np.ndarray) -> bool:
    """Whether the axes of a grid, in their order, turn as x, y, z do."""
    if min(number.shape) < 2:
        return True
    steps = [points[number[tuple(np.eye(number.ndim, dtype=int)[k])]] - points[0] for k in range(number.ndim)]
    frame = np.stack([*steps, *np.eye(3)[number.ndim :]])
    return bool(np.linalg.det(frame) > 0)


def _write_mesh(path: Path, points: np.ndarray, cells: dict[str, np.ndarray], data: dict[str, Any]) -> None:
    import meshio

    mesh = meshio.Mesh(points, list(cells.items()), point_data=data)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        meshio.write(temporary, mesh, file_format="vtu" if path.suffix == ".vtu" else "vtk")


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], *, units: Mapping[str, str] | None = None) -> Path:
    """Writes named arrays, with the units of some as ``unit_NAME`` and the terms of use as ``use``.

    Raises:
        ValueError: a name that is taken by these, an array of objects, or a unit of no array.
    """
    path = Path(path)
    units = dict(units or {})
    for name, values in arrays.items():
        if name == "use" or name.startswith("unit_"):
            raise ValueError(f"{path}: the name {name!r} is taken; choose another")
        if values.dtype.hasobject:
            raise ValueError(f"{path}: {name} holds objects, not numbers")
    unknown = sorted(set(units) - set(arrays))
    if unknown:
        raise ValueError(f"{path}: a unit for {unknown[0]!r}, which is not among {', '.join(arrays)}")
    described = {f"unit_{name}": np.array(unit) for name, unit in units.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **{**arrays, **described, "use": np.array(RESEARCH_USE)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, stream.getvalue())
    return path
