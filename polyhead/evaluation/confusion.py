"""Confusion matrices and the scores that follow from them, for whole batches of weighted resamples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def confusion(label: NDArray, predicted: NDArray, classes: int, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Weighted counts of (label, predicted), shape (..., C, C) for weights (..., n); without weights (C, C).

    Args:
        label: class indices (n,), whole numbers in 0..C-1 of any type.
        predicted: likewise.
        classes: C.
        weights: of the rows, any number of weightings.

    Raises:
        ValueError: a label or prediction that is no class, by its value and row; other numbers of rows.
    """
    label, predicted = _class_indices(label, "label", classes), _class_indices(predicted, "prediction", classes)
    count = len(label)
    if len(predicted) != count or (weights is not None and np.shape(weights)[-1:] != (count,)):
        given = "" if weights is None else f" and weights of shape {np.shape(weights)}"
        raise ValueError(f"rows differ: {count} labels, {len(predicted)} predictions{given}")
    cells = np.zeros((count, classes * classes))
    cells[np.arange(count), label * classes + predicted] = 1.0
    counts = cells.sum(axis=0) if weights is None else weights @ cells
    return counts.reshape(*counts.shape[:-1], classes, classes)


def _class_indices(values: NDArray, what: str, classes: int) -> NDArray[np.intp]:
    given = np.asarray(values)
    if given.ndim != 1:
        raise ValueError(f"{what}s must be of shape (n,), got {given.shape}")
    known = np.isin(given, np.arange(classes))
    if not known.all():
        row = int(np.argmin(known))
        raise ValueError(f"{what} {given[row]} of row {row} is no class: classes are 0..{classes - 1}")
    return given.astype(np.intp)


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
