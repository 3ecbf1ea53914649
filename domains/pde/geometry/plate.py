"""The heated plate: a disc with a hub in the middle and a ring of round holes, in 64 designs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from domains.pde.geometry import polygons
from domains.pde.geometry.shape import Bounds

DISC_RADIUS = 2.0
THICKNESS = 0.25
HUB_RADIUS = 0.75
HUB_TOP = 1.0
HOLE_RADIUS = 0.2
HOLE_COUNTS = tuple(range(2, 10))
HOLE_POSITIONS = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)
TRAIN_POSITIONS = (0.9, 1.2, 1.6)

PLATE_BOUNDS: Bounds = ((-DISC_RADIUS, -DISC_RADIUS, 0.0), (DISC_RADIUS, DISC_RADIUS, HUB_TOP))
"""Lower and upper corner (x, y, z) of the box around every design, in metres."""

# The solid of revolution cut by a plane through its axis; mirrored, so that the axis is no boundary.
_PROFILE = np.array(
    [
        (-DISC_RADIUS, 0.0),
        (DISC_RADIUS, 0.0),
        (DISC_RADIUS, THICKNESS),
        (HUB_RADIUS, THICKNESS),
        (HUB_RADIUS, HUB_TOP),
        (-HUB_RADIUS, HUB_TOP),
        (-HUB_RADIUS, THICKNESS),
        (-DISC_RADIUS, THICKNESS),
    ]
)


@dataclass(frozen=True)
class PlateDesign:
    """A design: round holes of radius 0.2 m, evenly spaced on a circle, the first at angle 0 (on the positive x axis).

    The disc (radius 2 m) fills z in [0, 0.25], the hub (radius 0.75 m) z in [0, 1]. Holes run through the whole
    height: at the position 0.9 they also cut a groove of 0.05 into the hub.

    Attributes:
        holes: how many.
        position: radius of the circle of their centres, in metres.

    Errors: ValueError for no hole, and for holes that overlap or reach the rim or the axis.
    """

    holes: int
    position: float

    def __post_init__(self) -> None:
        if self.holes < 1:
            raise ValueError(f"a plate design needs at least one hole, got {self.holes}")
        if not HOLE_RADIUS < self.position < DISC_RADIUS - HOLE_RADIUS:
            raise ValueError(
                f"the hole position must lie between {HOLE_RADIUS:g} and {DISC_RADIUS - HOLE_RADIUS:g} m, "
                f"got {self.position:g}"
            )
        if self.holes > 1 and self.position * math.sin(math.pi / self.holes) <= HOLE_RADIUS:
            raise ValueError(f"{self.holes} holes of radius {HOLE_RADIUS:g} m overlap at {self.position:g} m")

    @property
    def name(self) -> str:
        return f"{self.holes} holes at {self.position:g} m"

    @property
    def train(self) -> bool:
        """Whether the published split trains on it: positions 0.9, 1.2 and 1.6, for every number of holes."""
        return any(math.isclose(self.position, position) for position in TRAIN_POSITIONS)

    def centres(self) -> np.ndarray:
        """(holes, 2): x and y of the holes' axes in metres."""
        angle = 2 * np.pi * np.arange(self.holes) / self.holes
        return self.position * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def plate_designs() -> tuple[PlateDesign, ...]:
    """The 64 published designs in their order: 2 to 9 holes, each at 0.9 to 1.6 m."""
    return tuple(PlateDesign(holes, position) for holes in HOLE_COUNTS for position in HOLE_POSITIONS)


def plate_distance(design: PlateDesign, points: np.ndarray) -> np.ndarray:
    """(n,) float64: signed distance in metres of the points (n, 3), x, y, z, to the plate's surface, positive inside.

    Exact inside; outside its size is a lower bound, as for every intersection that is taken by the minimum.

    Errors: ValueError for another shape of `points` and for numbers that are not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"plate: points must have shape (n, 3), columns x, y and z, got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("plate: a point's coordinate is not a finite number")
    from_axis = np.hypot(points[:, 0], points[:, 1])
    solid = polygons.signed_distance(np.stack([from_axis, points[:, 2]], axis=1), (_PROFILE,))
    return np.minimum(solid, hole_distance(design, points))


def hole_distance(design: PlateDesign, points: np.ndarray) -> np.ndarray:
    """(n,) float64: distance in metres of the points (n, 2 or 3) to the nearest hole's wall, negative in a hole."""
    centres = design.centres()
    nearest = np.full(len(points), np.inf)
    for x, y in centres:
        np.minimum(nearest, np.hypot(points[:, 0] - x, points[:, 1] - y), out=nearest)
    return nearest - HOLE_RADIUS
