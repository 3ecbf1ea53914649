"""Gaussian random fields on tensor grids by truncated Karhunen-Loève expansions.

A field of mean m and covariance σ² k(r) is m + σ Σ sqrt(λ_i) φ_i(x) ξ_i with independent standard normal ξ_i, where
(λ_i, φ_i) are the eigenpairs of the covariance operator, largest first, discretised with trapezoidal weights. Kept in
full it has exactly the kernel's covariance on the grid; cut off it is the best approximation of its rank in L².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import eigh

NEGLIGIBLE = 1e-12
"""Modes below this part of the largest eigenvalue are rounding and are left out."""


def squared_exponential(distance: np.ndarray) -> np.ndarray:
    """exp(-h²/2), h the distance over the correlation length."""
    return np.exp(-0.5 * distance**2)


def exponential(distance: np.ndarray) -> np.ndarray:
    """exp(-h), h the distance over the correlation length."""
    return np.exp(-distance)


def spherical(distance: np.ndarray) -> np.ndarray:
    """1 - 3h/2 + h³/2 for h < 1, else 0; h the distance over the correlation length (the range)."""
    h = np.minimum(distance, 1.0)
    return 1 - 1.5 * h + 0.5 * h**3


KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "squared_exponential": squared_exponential,
    "exponential": exponential,
    "spherical": spherical,
}


@dataclass(frozen=True)
class GaussianField:
    """A Gaussian field of mean 0 and variance 1 (before truncation) on a grid.

    Attributes:
        modes: (terms, *grid) float64, sqrt(λ_i) φ_i, largest λ first.
        kept: part of the variance, averaged over the domain, that the terms hold.
    """

    modes: np.ndarray
    kept: float

    @property
    def terms(self) -> int:
        return len(self.modes)

    @property
    def variance(self) -> np.ndarray:
        """(*grid) float64: the variance at each point; 1 where nothing was cut off."""
        return np.sum(self.modes**2, axis=0)

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, *grid) float64: independent fields."""
        return np.tensordot(generator.standard_normal((count, self.terms)), self.modes, axes=1)


@lru_cache(maxsize=16)
def gaussian_field(
    kernel: str,
    shape: tuple[int, ...],
    length: float | tuple[float, ...],
    *,
    terms: int | None = None,
    extent: tuple[float, ...] | None = None,
) -> GaussianField:
    """The Karhunen-Loève expansion of a stationary kernel on a uniform grid of one or two axes; kept in this process.

    In two dimensions the distance is Euclidean, each axis measured in its correlation length.

    Args:
        kernel: ``"squared_exponential"``, ``"exponential"`` or ``"spherical"``.
        shape: points of each axis, both ends included.
        length: correlation length, one for all axes or one for each, in the unit of `extent`.
        terms: how many modes are kept; None keeps all that are not negligible, in two dimensions only for the separable
            squared exponential.
        extent: lengths of the axes; 1 each if not given.
    """
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known: {', '.join(KERNELS)}")
    if len(shape) not in (1, 2) or min(shape) < 2:
        raise ValueError(f"a field has one or two axes of at least 2 points, got the grid {shape}")
    extents = extent or (1.0,) * len(shape)
    lengths = (float(length),) * len(shape) if isinstance(length, int | float) else length
    if len(lengths) != len(shape) or len(extents) != len(shape) or min(*lengths, *extents, 1.0) <= 0:
        raise ValueError(f"the grid {shape} needs one positive length and extent for each axis, got {length}, {extent}")
    if terms is not None and not 1 <= terms <= int(np.prod(shape)):
        raise ValueError(f"terms must lie between 1 and the {int(np.prod(shape))} points of the grid, got {terms}")
    axes = [np.linspace(0, e / s, n) for e, s, n in zip(extents, lengths, shape, strict=True)]
    if len(axes) == 1:
        values, modes = _modes_1d(KERNELS[kernel], axes[0])
    elif kernel == "squared_exponential":
        values, modes = _separable(axes, terms)
    elif terms is None:
        raise ValueError(f"the {kernel} field on {shape} needs a number of terms: all of them would be too many")
    else:
        values, modes = _modes_2d(KERNELS[kernel], axes, terms)
    order = np.flatnonzero(values > NEGLIGIBLE * values[0])[:terms]
    field = modes[order] * np.sqrt(values[order]).reshape(-1, *(1,) * len(shape))
    # Weights of a unit of domain: the eigenvalues of a kernel of variance 1 sum to the domain's size.
    size = float(np.prod([axis[-1] for axis in axes]))
    field.setflags(write=False)
    return GaussianField(field, min(float(values[order].sum()) / size, 1.0))


def _weights(axis: np.ndarray) -> np.ndarray:
    weights = np.full(len(axis), axis[1] - axis[0])
    weights[[0, -1]] /= 2
    return weights


def _signed(modes: np.ndarray) -> np.ndarray:
    """Each mode with the sign that makes its largest entry, the first of equals, positive."""
    flat = np.abs(modes.reshape(len(modes), -1))
    first = np.argmax(flat > 0.999999 * flat.max(axis=1, keepdims=True), axis=1)
    sign = np.sign(modes.reshape(len(modes), -1)[np.arange(len(modes)), first])
    return modes * sign.reshape(-1, *(1,) * (modes.ndim - 1))


def _modes_1d(kernel: Callable[[np.ndarray], np.ndarray], axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    root = np.sqrt(_weights(axis))
    values, vectors = eigh(root[:, None] * kernel(np.abs(axis[:, None] - axis)) * root)
    return values[::-1], _signed((vectors / root[:, None]).T[::-1])


def _separable(axes: Sequence[np.ndarray], terms: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Products of the modes of two axes; the squared exponential factorises."""
    (value_y, mode_y), (value_x, mode_x) = (_modes_1d(squared_exponential, axis) for axis in axes)
    product = np.outer(value_y, value_x)
    # Equal products (a square, two axes alike) keep the order of their indices on every machine.
    order = np.argsort(-np.round(product / product.max(), 12), axis=None, kind="stable")
    order = order[product.ravel()[order] > NEGLIGIBLE * product.max()][:terms]
    rows, columns = np.unravel_index(order, product.shape)
    return product.ravel()[order], mode_y[rows][:, :, None] * mode_x[columns][:, None, :]


def _parity_basis(points: int, parity: int) -> np.ndarray:
    """(points, half) orthonormal columns that span the even (1) or the odd (-1) vectors."""
    half = (points + (parity > 0)) // 2
    basis = np.zeros((points, half))
    basis[np.arange(half), np.arange(half)] = 1
    basis[points - 1 - np.arange(half), np.arange(half)] = parity
    return basis / np.linalg.norm(basis, axis=0)


def _modes_2d(
    kernel: Callable[[np.ndarray], np.ndarray], axes: Sequence[np.ndarray], terms: int
) -> tuple[np.ndarray, np.ndarray]:
    """The leading modes of a kernel that does not factorise, by Lanczos with products through the FFT.

    The covariance on a uniform grid is a convolution: embedded in a grid of twice the size, it is applied without being
    built. Modes are even or odd in each axis; each of the four kinds is found by itself, which separates the pairs of
    equal eigenvalues of a square, so that the modes are determined up to sign.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    shape = tuple(len(axis) for axis in axes)
    padded = (2 * shape[0], 2 * shape[1])
    root = np.sqrt(np.outer(_weights(axes[0]), _weights(axes[1])))
    lags = [np.minimum(np.arange(n), n - np.arange(n)) * axis[1] for n, axis in zip(padded, axes, strict=True)]
    symbol = np.fft.rfft2(kernel(np.hypot(lags[0][:, None], lags[1])))

    def of_kind(parity: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
        basis_y, basis_x = (_parity_basis(n, p) for n, p in zip(shape, parity, strict=True))
        size = basis_y.shape[1] * basis_x.shape[1]

        def covariance(vector: np.ndarray) -> np.ndarray:
            field = basis_y @ vector.reshape(basis_y.shape[1], -1) @ basis_x.T * root
            image = np.fft.irfft2(symbol * np.fft.rfft2(field, s=padded), s=padded)[: shape[0], : shape[1]]
            return (basis_y.T @ (image * root) @ basis_x).ravel()

        if 3 * count >= size:
            matrix = np.stack([covariance(unit) for unit in np.eye(size)])
            values, vectors = eigh((matrix + matrix.T) / 2)
        else:
            operator = LinearOperator((size, size), matvec=covariance, dtype=np.float64)  # pyright: ignore[reportCallIssue]
            start = np.random.default_rng(0).standard_normal(size)
            values, vectors = eigsh(operator, k=count, which="LA", v0=start)
        leading = np.argsort(-values, kind="stable")[:count]
        return values[leading], basis_y @ vectors.T[leading].reshape(-1, basis_y.shape[1], basis_x.shape[1]) @ basis_x.T

    # How many of the leading modes are of one kind is not known beforehand: about a quarter, more for a long rectangle.
    count = terms // 3 + 8
    while True:
        found = [of_kind(parity, count) for parity in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
        values = np.concatenate([kind for kind, _ in found])
        order = np.argsort(-np.round(values / values.max(), 10), kind="stable")[:terms]
        complete = all(len(kind) < count or kind[-1] <= values[order[-1]] for kind, _ in found)
        if complete and len(order) == terms:
            return values[order], _signed(np.concatenate([modes for _, modes in found])[order] / root)
        count *= 2
