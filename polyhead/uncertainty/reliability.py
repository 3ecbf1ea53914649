"""Whether probabilities are honest: the reliability diagram, and the expected calibration error."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
LEAST_ROWS = 5


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence lies in (low, high]: how many, their mean confidence, and the share that is right."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def _binned(confidence: NDArray, bins: int) -> NDArray[np.intp]:
    return np.clip(np.ceil(np.asarray(confidence, dtype=float) * bins).astype(np.intp) - 1, 0, bins - 1)


def reliability(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """The bins of equal width that have rows, by probability of the predicted class (n,) and whether it is right."""
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if sure.shape != hit.shape or sure.ndim != 1:
        raise ValueError(f"confidence and right are (n,) of the same rows, got {sure.shape} and {hit.shape}")
    place = _binned(sure, bins)
    return tuple(
        Bin(index / bins, (index + 1) / bins, int(here.sum()), float(sure[here].mean()), float(hit[here].mean()))
        for index in range(bins)
        if (here := place == index).any()
    )


def equal_mass(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """At most `bins` bins of as equal numbers of rows as can be, by confidence (n,) and whether the answer is right.

    No bin has fewer than `LEAST_ROWS` rows unless all have. ECE over them, see `mass_error`, is less biased than over
    bins of equal width (Nixon et al., "Measuring calibration in deep learning", 2019).
    """
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if sure.shape != hit.shape or sure.ndim != 1:
        raise ValueError(f"confidence and right are (n,) of the same rows, got {sure.shape} and {hit.shape}")
    order = np.argsort(sure, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(sure) // LEAST_ROWS)))
    return tuple(
        Bin(float(sure[rows[0]]), float(sure[rows[-1]]), len(rows), float(sure[rows].mean()), float(hit[rows].mean()))
        for rows in parts
        if len(rows)
    )


def mass_error(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """ECE over `equal_mass` bins: Σ_b n_b / n |accuracy_b - confidence_b|; NaN without rows."""
    found = equal_mass(confidence, right, bins)
    rows = sum(each.rows for each in found)
    return sum(each.rows * abs(each.accuracy - each.confidence) for each in found) / rows if rows else float("nan")


def brier(probabilities: NDArray, label: NDArray) -> NDArray[np.float64]:
    """Brier scores (n,) of probabilities (n, C): Σ_c (p_c - [c = label])², in [0, 2] (Brier 1950)."""
    p = np.asarray(probabilities, dtype=float)
    return ((p - np.eye(p.shape[1])[np.asarray(label, dtype=np.intp)]) ** 2).sum(axis=1)


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, weights: NDArray | None = None, bins: int = BINS
) -> NDArray[np.float64]:
    """ECE: Σ_b n_b / n |accuracy_b - confidence_b| over bins of equal width (Guo et al. 2017); weights (..., n)."""
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    member = np.zeros((len(sure), bins))
    member[np.arange(len(sure)), _binned(sure, bins)] = hit - sure
    rows = np.ones(len(sure)) if weights is None else weights
    return np.abs(rows @ member).sum(axis=-1) / rows.sum(axis=-1)
