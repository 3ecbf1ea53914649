"""A planar shape: its signed distance, its box, its outline, and its constructive description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from domains.pde.geometry import csg, polygons

Bounds = tuple[tuple[float, ...], tuple[float, ...]]
"""Lower and upper corner of a box, coordinates in the same order as those of the points."""

UNIT_SQUARE: Bounds = ((0.0, 0.0), (1.0, 1.0))

EDGE = 1e-9
"""Points closer to the boundary than this share of the shape's size lie on it, and so not inside."""


@dataclass(frozen=True)
class Shape:
    """A planar region. Its points are (x, y), unlike the grids of `OperatorData`, whose axes are y, x.

    Attributes:
        name: ``"circle"``, ``"star:7"``, the name of a file.
        signed_distance: (n, 2) float64 to (n,) float64, positive inside, in the unit of the coordinates.
        bounds: lower and upper corner of its box, ((x, y), (x, y)).
        outline: gives that many points (n, 2) on the boundary, evenly spaced by arc length.
        constructive: makes its description as a `deepxde.geometry.Geometry`; None where there is none.
    """

    name: str
    signed_distance: Callable[[np.ndarray], np.ndarray]
    bounds: Bounds
    outline: Callable[[int], np.ndarray]
    constructive: Callable[[], Any] | None = None

    @property
    def size(self) -> float:
        """Longer side of the box."""
        return max(upper - lower for lower, upper in zip(*self.bounds, strict=True))

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(n,) float64: signed distance of the points (n, 2) to the boundary, positive inside.

        Errors: ValueError for another shape of `points` and for numbers that are not finite.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"{self.name}: points must have shape (n, 2), columns x and y, got {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError(f"{self.name}: a point's coordinate is not a finite number")
        return self.signed_distance(points)

    def inside(self, points: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the points (n, 2) lie inside; the boundary does not count."""
        return self.distance(points) > EDGE * self.size

    def boundary(self, count: int) -> np.ndarray:
        """(count, 2) float64: points on the boundary, evenly spaced by arc length."""
        if count < 1:
            raise ValueError(f"{self.name}: at least one boundary point must be asked for, got {count}")
        return self.outline(count)

    def csg(self) -> Any:
        """The shape as a `deepxde.geometry.Geometry` (float32 coordinates).

        Errors: ValueError for shapes that were not constructed, such as drawn masks.
        """
        if self.constructive is None:
            raise ValueError(f"{self.name}: this shape was drawn and has no constructive description")
        return self.constructive()


def from_rings(rings: Sequence[np.ndarray], name: str) -> Shape:
    """The region between rings (k, 2) of vertices that do not cross; a ring inside another is a hole."""
    kept = tuple(np.asarray(ring, dtype=np.float64) for ring in rings)
    return Shape(
        name,
        partial(polygons.signed_distance, rings=kept),
        polygons.bounds(kept),
        partial(polygons.along_outline, kept),
        partial(csg.region, kept),
    )


def from_polygon(
    vertices: Sequence[Sequence[float]] | np.ndarray,
    *,
    holes: Sequence[Sequence[Sequence[float]] | np.ndarray] = (),
    name: str = "polygon",
) -> Shape:
    """The simple polygon of the vertices (k, 2), without its holes; exact signed distance.

    Errors: ValueError for a polygon that is not simple or has no area, and for a hole that is not inside.
    """
    outer = polygons.simple_ring(vertices, name)
    rings = [outer]
    for number, hole in enumerate(holes, start=1):
        ring = polygons.simple_ring(hole, f"{name}, hole {number}")
        within = polygons.signed_distance(ring, tuple(rings)).min() > 0
        if not within or any(polygons.signed_distance(other, (ring,)).max() >= 0 for other in rings[1:]):
            raise ValueError(f"{name}: hole {number} is not inside the polygon, or it meets another hole")
        rings.append(ring)
    polygons.check_crossings(tuple(rings), name)
    return from_rings(rings, name)
