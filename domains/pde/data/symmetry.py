"""The eight symmetries of the square: which of them leave a geometry in place, and samples turned by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from domains.pde.data.samples import OperatorData

Values = TypeVar("Values", np.ndarray, Tensor)
COUNT = 8


def turned(values: Values, symmetry: int) -> Values:
    """Fields (..., n, n) turned by `symmetry` % 4 quarter turns, and from 4 on mirrored along the diagonal."""
    quarters = symmetry % 4
    if isinstance(values, Tensor):
        values = torch.rot90(values, quarters, dims=(-2, -1))
        return values.transpose(-2, -1) if symmetry >= 4 else values
    values = np.rot90(values, quarters, axes=(-2, -1))
    return values.swapaxes(-2, -1) if symmetry >= 4 else values


@dataclass(frozen=True)
class Position:
    """A symmetry that leaves the points of some geometries in place.

    Attributes:
        symmetry: number of it, see `turned`.
        place: (n·n,) int64, for each point the one that it is turned to.
    """

    symmetry: int
    place: np.ndarray


def positions(data: OperatorData, geometries: np.ndarray) -> tuple[Position, ...]:
    """The symmetries of named geometries of the data, the identity first; it alone where the grid is not a square's.

    A square's grid has two axes of the same number of points over the same length, each its own mirror image.
    """
    side = data.grid_shape[0]
    identity = Position(0, np.arange(len(data.coordinates)))
    if len(data.grid_shape) != 2 or data.grid_shape != (side, side) or not _is_square(data.coordinates, side):
        return (identity,)
    index = np.arange(side * side)
    found = [identity]
    for symmetry in range(1, COUNT):
        origin = turned(index.reshape(side, side), symmetry).ravel()
        if (data.mask[geometries][:, origin] == data.mask[geometries]).all():
            place = np.empty_like(index)
            place[origin] = index
            found.append(Position(symmetry, place))
    return tuple(found)


def _is_square(coordinates: np.ndarray, side: int) -> bool:
    grid = coordinates.reshape(side, side, 2)
    ticks = grid[:, 0, 0], grid[0, :, 1]
    span = np.ptp(ticks[0])
    between = [axis - axis[0] for axis in ticks]
    mirrored = [axis + axis[::-1] for axis in between]
    return all(np.allclose(values, span, rtol=0, atol=1e-6 * span) for values in mirrored) and np.allclose(
        between[0], between[1], rtol=0, atol=1e-6 * span
    )
