"""Darcy flow, -div(K grad h) = f with h = 0 on the boundary of any geometry: finite volumes, second order."""

from __future__ import annotations

import numpy as np

from domains.pde.solvers.embedded import DIRECTIONS, Embedding

# A band with more entries than this (0.2 GB) is left to sparse elimination, which needs less memory and then less time.
BAND_LIMIT = 25_000_000


def solve_darcy(
    embedding: Embedding, conductivity: np.ndarray, source: float | np.ndarray = 1.0, head: np.ndarray | None = None
) -> np.ndarray:
    """Hydraulic head on the grid of a geometry.

    Five-point finite volumes. The conductivity of a face is the mean of its two nodes. A link that the boundary cuts at
    the fraction θ carries the flux K h / (θ Δ) to the boundary, with K taken in the middle of the part inside: the
    symmetric treatment of Gibou, Fedkiw, Cheng and Kang, "A second-order-accurate symmetric discretization of the
    Poisson equation on irregular domains", J. Comput. Phys. 176 (2002). The matrix is symmetric, positive definite and
    an M-matrix: f >= 0 gives h >= 0. Convergence is second order, less (4/3 on the L) where a corner points inwards.

    Args:
        embedding: the geometry on its grid.
        conductivity: (..., ny, nx), K at the nodes; positive at inside nodes and at those next to them.
        source: f, a number or an array that broadcasts to (..., ny, nx).
        head: (4, ny, nx), the value on the boundary where it cuts each inside node's link, in the order of
            `DIRECTIONS`; 0 if not given.

    Returns:
        (..., ny, nx) float64, 0 outside.

    Raises:
        ValueError: a shape does not fit, or K is not positive and finite where it is needed.
    """
    conductivity = np.asarray(conductivity, dtype=np.float64)
    grid = embedding.inside.shape
    if conductivity.shape[-2:] != grid:
        raise ValueError(f"the conductivity must have shape (..., {grid[0]}, {grid[1]}), got {conductivity.shape}")
    needed = embedding.inside.copy()
    for direction in range(len(DIRECTIONS)):
        needed |= embedding.neighbour(embedding.inside, direction)
    values = conductivity[..., needed]
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("the conductivity must be positive and finite inside the geometry and at the nodes next to it")
    try:
        sources = np.broadcast_to(np.asarray(source, dtype=np.float64), conductivity.shape)
    except ValueError:
        raise ValueError(f"the source of shape {np.shape(source)} does not fit K of {conductivity.shape}") from None
    if head is not None and head.shape != embedding.fraction.shape:
        raise ValueError(f"the boundary's head must have shape {embedding.fraction.shape}, got {head.shape}")
    samples = conductivity.reshape(-1, *grid)
    result = np.zeros(samples.shape)
    for answer, sample, right in zip(result, samples, sources.reshape(-1, *grid), strict=True):
        answer[embedding.inside] = _solve_one(embedding, sample, right, head)
    return result.reshape(conductivity.shape)


def _solve_one(
    embedding: Embedding, conductivity: np.ndarray, source: np.ndarray, head: np.ndarray | None
) -> np.ndarray:
    """(unknowns,): the head at the inside nodes, in C order."""
    inside, number = embedding.inside, embedding.number
    diagonal = np.zeros(embedding.unknowns)
    right = source[inside].copy()
    rows, columns, entries = [], [], []
    steps = (embedding.spacing[0],) * 2 + (embedding.spacing[1],) * 2
    for direction, step in enumerate(steps):
        fraction = embedding.fraction[direction][inside]
        own, other = conductivity[inside], embedding.neighbour(conductivity, direction)[inside]
        weight = (own + fraction / 2 * (other - own)) / (fraction * step**2)
        diagonal += weight
        neighbours = embedding.neighbour(number, direction)[inside]
        if head is not None:
            cut = neighbours < 0
            right[cut] += weight[cut] * head[direction][inside][cut]
        # Only the entries below the diagonal: those whose row's number is the larger one.
        below = neighbours > number[inside]
        rows.append(neighbours[below])
        columns.append(number[inside][below])
        entries.append(-weight[below])
    order = number[inside]
    ordered = np.empty_like(right)
    ordered[order] = right
    ordered_diagonal = np.empty_like(diagonal)
    ordered_diagonal[order] = diagonal
    lower = (np.concatenate(rows), np.concatenate(columns), np.concatenate(entries))
    if (embedding.bandwidth + 1) * embedding.unknowns <= BAND_LIMIT:
        return _banded(ordered_diagonal, lower, embedding.bandwidth, ordered)[order]
    return _sparse(ordered_diagonal, lower, ordered)[order]


def _banded(diagonal: np.ndarray, lower: tuple[np.ndarray, ...], bandwidth: int, right: np.ndarray) -> np.ndarray:
    """Cholesky in a band: for up to about 250 x 250 nodes several times quicker than general sparse elimination."""
    from scipy.linalg import solveh_banded

    rows, columns, entries = lower
    band = np.zeros((bandwidth + 1, len(diagonal)), order="F")
    band[0] = diagonal
    band[rows - columns, columns] = entries
    return solveh_banded(band, right, overwrite_ab=True, overwrite_b=True, lower=True, check_finite=False)


def _sparse(diagonal: np.ndarray, lower: tuple[np.ndarray, ...], right: np.ndarray) -> np.ndarray:
    from scipy.sparse import coo_array, csc_array, diags_array
    from scipy.sparse.linalg import splu

    rows, columns, entries = lower
    size = (len(diagonal), len(diagonal))
    part = csc_array(coo_array((entries, (rows, columns)), shape=size))
    matrix = csc_array(part + part.T + diags_array(diagonal))
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return factors.solve(right)
