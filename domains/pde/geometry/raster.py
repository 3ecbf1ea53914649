"""Grids, and what of them lies inside a shape: coordinates, mask and signed distance as `OperatorData` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domains.pde.geometry.plate import DISC_RADIUS, PLATE_BOUNDS, PlateDesign, plate_distance
from domains.pde.geometry.shape import EDGE, UNIT_SQUARE, Bounds, Shape


@dataclass(frozen=True)
class Raster:
    """A grid of P points and a domain on it.

    Attributes:
        coordinates: (P, d) float64 in C order of `grid_shape`; columns y, x in the plane and x, y, z in space.
        grid_shape: lengths of the d axes.
        mask: (P,) bool, the points inside.
        distance: (P,) float32, signed distance to the boundary, positive inside.
    """

    coordinates: np.ndarray
    grid_shape: tuple[int, ...]
    mask: np.ndarray
    distance: np.ndarray


def grid(bounds: Bounds, grid_shape: Sequence[int]) -> np.ndarray:
    """(P, d) float64: nodes of a regular grid, first and last on the corners, in C order.

    Args:
        bounds: lower and upper corner, in the order of the grid's axes.
        grid_shape: number of nodes along each axis, at least 2.

    Errors: ValueError for lengths that do not match or are below 2, and for a box without volume.
    """
    lower, upper = bounds
    if not len(lower) == len(upper) == len(grid_shape):
        raise ValueError(f"a grid of shape {tuple(grid_shape)} needs a box of as many axes, got {bounds}")
    if min(grid_shape) < 2:
        raise ValueError(f"a grid needs at least 2 nodes along each axis, got {tuple(grid_shape)}")
    if not all(np.isfinite(b - a) and b > a for a, b in zip(lower, upper, strict=True)):
        raise ValueError(f"the box of a grid must have a lower and an upper corner, got {bounds}")
    axes = [np.linspace(a, b, n) for a, b, n in zip(lower, upper, grid_shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def bounding_square(shape: Shape, margin: float = 0.0) -> Bounds:
    """The square about the middle of the shape's box, wider than its longer side by `margin` on each side."""
    lower, upper = np.asarray(shape.bounds)
    middle, half = (lower + upper) / 2, shape.size / 2 + margin
    return tuple((middle - half).tolist()), tuple((middle + half).tolist())


def raster(shape: Shape, grid_shape: tuple[int, int], bounds: Bounds = UNIT_SQUARE) -> Raster:
    """A shape on a grid of (ny, nx) nodes; `coordinates` have the columns y, x.

    Args:
        bounds: lower and upper corner ((x, y), (x, y)) of the grid.

    Errors: ValueError if no node is inside the shape.
    """
    (x_min, y_min), (x_max, y_max) = bounds
    coordinates = grid(((y_min, x_min), (y_max, x_max)), grid_shape)
    distance = shape.distance(coordinates[:, ::-1])
    mask = distance > EDGE * shape.size
    if not mask.any():
        raise ValueError(
            f"{shape.name}: no node of the {grid_shape[0]} x {grid_shape[1]} grid on {bounds} is inside; "
            "refine the grid or fit its box to the shape"
        )
    return Raster(coordinates, tuple(grid_shape), mask, distance.astype(np.float32))


def plate_raster(design: PlateDesign, grid_shape: tuple[int, int, int], bounds: Bounds = PLATE_BOUNDS) -> Raster:
    """A plate design on a grid of (nx, ny, nz) nodes.

    Nodes on the surface count as inside: no temperature is prescribed there.

    Errors: ValueError if no node is inside the plate.
    """
    coordinates = grid(bounds, grid_shape)
    distance = plate_distance(design, coordinates)
    mask = distance > -EDGE * DISC_RADIUS
    if not mask.any():
        raise ValueError(
            f"plate: no node of the grid {grid_shape} on {bounds} is inside; refine the grid or move its box"
        )
    return Raster(coordinates, tuple(grid_shape), mask, distance.astype(np.float32))
