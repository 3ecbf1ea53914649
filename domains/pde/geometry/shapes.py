"""The shapes by name: those of the Darcy tasks, all within the unit square."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from domains.pde.geometry import csg
from domains.pde.geometry.families import FAMILIES
from domains.pde.geometry.shape import Shape, from_polygon
from polyhead.registry import Registry, UnknownName

SHAPES: Registry[Callable[[], Shape]] = Registry("shape")

CENTRE = (0.5, 0.5)
RADIUS = 0.5
HOLE_RADIUS = 0.2
CROSS_REACH = 0.25
CROSS_HALF_WIDTH = 0.06
NOTCH_HALF_WIDTH = 0.03
NOTCH_DEPTH = 0.4
TRIANGLE_HEIGHT = math.sqrt(3) / 2


def shape(name: str) -> Shape:
    """The shape of that name, or, for ``"star:7"`` and ``"ellipse:7"``, the member of a random family by its seed.

    Errors: UnknownName, a ValueError that lists the near names; ValueError for a seed that is no whole number.
    """
    family, colon, seed = name.partition(":")
    if not colon:
        if family in FAMILIES:
            raise ValueError(f"{family!r} is a family of shapes: add a seed, for example {family}:0")
        return SHAPES[family]()
    if family in SHAPES and family not in FAMILIES:
        raise UnknownName(f"the shape {family!r} takes no seed, got {name!r}")
    if not seed.isdecimal():
        raise ValueError(f"the seed of {name!r} must be a whole number, as in {family}:0")
    return FAMILIES[family](int(seed))


@SHAPES.add("square")
def square() -> Shape:
    """[0, 1]²."""
    return from_polygon([(0, 0), (1, 0), (1, 1), (0, 1)], name="square")


@SHAPES.add("circle")
def circle() -> Shape:
    """Radius 0.5 about (0.5, 0.5)."""
    return disc(CENTRE, RADIUS, name="circle")


@SHAPES.add("triangle")
def triangle() -> Shape:
    """Equilateral, side 1, its base on y = 0."""
    return from_polygon([(0, 0), (1, 0), (0.5, TRIANGLE_HEIGHT)], name="triangle")


@SHAPES.add("right_triangle")
def right_triangle() -> Shape:
    """Legs of length 1 on the axes."""
    return from_polygon([(0, 0), (1, 0), (0, 1)], name="right_triangle")


@SHAPES.add("l_shape")
def l_shape() -> Shape:
    """[0, 1]² without its upper right quarter."""
    return from_polygon([(0, 0), (1, 0), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)], name="l_shape")


@SHAPES.add("annulus")
def annulus() -> Shape:
    """Radii 0.2 and 0.5 about (0.5, 0.5)."""
    return Shape(
        "annulus",
        partial(_annulus_distance, centre=CENTRE, outer=RADIUS, inner=HOLE_RADIUS),
        ((CENTRE[0] - RADIUS, CENTRE[1] - RADIUS), (CENTRE[0] + RADIUS, CENTRE[1] + RADIUS)),
        partial(_circles, CENTRE, (RADIUS, HOLE_RADIUS)),
        partial(csg.annulus, CENTRE, RADIUS, HOLE_RADIUS),
    )


@SHAPES.add("square_with_cross")
def square_with_cross() -> Shape:
    """[0, 1]² without a cross in its middle: two bars of 0.5 x 0.12."""
    a, b = CROSS_REACH, CROSS_HALF_WIDTH
    arm = [(a, -b), (a, b), (b, b), (b, a)]
    quarter_turns = [(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)]
    # Each arm's last corner is the next one's inner corner: three corners an arm make the twelve of the cross.
    cross = [(CENTRE[0] + c * x + s * y, CENTRE[1] + t * x + u * y) for c, s, t, u in quarter_turns for x, y in arm[:3]]
    return from_polygon([(0, 0), (1, 0), (1, 1), (0, 1)], holes=[cross], name="square_with_cross")


@SHAPES.add("notched_triangle")
def notched_triangle() -> Shape:
    """The equilateral triangle with a slit of 0.06 x 0.4 upwards from the middle of its base."""
    left, right = 0.5 - NOTCH_HALF_WIDTH, 0.5 + NOTCH_HALF_WIDTH
    notch = [(left, 0), (left, NOTCH_DEPTH), (right, NOTCH_DEPTH), (right, 0)]
    return from_polygon([(0, 0), *notch, (1, 0), (0.5, TRIANGLE_HEIGHT)], name="notched_triangle")


def disc(centre: tuple[float, float], radius: float, *, name: str = "disc") -> Shape:
    """A disc; exact signed distance.

    Errors: ValueError for a radius that is not positive.
    """
    if not (radius > 0 and math.isfinite(radius)):
        raise ValueError(f"{name}: the radius must be positive, got {radius}")
    return Shape(
        name,
        partial(_disc_distance, centre=centre, radius=radius),
        ((centre[0] - radius, centre[1] - radius), (centre[0] + radius, centre[1] + radius)),
        partial(_circles, centre, (radius,)),
        partial(csg.disk, centre, radius),
    )


def _disc_distance(points: np.ndarray, centre: tuple[float, float], radius: float) -> np.ndarray:
    return radius - np.hypot(points[:, 0] - centre[0], points[:, 1] - centre[1])


def _annulus_distance(points: np.ndarray, centre: tuple[float, float], outer: float, inner: float) -> np.ndarray:
    from_centre = np.hypot(points[:, 0] - centre[0], points[:, 1] - centre[1])
    return np.minimum(outer - from_centre, from_centre - inner)


def _circles(centre: tuple[float, float], radii: tuple[float, ...], count: int) -> np.ndarray:
    """(count, 2): points on concentric circles, shared out by their circumferences."""
    edges = np.round(np.concatenate([[0.0], np.cumsum(radii) / np.sum(radii)]) * count).astype(int)
    parts = []
    for radius, number in zip(radii, np.diff(edges), strict=True):
        angle = 2 * np.pi * np.arange(number) / max(number, 1)
        parts.append(np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1))
    return np.concatenate(parts)
