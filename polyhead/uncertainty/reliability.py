"""Whether probabilities are honest: the reliability diagram, and the expected calibration error."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15


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


def calibration_error(
    confidence: ArrayLike, right: ArrayLike, weights: NDArray | None = None, bins: int = BINS
) -> NDArray[np.float64]:
    """ECE: Σ_b n_b / n |accuracy_b - confidence_b| over bins of equal width (Guo et al. 2017); weights (..., n)."""
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    member = np.zeros((len(sure), bins))
    member[np.arange(len(sure)), _binned(sure, bins)] = hit - sure
    rows = np.ones(len(sure)) if weights is None else weights
    return np.abs(rows @ member).sum(axis=-1) / rows.sum(axis=-1)
