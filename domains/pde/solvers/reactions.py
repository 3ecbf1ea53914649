"""The three source terms of the reaction-diffusion problem, and their exact flows.

With time scaled by the rate, u' = f(u), each source has a flow u(0) -> u(s) that can be written down: for Fisher and
Newell-Whitehead-Segel in closed form, for Zeldovich-Frank-Kamenetskii through exponential integrals and one inversion.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SOURCES = ("fisher", "nws", "zfk")


def check_source(source: str) -> None:
    """`ValueError` for a name that is not in `SOURCES`."""
    if source not in SOURCES:
        raise ValueError(f"unknown source term {source!r}; known: {', '.join(SOURCES)}")


def source_term(source: str, u: np.ndarray, rate: np.ndarray | float, beta: np.ndarray | float = 0.0) -> np.ndarray:
    """The source term a f(u) in the unit of `rate`; all arguments broadcast.

    Fisher a u (1 - u), Newell-Whitehead-Segel a u (1 - u²), Zeldovich-Frank-Kamenetskii a u (1 - u) exp(-β (1 - u)).
    """
    check_source(source)
    if source == "fisher":
        return rate * u * (1 - u)
    if source == "nws":
        return rate * u * (1 - u * u)
    return rate * u * (1 - u) * np.exp(-beta * (1 - u))


def zfk_flow(u: np.ndarray, beta: float, scaled_time: float) -> np.ndarray:
    """Exact flow of u' = u (1 - u) exp(-β (1 - u)) over the time `scaled_time` (rate times time), float64.

    Separation of variables gives the time on either side of the fixed point 1,

        τ(u) = -exp(β) E1(β u) - Ei(β (1 - u))   for 0 < u < 1,
        τ(u) =  E1(β (u - 1)) - exp(β) E1(β u)   for u > 1,

    and τ(u(s)) = τ(u(0)) + s is solved by Newton's method in y = log(u / (1 - u)), below, where τ is concave, and in
    z = log(u / (u - 1)), above, where log τ is: from the left, both converge monotonically.

    Args:
        u: values >= 0, any shape.
        beta: β > 0, with β max(u) below 600, beyond which E1 underflows.
        scaled_time: >= 0.
    """
    from scipy.special import exp1, expi

    u = np.asarray(u, dtype=np.float64)
    if not beta > 0 or scaled_time < 0:
        raise ValueError(f"the ZFK flow needs beta > 0 and a time >= 0, got beta {beta}, time {scaled_time}")
    if u.size and (not u.min() >= 0 or beta * u.max() > 600):
        raise ValueError(f"the ZFK flow needs 0 <= u <= 600 / beta, got u from {u.min()} to {u.max()}, beta {beta}")
    result = u.copy()

    below = (u > 0) & (u < 1)
    y = np.log(u[below]) - np.log1p(-u[below])
    target = -np.exp(beta) * exp1(beta * u[below]) - expi(beta * (1 - u[below])) + scaled_time
    y = y + scaled_time * np.exp(-beta * (1 - u[below]))
    for _ in range(60):
        value, rest = 1 / (1 + np.exp(-y)), 1 / (1 + np.exp(y))
        step = (target + np.exp(beta) * exp1(beta * value) + expi(beta * rest)) * np.exp(-beta * rest)
        y = y + step
        if not np.any(np.abs(step) > 1e-13 * (1 + np.abs(y))):
            break
    result[below] = 1 / (1 + np.exp(-y))

    above = u > 1
    excess = u[above] - 1
    z = np.log1p(1 / excess)
    target = exp1(beta * excess) - np.exp(beta) * exp1(beta * u[above]) + scaled_time
    z = z + scaled_time * np.exp(-beta * excess)
    for _ in range(60):
        excess = 1 / np.expm1(z)
        time = exp1(beta * excess) - np.exp(beta) * exp1(beta * (1 + excess))
        step = np.log(target / time) * time * np.exp(beta * excess)
        z = z + step
        if not np.any(np.abs(step) > 1e-13 * (1 + z)):
            break
    result[above] = 1 + 1 / np.expm1(z)
    return result


@lru_cache(maxsize=1024)
def zfk_table(beta: float, scaled_time: float, largest: int, density: int) -> tuple[np.ndarray, np.ndarray]:
    """The ZFK flow on a uniform grid of u, for cubic Hermite interpolation; kept in this process.

    Args:
        beta: β.
        scaled_time: rate times time.
        largest: end of the grid, which starts at 0.
        density: nodes for each unit of u.

    Returns:
        Values and derivatives of the flow, (largest density + 1,) each. The derivative is f(u(s)) / f(u(0)), and
        exp(s f') at the fixed points 0 and 1.
    """
    nodes = np.arange(largest * density + 1) / density
    values = zfk_flow(nodes, beta, scaled_time)
    fixed = [0, density]
    before = source_term("zfk", nodes, 1.0, beta)
    before[fixed] = 1
    slopes = source_term("zfk", values, 1.0, beta) / before
    slopes[fixed] = np.exp(scaled_time * np.array([np.exp(-beta), -1.0]))
    for array in (values, slopes):
        array.setflags(write=False)
    return values, slopes
