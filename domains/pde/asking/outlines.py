"""The geometry of a question: read from a name, a polygon, a mask or a mesh, and measured at points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.asking.questions import Question, check_keys, read_array
from domains.pde.networks.description import Description, grid_axes
from polyhead.batch.case import InvalidInput

GEOMETRY_KEYS = ("shape", "mask", "polygon", "mesh")

BOX, CELLS = "box", "box of cells"
"""Geometries that fill a grid: their edge runs through the outermost points, or half a cell beyond them."""


def is_planar(about: Description) -> bool:
    """Whether a problem is asked for any geometry in the plane: Darcy flow, whose axes are y and x."""
    return [axis.name for axis in about.axes] == ["y", "x"] and about.problem.startswith("darcy")


def known_shape(name: str) -> Any:
    """The shape of that name, None where there is none."""
    from domains.pde.geometry.shapes import shape

    try:
        return shape(name)
    except ValueError:
        return None


def box_corners(axes: Sequence[Sequence[float] | np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (d,) of `BOX` or `CELLS` around the grid of these axes, two values or more each."""
    ends = [np.sort(np.asarray(axis)) for axis in axes]
    low, high = np.array([axis[0] for axis in ends]), np.array([axis[-1] for axis in ends])
    if name == BOX:
        return low, high
    first, last = (np.array([steps[end] for steps in map(np.diff, ends)]) for end in (0, -1))
    return low - first / 2, high + last / 2


def unfamiliar(task: str, geometry: str, about: Description) -> str | None:
    """A warning where a planar geometry is none of those that its task was trained on; None where it is.

    Members of a random family, as ``star:7``, are of one kind.
    A run that names no geometries knows that of the task's name.
    """
    # A sample of data that name no geometries is told by a number.
    if not is_planar(about) or not geometry or geometry.isdecimal():
        return None
    trained = about.geometries.get(task) or (task.rpartition("/")[2],)
    if geometry.partition(":")[0] in trained:
        return None
    known = ", ".join(name.replace("_", " ") for name in trained)
    which = "the one" if len(trained) == 1 else "one of those"
    return (
        f"the geometry {geometry.replace('_', ' ')} is not {which} that the task {task} was trained on ({known}): "
        "compare with the solver before you trust the answer"
    )


def between(values: np.ndarray, coordinates: np.ndarray, grid_shape: tuple[int, ...], points: np.ndarray) -> np.ndarray:
    """(n,): values (P,) on a grid, linear between its nodes; at scattered points the nearest one's."""
    from scipy.interpolate import NearestNDInterpolator, RegularGridInterpolator

    axes = grid_axes(coordinates, grid_shape)
    if not axes:
        return NearestNDInterpolator(coordinates, values)(points)
    grid = values.reshape(grid_shape)
    return RegularGridInterpolator(axes, grid, bounds_error=False, fill_value=None)(points)  # pyright: ignore[reportArgumentType]


def read_shape(given: object, task: str, folder: Path, about: Description) -> tuple[Any, Any]:
    """The planar geometry of a request, and the mesh that it came from, if it did."""
    from domains.pde.geometry.masks import from_mask
    from domains.pde.geometry.mesh import from_mesh, read_points
    from domains.pde.geometry.shape import from_polygon
    from domains.pde.geometry.shapes import shape

    box = (tuple(about.lower[::-1]), tuple(about.upper[::-1]))
    if given is None:
        own, trained = task.rpartition("/")[2], about.geometries.get(task, ())
        given = {"shape": trained[0] if len(trained) == 1 and own not in trained else own}
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InvalidInput("geometry", "`geometry` needs one entry", f"one of: {', '.join(GEOMETRY_KEYS)}")
    check_keys(given, GEOMETRY_KEYS, "geometry")
    if given.get("shape") in (BOX, CELLS) and about.grid:
        (bottom, left), (top, right) = box_corners(about.grid, str(given["shape"]))
        corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
        return from_polygon(corners, name=str(given["shape"])), None
    (kind, value), mesh = next(iter(given.items())), None
    try:
        if kind == "shape":
            found = shape(str(value))
        elif kind == "polygon":
            found = from_polygon(read_array(value, folder, "polygon"))
        elif kind == "mask":
            image = value if isinstance(value, np.ndarray) else _read_mask(folder / str(value))
            origin = "lower" if isinstance(value, np.ndarray) else "upper"
            found = from_mask(np.asarray(image) > 0, box, origin=origin, name="mask")
        else:
            mesh = read_points(folder / str(value))
            found = from_mesh(mesh)
    except ValueError as wrong:
        raise InvalidInput(f"bad-{kind}", " ".join(str(wrong).split()), "mend the geometry") from None
    (low, high), slack = np.array(found.bounds), 1e-6
    if (low < np.array(box[0]) - slack).any() or (high > np.array(box[1]) + slack).any():
        reach = " to ".join(f"({x:g}, {y:g})" for x, y in found.bounds)
        inside = " to ".join(f"({x:g}, {y:g})" for x, y in box)
        raise InvalidInput("geometry-outside", f"{found.name} reaches from {reach}", f"it must lie in {inside}")
    return found, mesh


def _read_mask(path: Path) -> np.ndarray:
    """(H, W) bool of an image: brighter than half of its range, or not transparent, is inside."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > 100_000_000:
                raise InvalidInput("bad-mask", f"{picture.width} x {picture.height} pixels", "make it smaller")
            grey = np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError) as failure:
        raise InvalidInput("bad-mask", f"{path.name} cannot be read as an image: {failure}", "save it as PNG") from None
    # An index mask of 0 and 1 is as good as one of 0 and 255.
    return grey > int(grey.max()) // 2


def measure(question: Question, about: Description, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance and mask (n,) of points in the geometry of a question."""
    if about.problem == "plate":
        from domains.pde.geometry.plate import PlateDesign, plate_distance

        design = PlateDesign(round(float(question.parameters[0])), float(question.parameters[1]))
        distance = plate_distance(design, points)
        return distance, distance > -1e-9
    if question.shape is not None:
        distance = question.shape.distance(points[:, ::-1])
        return distance, distance > 1e-9 * question.shape.size
    raise InvalidInput(
        "no-geometry", f"the geometry {question.geometry} is known at the data's points only", "ask there"
    )
