"""Conjugate gradients preconditioned by algebraic multigrid, the same digits in every run."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def solve_symmetric(
    matrix: sparse.csr_array, right_side: np.ndarray, *, tolerance: float = 1e-10, limit: int = 200
) -> tuple[np.ndarray, int]:
    """Solves A x = b for a sparse symmetric positive definite A: (x, number of iterations).

    The hierarchy is the classical one of Ruge and Stueben (1987), made for matrices like a diffusion's, with forward
    sweeps on the way down and backward sweeps on the way up, so that the preconditioner is symmetric. Nothing in it
    is random, as the damping of smoothed aggregation is in pyamg.

    Raises:
        ValueError: no convergence to ``|b - A x| <= tolerance * |b|`` in `limit` iterations.
    """
    from pyamg import ruge_stuben_solver

    scale = float(np.linalg.norm(right_side))
    if scale == 0:
        return np.zeros_like(right_side), 0
    compressed = sparse.csr_matrix(matrix)
    # pyamg's kernels are compiled for 32-bit indices.
    compressed.indices, compressed.indptr = compressed.indices.astype(np.int32), compressed.indptr.astype(np.int32)
    hierarchy = ruge_stuben_solver(
        compressed,
        presmoother=("gauss_seidel", {"sweep": "forward"}),
        postsmoother=("gauss_seidel", {"sweep": "backward"}),
        max_coarse=200,
    )
    residuals: list[float] = []
    solution = np.asarray(hierarchy.solve(right_side, tol=tolerance, maxiter=limit, accel="cg", residuals=residuals))
    iterations = len(residuals) - 1
    residual = float(np.linalg.norm(right_side - compressed @ solution)) / scale
    # The residual that the iteration carries along drifts from the true one by rounding, hence the margin.
    if not residual <= 10 * tolerance:
        raise ValueError(
            f"a linear system of {len(right_side)} unknowns did not converge: relative residual {residual:.1e} after "
            f"{iterations} iterations, wanted {tolerance:.1e}"
        )
    return solution, iterations
