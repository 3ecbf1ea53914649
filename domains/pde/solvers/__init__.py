"""Verified solvers that make the data: random input functions, reaction-diffusion, Darcy flow, heat conduction."""

from __future__ import annotations

from contextlib import AbstractContextManager


def double() -> AbstractContextManager[None]:
    """Context in which JAX computes in float64; JAX is imported on the first call.

    Functions that are jitted must be called, not only defined, inside it.
    """
    import jax

    return jax.enable_x64(True)
