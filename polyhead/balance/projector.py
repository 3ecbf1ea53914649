"""The projection onto the dual cone of a matrix's rows, of which UPGrad and DualProj are made."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor
from torchjd.linalg import DualConeProjector

REGULARISATION = 1e-4
"""Part of the identity that is added to a Gramian of trace 1, as in TorchJD's own projector."""


class NnlsProjector(DualConeProjector):
    """Solves min over v >= u of v' (G / trace(G) + eps I) v for each u, exactly, in float64 on the host.

    Quinton and Rey 2024 (https://arxiv.org/abs/2406.16232), proposition 1. Unlike TorchJD's projector, which takes a
    Gramian of trace below 1e-4 for zero, this one does not depend on the scale of the gradients.
    """

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:
        """Weights of the projections, of the shape (..., m), dtype and device of `U`.

        Args:
            U: weights of the vectors to project, (..., m).
            G: Gramian of the rows, (m, m), symmetric and positive semi-definite up to rounding.
        """
        factor = gramian_factor(_array(G), REGULARISATION)
        vectors = _array(U)
        weights = [projection_weights(u, factor) for u in vectors.reshape(-1, vectors.shape[-1])]
        return torch.from_numpy(np.stack(weights)).reshape(U.shape).to(device=U.device, dtype=U.dtype)


def gramian_factor(gramian: NDArray[np.float64], regularisation: float) -> NDArray[np.float64]:
    """F of shape (m, m) with F'F = G / trace(G) + regularisation * I; negative eigenvalues are rounding, taken as 0."""
    trace = np.trace(gramian)
    values, vectors = np.linalg.eigh(gramian / trace if trace > 0 else np.zeros_like(gramian))
    return np.sqrt(values.clip(min=0.0) + regularisation)[:, None] * vectors.T


def projection_weights(u: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """The v >= u, shape (m,), of the least ||F v||: with v = u + y a least-squares problem in y >= 0.

    Lawson and Hanson's active-set method (1974) solves it in finitely many steps.
    """
    excess, _ = nnls(factor, -factor @ u, maxiter=30 * len(u))
    return u + excess


def _array(tensor: Tensor) -> NDArray[np.float64]:
    # Moved before it is widened: some accelerators have no float64.
    return tensor.detach().cpu().double().numpy()
