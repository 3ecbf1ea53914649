"""Random shapes by seed: stars and ellipses about the middle of the unit square."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from domains.pde.geometry import csg, polygons
from domains.pde.geometry.shape import Shape
from polyhead.registry import Registry

FAMILIES: Registry[Callable[[int], Shape]] = Registry("family of shapes")

CENTRE = (0.5, 0.5)
STAR_WAVES = 6
STAR_VERTICES = 720
LARGEST_RADIUS = (0.38, 0.48)
DEEPEST_DENT = (0.25, 0.5)
ASPECT = (0.45, 0.95)

_BISECTIONS = 100


@FAMILIES.add("star")
def random_star(seed: int) -> Shape:
    """A star-shaped region r(θ) = r0 (1 + Σ_{k=1..6} a_k cos kθ + b_k sin kθ), coefficients falling as 1/k.

    The largest radius is uniform in [0.38, 0.48] and the deepest dent takes 25 to 50 % of r0. The signed distance is
    exact for the polygon of 720 vertices on the curve, which lies within 2e-5 of the curve itself.
    """
    generator = np.random.default_rng(_checked(seed))
    waves = np.arange(1, STAR_WAVES + 1)
    cosines, sines = generator.normal(size=(2, STAR_WAVES)) / waves
    angle = 2 * np.pi * np.arange(STAR_VERTICES) / STAR_VERTICES
    ripple = _fourier(angle, cosines, sines)
    scale = generator.uniform(*DEEPEST_DENT) / -ripple.min()
    radius = generator.uniform(*LARGEST_RADIUS) / (1 + scale * ripple.max())
    r = radius * (1 + scale * ripple)
    ring = np.stack([CENTRE[0] + r * np.cos(angle), CENTRE[1] + r * np.sin(angle)], axis=1)
    return Shape(
        f"star:{seed}",
        partial(polygons.signed_distance, rings=(ring,)),
        polygons.bounds((ring,)),
        partial(polygons.along_outline, (ring,)),
        partial(csg.star, CENTRE, radius, radius * scale * cosines, radius * scale * sines),
    )


@FAMILIES.add("ellipse")
def random_ellipse(seed: int) -> Shape:
    """An ellipse: half its length uniform in [0.38, 0.48], width by length in [0.45, 0.95], any direction.

    The signed distance is exact to rounding.
    """
    generator = np.random.default_rng(_checked(seed))
    major = generator.uniform(*LARGEST_RADIUS)
    minor = major * generator.uniform(*ASPECT)
    angle = generator.uniform(0, np.pi)
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    return Shape(
        f"ellipse:{seed}",
        partial(_ellipse_distance, semi_axes=(major, minor), angle=angle),
        (
            (float(CENTRE[0] - half_width), float(CENTRE[1] - half_height)),
            (float(CENTRE[0] + half_width), float(CENTRE[1] + half_height)),
        ),
        partial(_ellipse_outline, (major, minor), angle),
        partial(csg.ellipse, CENTRE, (major, minor), angle),
    )


def _checked(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"the seed of a random shape must not be negative, got {seed}")
    return seed


def _fourier(angle: np.ndarray, cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    phase = np.arange(1, len(cosines) + 1)[:, None] * angle
    return cosines @ np.cos(phase) + sines @ np.sin(phase)


def _ellipse_distance(points: np.ndarray, semi_axes: tuple[float, float], angle: float) -> np.ndarray:
    """(n,): signed distance to an ellipse about `CENTRE`.

    The foot of the perpendicular from (p, q) in the first quadrant is (a² p / (s + a² - b²), b² q / s), where s > 0
    solves (a p / (s + a² - b²))² + (b q / s)² = 1; the left side falls with s, so bisection finds it.
    """
    a, b = semi_axes
    x, y = (points - CENTRE).T
    p = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    # On the major axis the root may lie at s = 0: a point a hair beside it has the same foot to rounding.
    q = np.maximum(np.abs(np.cos(angle) * y - np.sin(angle) * x), 1e-12 * b)
    low, high = b * q, np.hypot(a * p, b * q)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        beyond = (a * p / (middle + a**2 - b**2)) ** 2 + (b * q / middle) ** 2 > 1
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    s = 0.5 * (low + high)
    distance = np.hypot(p - a**2 * p / (s + a**2 - b**2), q - b**2 * q / s)
    return np.where((p / a) ** 2 + (q / b) ** 2 < 1, distance, -distance)


def _ellipse_outline(semi_axes: tuple[float, float], angle: float, count: int) -> np.ndarray:
    parameter = np.linspace(0, 2 * np.pi, 4097)
    speed = np.hypot(semi_axes[0] * np.sin(parameter), semi_axes[1] * np.cos(parameter))
    length = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]))])
    at = np.interp(np.arange(count) * (length[-1] / count), length, parameter)
    x, y = semi_axes[0] * np.cos(at), semi_axes[1] * np.sin(at)
    turned = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], axis=1)
    return turned + CENTRE
