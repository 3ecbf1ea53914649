"""Implicit shapes: functions of (x, y) that are negative inside, close to the signed distance in scene units."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Shape = Callable[[Array, Array], Array]
"""(x, y) of any one form -> signed distance of the same form, float32, scene units (1 = the depth of the field)."""

Point = tuple[float, float]


def turned(x: Array, y: Array, centre: Point, angle: float) -> tuple[Array, Array]:
    """Coordinates in a frame at `centre` whose first axis points `angle` radians from +x towards +y (downwards)."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    return c * dx + s * dy, c * dy - s * dx


def place(centre: Point, angle: float, along: float, across: float) -> Point:
    """The point at (`along`, `across`) of the frame that `turned` uses."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return centre[0] + c * along - s * across, centre[1] + s * along + c * across


def ellipse(centre: Point, a: float, b: float, angle: float = 0.0) -> Shape:
    """An ellipse of semi-axes a, b; the distance is right to first order at its edge and finite at its centre."""
    if min(a, b) <= 0:
        raise ValueError(f"an ellipse needs positive semi-axes, got {a} and {b}")

    def distance(x: Array, y: Array) -> Array:
        u, v = turned(x, y, centre, angle)
        u, v = u / np.float32(a), v / np.float32(b)
        k = np.hypot(u, v)
        slope = np.hypot(u / np.float32(a), v / np.float32(b))
        tiny = np.float32(1e-4)
        return (k + tiny) * (k - 1) / (slope + tiny / np.float32(min(a, b)))

    return distance


def blob(
    centre: Point, a: float, b: float, angle: float, waves: Sequence[tuple[int, float, float]], sharpness: float = 1.0
) -> Shape:
    """A star-shaped outline: an ellipse whose radius is scaled by 1 + sum of amplitude * cos(n * theta + phase).

    `waves` holds (n, amplitude, phase). `sharpness` above 1 narrows the crests of the waves into spicules.
    """

    def distance(x: Array, y: Array) -> Array:
        u, v = turned(x, y, centre, angle)
        u, v = u / np.float32(a), v / np.float32(b)
        theta = np.arctan2(v, u)
        radius = np.ones_like(theta)
        for n, amplitude, phase in waves:
            wave = np.cos(np.float32(n) * theta + np.float32(phase))
            if sharpness != 1.0:
                wave = 2 * ((1 + wave) / 2) ** np.float32(sharpness) - np.float32(0.6)
            radius += np.float32(amplitude) * wave
        return (np.hypot(u, v) / np.maximum(radius, np.float32(0.2)) - 1) * np.float32(min(a, b))

    return distance


def stroke(points: Sequence[Point], radius: float) -> Shape:
    """All within `radius` of a polyline: a capsule for two points."""

    def distance(x: Array, y: Array) -> Array:
        best: Array | None = None
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            ex, ey = np.float32(x1 - x0), np.float32(y1 - y0)
            dx, dy = x - np.float32(x0), y - np.float32(y0)
            t = np.clip((dx * ex + dy * ey) / np.float32(max(ex * ex + ey * ey, 1e-9)), 0, 1)
            d = np.hypot(dx - t * ex, dy - t * ey)
            best = d if best is None else np.minimum(best, d)
        if best is None:
            raise ValueError("a stroke needs at least two points")
        return best - np.float32(radius)

    return distance


def arc(centre: Point, a: float, b: float, angle: float, start: float, stop: float, radius: float) -> Shape:
    """A stroke along part of an ellipse, from parameter `start` to `stop` (radians)."""
    turns = np.linspace(start, stop, 9)
    return stroke([place(centre, angle, a * float(np.cos(t)), b * float(np.sin(t))) for t in turns], radius)


def below(curve: Callable[[Array], Array] | float) -> Shape:
    """All deeper than a curve y = curve(x), or than a constant depth."""

    def distance(x: Array, y: Array) -> Array:
        return (curve(x) if callable(curve) else np.float32(curve)) - y

    return distance


def wavy(depth: float, slope: float, height: float, period: float, phase: float) -> Callable[[Array], Array]:
    """The curve of a gently waving layer."""

    def curve(x: Array) -> Array:
        turn = np.float32(2 * np.pi / period)
        return np.float32(depth) + np.float32(slope) * x + np.float32(height) * np.sin(turn * x + np.float32(phase))

    return curve


def union(*shapes: Shape) -> Shape:
    """Inside any."""
    return lambda x, y: np.minimum.reduce([shape(x, y) for shape in shapes])


def common(*shapes: Shape) -> Shape:
    """Inside all."""
    return lambda x, y: np.maximum.reduce([shape(x, y) for shape in shapes])


def without(shape: Shape, *holes: Shape) -> Shape:
    """Inside the first and in none of the others."""
    return lambda x, y: np.maximum.reduce([shape(x, y), *(-hole(x, y) for hole in holes)])


def grown(shape: Shape, by: float) -> Shape:
    """The shape with its edge moved outwards by `by`, inwards where negative."""
    return lambda x, y: shape(x, y) - np.float32(by)


def rim(shape: Shape, thickness: float) -> Shape:
    """A shell of the given thickness, centred on the edge of a shape."""
    return lambda x, y: np.abs(shape(x, y)) - np.float32(thickness / 2)
