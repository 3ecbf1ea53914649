"""Reaction-diffusion in one dimension, u_t = D u_xx + a f(u), by Strang splitting in JAX.

A step is half a reaction, a diffusion and half a reaction, both exact: the reaction by the flow of its source, the
diffusion by the heat semigroup of the grid. What is left is the splitting error, second order in the step, and the
grid's, second order in the spacing. The reaction comes last because it is the stiff part.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from domains.pde.solvers import double
from domains.pde.solvers.reactions import check_source, zfk_table

Boundary = Literal["neumann", "dirichlet", "periodic"]
BOUNDARIES: tuple[Boundary, ...] = ("neumann", "dirichlet", "periodic")

TABLE_DENSITY = 128
"""Nodes of the table of the ZFK flow for each unit of u: its error is below 1e-7 for β up to 6."""


def heat_matrix(points: int, spacing: float, diffused: float, boundary: Boundary) -> np.ndarray:
    """Heat semigroup exp(diffused d²/dx²) of the three-point Laplacian, diagonalised by cosines, sines or waves.

    It has no negative entry, so that it keeps bounds, and for Neumann and periodic ends it keeps the trapezoidal mass.

    Args:
        points: nodes, both ends included; periodic ends are one node twice.
        spacing: distance of neighbours.
        diffused: diffusion times time, the square of the unit of `spacing`.
        boundary: Neumann (zero flux), Dirichlet (zero) or periodic.

    Returns:
        (points, points) float64 matrix H; u after the time is H u.
    """
    intervals = points - 1
    nodes = np.arange(points)
    if boundary == "neumann":
        # DCT-I: the mirror images of the ends make cosines the eigenvectors.
        weights = np.where((nodes == 0) | (nodes == intervals), 0.5, 1.0)
        modes = np.cos(np.pi * np.outer(nodes, nodes) / intervals)
        inverse = 2 / intervals * weights[:, None] * modes.T * weights
        angle = np.pi * nodes / intervals
    elif boundary == "dirichlet":
        modes = np.sin(np.pi * np.outer(nodes, nodes) / intervals)
        inverse = 2 / intervals * modes.T
        angle = np.pi * nodes / intervals
    elif boundary == "periodic":
        lag = np.arange(intervals)
        symbol = np.exp(-diffused * (2 - 2 * np.cos(2 * np.pi * lag / intervals)) / spacing**2)
        first = np.fft.irfft(symbol[: intervals // 2 + 1], intervals)
        circulant = first[(lag[:, None] - lag) % intervals]
        matrix = np.zeros((points, points))
        matrix[:intervals, :intervals] = circulant
        matrix[intervals] = matrix[0]
        return np.maximum(matrix, 0.0)
    else:
        raise ValueError(f"unknown boundary {boundary!r}; known: {', '.join(BOUNDARIES)}")
    symbol = np.exp(-diffused * (2 - 2 * np.cos(angle)) / spacing**2)
    # Rounding leaves entries of about -1e-17 where the exact ones are too small to hold.
    return np.maximum((modes * symbol) @ inverse, 0.0)


@lru_cache(maxsize=3)
def _march(source: str) -> Callable[..., Any]:
    """The jitted integrator of a source, over all samples."""
    import jax
    import jax.numpy as jnp

    def fisher(u: Any, decay: Any) -> Any:
        return u / (u + (1 - u) * decay)

    def nws(u: Any, decay: Any) -> Any:
        return u / jnp.sqrt(u * u + (1 - u * u) * decay * decay)

    def zfk(u: Any, pair: Any, values: Any, slopes: Any) -> Any:
        # Cubic Hermite interpolation in the table of this sample's β and rate.
        position = u * TABLE_DENSITY
        left = jnp.clip(position.astype(jnp.int32), 0, values.shape[1] - 2)
        s = position - left
        v0, v1 = values[pair, left], values[pair, left + 1]
        d0, d1 = slopes[pair, left] / TABLE_DENSITY, slopes[pair, left + 1] / TABLE_DENSITY
        return v0 + s * (d0 + s * (3 * (v1 - v0) - 2 * d0 - d1 + s * (d0 + d1 - 2 * (v1 - v0))))

    react = {"fisher": fisher, "nws": nws, "zfk": zfk}[source]
    shared = {"fisher": 0, "nws": 0, "zfk": 2}[source]

    def trajectory(initial: Any, heat: Any, substeps: Any, snapshots: int, *flow: Any) -> Any:
        def step(_: Any, u: Any) -> Any:
            return react(heat @ react(u, *flow), *flow)

        def snapshot(u: Any, _: Any) -> tuple[Any, Any]:
            u = jax.lax.fori_loop(0, substeps, step, u)
            return u, u

        _, later = jax.lax.scan(snapshot, initial, None, length=snapshots - 1)
        return jnp.concatenate([initial[None], later])

    axes = (0, None, None, None, 0) + (None,) * shared
    return jax.jit(jax.vmap(trajectory, in_axes=axes), static_argnums=3)


def solve_reaction_diffusion(
    source: str,
    initial: np.ndarray,
    rate: np.ndarray | float,
    beta: np.ndarray | float = 0.0,
    *,
    horizon: float,
    snapshots: int,
    diffusion: float,
    length: float = 1.0,
    boundary: Boundary = "neumann",
    substeps: int = 4,
    refine: int = 1,
) -> np.ndarray:
    """Solves u_t = D u_xx + a f(u) for B initial values on a uniform grid that has both ends.

    Args:
        source: ``"fisher"``, ``"nws"`` or ``"zfk"``.
        initial: (B, P), u at time 0, without dimension; >= 0 for Fisher and ZFK, whose equations drive negative values
            to minus infinity. Zero at both ends for Dirichlet, equal ends for periodic boundaries.
        rate: (B,) or one number, a >= 0, 1/s.
        beta: (B,) or one number, β > 0 of ZFK; ignored by the others.
        horizon: last time, s.
        snapshots: times, uniform from 0 to `horizon`.
        diffusion: D >= 0, m²/s.
        length: of the interval, m.
        boundary: ``"neumann"``, ``"dirichlet"`` or ``"periodic"``.
        substeps: Strang steps between snapshots.
        refine: computing intervals for each interval of the grid; `initial` is brought there by a cubic spline, held
            between the smallest and the largest value of its sample.

    Returns:
        (B, snapshots, P) float64; snapshot 0 is `initial`.
    """
    check_source(source)
    initial = np.asarray(initial, dtype=np.float64)
    if initial.ndim != 2 or initial.shape[1] < 3:
        raise ValueError(f"initial values must have shape (B, P) with P >= 3, got {initial.shape}")
    samples, points = initial.shape
    rates, betas = _one_each(rate, samples, "rate"), _one_each(beta, samples, "beta")
    _check(source, initial, rates, betas, boundary)
    if not (horizon > 0 and length > 0 and diffusion >= 0 and snapshots >= 2 and substeps >= 1 and refine >= 1):
        raise ValueError(
            "horizon and length must be > 0, diffusion >= 0, snapshots >= 2, substeps and refine >= 1; got "
            f"{horizon}, {length}, {diffusion}, {snapshots}, {substeps}, {refine}"
        )
    if samples == 0:
        return np.zeros((0, snapshots, points))
    step = horizon / (snapshots - 1) / substeps
    fine = _refined(initial, refine, boundary)
    heat = heat_matrix(fine.shape[1], length / (fine.shape[1] - 1), diffusion * step, boundary)
    if source == "zfk":
        pairs, which = np.unique(np.stack([betas, rates]), axis=1, return_inverse=True)
        # A multiple of 4, so that blocks of one data set share tables and compiled code.
        largest = 4 * max(int(np.ceil(initial.max() / 4)), 1)
        tables = [zfk_table(float(b), float(a) * step / 2, largest, TABLE_DENSITY) for b, a in pairs.T]
        flow = (which.reshape(-1), np.stack([v for v, _ in tables]), np.stack([d for _, d in tables]))
    else:
        flow = (np.exp(-rates * step / 2),)
    with double():
        solution = np.array(_march(source)(fine, heat, substeps, snapshots, *flow))[:, :, ::refine]
    solution[:, 0] = initial
    return solution


def _one_each(value: np.ndarray | float, samples: int, name: str) -> np.ndarray:
    values = np.asarray(value, dtype=np.float64)
    if values.shape not in ((), (samples,)):
        raise ValueError(f"{name} must be one number or have shape ({samples},), got {values.shape}")
    return np.broadcast_to(values, (samples,))


def _check(source: str, initial: np.ndarray, rates: np.ndarray, betas: np.ndarray, boundary: Boundary) -> None:
    if not (np.isfinite(initial).all() and np.isfinite(rates).all() and np.isfinite(betas).all()):
        raise ValueError("initial values, rates and betas must be finite numbers")
    if (rates < 0).any():
        raise ValueError(f"rates must be >= 0, got {rates.min()}")
    if source == "zfk" and not (betas > 0).all():
        raise ValueError(f"zfk needs beta > 0, got {betas.min()}")
    if source != "nws" and (initial < 0).any():
        raise ValueError(f"{source} needs initial values >= 0, got {initial.min()}")
    ends = initial[:, [0, -1]]
    if boundary == "dirichlet" and np.any(ends != 0):
        raise ValueError("dirichlet boundaries need initial values that are 0 at both ends")
    if boundary == "periodic" and np.any(ends[:, 0] != ends[:, 1]):
        raise ValueError("periodic boundaries need equal initial values at both ends")


def _refined(initial: np.ndarray, refine: int, boundary: Boundary) -> np.ndarray:
    if refine == 1:
        return initial
    from scipy.interpolate import CubicSpline

    coarse = np.arange(initial.shape[1])
    fine = np.arange((len(coarse) - 1) * refine + 1) / refine
    kind = "periodic" if boundary == "periodic" else "not-a-knot"
    values = CubicSpline(coarse, initial, axis=1, bc_type=kind)(fine)
    values = np.clip(values, initial.min(axis=1, keepdims=True), initial.max(axis=1, keepdims=True))
    values[:, ::refine] = initial
    return values
