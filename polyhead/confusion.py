"""Confusion matrices and the scores that follow from them, for whole batches of weighted resamples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def confusion(label: NDArray, predicted: NDArray, classes: int, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Weighted counts of (label, predicted), shape (..., C, C) for weights (..., n); without weights (C, C)."""
    cells = np.zeros((len(label), classes * classes))
    cells[np.arange(len(label)), np.asarray(label) * classes + np.asarray(predicted)] = 1.0
    counts = cells.sum(axis=0) if weights is None else weights @ cells
    return counts.reshape(*counts.shape[:-1], classes, classes)


def confusion_scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Accuracy, F1_macro, F1_weighted and MCC of confusion matrices (..., C, C), label by line; each of shape (...).

    F1 of a class that is never right is 0; F1_macro averages over the classes that occur in labels or predictions. MCC
    is Gorodkin's (2004) for several classes, 0 where labels or predictions are all of one class.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    labelled, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    total = labelled.sum(axis=-1)
    occurs = labelled + predicted > 0
    f1 = np.divide(2 * right, labelled + predicted, out=np.zeros(right.shape), where=occurs)
    covariance = total * right.sum(axis=-1) - (labelled * predicted).sum(axis=-1)
    variance = (total**2 - (labelled**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    return {
        "accuracy": right.sum(axis=-1) / total,
        "F1_macro": f1.sum(axis=-1) / occurs.sum(axis=-1),
        "F1_weighted": (f1 * labelled).sum(axis=-1) / total,
        "MCC": np.divide(covariance, np.sqrt(variance), out=np.zeros(np.shape(variance)), where=variance > 0),
    }
