"""How well scores rank positives before negatives: areas under the ROC and the precision-recall curve.

Every score takes row weights, so that all resamples of a bootstrap are scored at once; with weights of one they equal
scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auroc(label: NDArray, probabilities: NDArray, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Area under the ROC curve, ties counted half; two classes: of class 1, more: mean of one against the rest.

    Classes that no row or every row has are left out of the mean.

    Args:
        label: int, shape (n,).
        probabilities: shape (n, C).
        weights: shape (..., n), how often each row counts; None is once.

    Returns:
        shape (...), NaN where no class can be told from the rest.
    """
    return _over_classes(_binary_auroc, label, probabilities, weights)


def auprc(label: NDArray, probabilities: NDArray, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Average precision Σ (R_i - R_{i-1}) P_i over distinct scores; shapes and classes as in `auroc`."""
    return _over_classes(_binary_auprc, label, probabilities, weights)


def _over_classes(area, label: NDArray, probabilities: NDArray, weights: NDArray | None) -> NDArray[np.float64]:
    classes = probabilities.shape[1]
    rows = np.ones(len(label)) if weights is None else weights
    chosen = [1] if classes == 2 else range(classes)
    areas = np.stack([area(np.asarray(label) == index, probabilities[:, index], rows) for index in chosen])
    defined = np.isfinite(areas)
    count = defined.sum(axis=0)
    return np.divide(np.where(defined, areas, 0).sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)


def _by_score(positive: NDArray[np.bool_], score: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Weight of positives and of negatives at each distinct score, rising; each (..., distinct)."""
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    positives = np.add.reduceat((weights * positive)[..., order], starts, axis=-1)
    return positives, np.add.reduceat((weights * ~positive)[..., order], starts, axis=-1)


def _binary_auroc(positive: NDArray[np.bool_], score: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Mann-Whitney statistic: the chance that a positive outranks a negative."""
    positives, negatives = _by_score(positive, score, weights)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return np.divide((positives * below).sum(axis=-1), pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def _binary_auprc(positive: NDArray[np.bool_], score: NDArray, weights: NDArray) -> NDArray[np.float64]:
    positives, negatives = (part[..., ::-1] for part in _by_score(positive, score, weights))
    found = np.cumsum(positives, axis=-1)
    called = found + np.cumsum(negatives, axis=-1)
    precision = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)
    total = positives.sum(axis=-1)
    return np.divide((positives * precision).sum(axis=-1), total, out=np.full(total.shape, np.nan), where=total > 0)
