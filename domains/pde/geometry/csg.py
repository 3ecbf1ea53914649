"""Constructive solid geometry by DeepXDE, imported when it is first asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from domains.pde.deepxde import import_deepxde
from domains.pde.geometry import polygons


def polygon(ring: np.ndarray) -> Any:
    """DeepXDE's Triangle, Rectangle or Polygon of the vertices (k, 2)."""
    geometry = import_deepxde().geometry
    if len(ring) == 3:
        return geometry.Triangle(*ring)
    if geometry.Rectangle.is_valid(ring):
        return geometry.Rectangle(ring.min(axis=0), ring.max(axis=0))
    return geometry.Polygon(ring)


def region(rings: polygons.Rings) -> Any:
    """Unions and differences of the rings' polygons, the outermost first: a ring inside another is a hole."""
    csg = import_deepxde().geometry.csg
    depth = [
        sum(polygons.signed_distance(ring[:1], (other,))[0] > 0 for other in rings if other is not ring)
        for ring in rings
    ]
    built: Any = None
    for level, ring in sorted(zip(depth, rings, strict=True), key=lambda pair: pair[0]):
        part = polygon(ring)
        if built is None:
            built = part
        else:
            built = csg.CSGUnion(built, part) if level % 2 == 0 else csg.CSGDifference(built, part)
    return built


def disk(centre: tuple[float, float], radius: float) -> Any:
    return import_deepxde().geometry.Disk(list(centre), radius)


def annulus(centre: tuple[float, float], outer: float, inner: float) -> Any:
    return import_deepxde().geometry.csg.CSGDifference(disk(centre, outer), disk(centre, inner))


def ellipse(centre: tuple[float, float], semi_axes: tuple[float, float], angle: float) -> Any:
    """An ellipse of semi-axes (major, minor), its major axis turned counterclockwise by `angle` radians from x."""
    # DeepXDE turns clockwise.
    return import_deepxde().geometry.Ellipse(list(centre), *semi_axes, -angle)


def star(centre: tuple[float, float], radius: float, cosines: np.ndarray, sines: np.ndarray) -> Any:
    """The region inside r(θ) = radius + Σ cosines[k-1] cos kθ + sines[k-1] sin kθ."""
    return import_deepxde().geometry.StarShaped(list(centre), radius, cosines, sines)
