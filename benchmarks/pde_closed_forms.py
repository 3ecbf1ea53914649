"""Closed forms that the PDE solvers are held against, each with the equation and the conditions that it solves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import j0, j1, jn_zeros, y0, y1

SQRT3 = np.sqrt(3.0)


def travelling_wave(x: np.ndarray, t: float) -> np.ndarray:
    """u_t = u_xx + u (1 - u) on the line: (1 + exp((x - 5 t / √6) / √6))⁻².

    M. J. Ablowitz, A. Zeppetella, Bull. Math. Biol. 41 (1979) 835.
    """
    return (1 + np.exp((x - 5 / np.sqrt(6) * t) / np.sqrt(6))) ** -2


def smooth_conductivity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """K = exp(sin(3x) cos(2y) / 2 + 0.3 x)."""
    return np.exp(0.5 * np.sin(3 * x) * np.cos(2 * y) + 0.3 * x)


def manufactured_head(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """h = sin(2x + 1) cos(y), which is not zero on any of the boundaries."""
    return np.sin(2 * x + 1) * np.cos(y)


def manufactured_source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-div(K grad h) of `manufactured_head` with `smooth_conductivity`."""
    slope_x, slope_y = 2 * np.cos(2 * x + 1) * np.cos(y), -np.sin(2 * x + 1) * np.sin(y)
    log_x = 1.5 * np.cos(3 * x) * np.cos(2 * y) + 0.3
    log_y = -np.sin(3 * x) * np.sin(2 * y)
    return -smooth_conductivity(x, y) * (log_x * slope_x + log_y * slope_y - 5 * manufactured_head(x, y))


def torsion_circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1, h = 0 on the circle of radius 1/2 about (1/2, 1/2): (1/4 - r²) / 4."""
    return (0.25 - (x - 0.5) ** 2 - (y - 0.5) ** 2) / 4


def torsion_triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1, h = 0 on the equilateral triangle over y = 0 with side 1: the product of the three heights / (√3/2)."""
    return y * (SQRT3 * x - y) * (SQRT3 * (1 - x) - y) / (2 * SQRT3)


def torsion_annulus(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δh = 1, h = 0 at r = a = 0.2 and r = b = 0.5: (b² - r²) / 4 + (b² - a²) / (4 ln(b/a)) ln(r/b)."""
    inner, outer = 0.2, 0.5
    radius = np.maximum(np.hypot(x - 0.5, y - 0.5), 1e-9)
    slope = (outer**2 - inner**2) / (4 * np.log(outer / inner))
    return (outer**2 - radius**2) / 4 + slope * np.log(radius / outer)


def cylinder(points: np.ndarray, radius: float, biot: float, terms: int = 40) -> np.ndarray:
    """ΔT = 0 in a cylinder of height 1, T = 1 on its top, -dT/dn = biot T elsewhere: a series of J0.

    Args:
        points: (..., 3).
    """
    r, z = np.hypot(points[..., 0], points[..., 1]), points[..., 2]
    number, total = biot * radius, np.zeros(points.shape[:-1])
    for low, high in pairwise(np.concatenate([[0.0], jn_zeros(1, terms)])):
        root = root_scalar(lambda s: s * j1(s) - number * j0(s), bracket=(low, high)).root
        factor = 2 * number / ((root**2 + number**2) * j0(root))
        total += factor * j0(root * r / radius) * _along_the_axis(root / radius, biot, z)
    return total


def tube(points: np.ndarray, inner: float, outer: float, biot: float, terms: int = 20) -> np.ndarray:
    """The same in a cylinder with a hole along its axis, whose wall loses heat as well: a series of J0 and Y0."""
    r, z = np.hypot(points[..., 0], points[..., 1]), points[..., 2]
    fine = np.linspace(inner, outer, 20001)

    def at_bore(s: float) -> tuple[float, float]:
        """T' - biot T at the inner wall, negated, of J0 and of Y0."""
        return s * j1(s * inner) + biot * j0(s * inner), s * y1(s * inner) + biot * y0(s * inner)

    def at_rim(s: float) -> float:
        """T' + biot T at the outer wall, of what fulfils the condition at the inner one."""
        first, second = at_bore(s)
        return (biot * j0(s * outer) - s * j1(s * outer)) * second - (biot * y0(s * outer) - s * y1(s * outer)) * first

    trial = np.linspace(0.05, terms * np.pi / (outer - inner), 4000)
    signs = np.sign([at_rim(s) for s in trial])
    total = np.zeros(points.shape[:-1])
    for number in np.flatnonzero(np.diff(signs)):
        rate = root_scalar(at_rim, bracket=(trial[number], trial[number + 1])).root
        first, second = at_bore(rate)
        share = -first / second
        mode = j0(rate * fine) + share * y0(rate * fine)
        weight = np.trapezoid(mode * fine, fine) / np.trapezoid(mode**2 * fine, fine)
        radial = j0(rate * r) + share * y0(rate * np.maximum(r, inner))
        total += weight * radial * _along_the_axis(rate, biot, z)
    return total


def _along_the_axis(rate: float, biot: float, z: np.ndarray) -> np.ndarray:
    """cosh(rate z) + biot / rate sinh(rate z), scaled to 1 at z = 1, in exponentials that cannot overflow."""
    ratio = (rate - biot) / (rate + biot)
    return (np.exp(rate * (z - 1)) + ratio * np.exp(-rate * (z + 1))) / (1 + ratio * np.exp(-2 * rate))
