"""Scores of genomic answers: classes and their probabilities, numbers, and texts or images as token strings.

Every metric takes row weights, so that all resamples of a bootstrap are scored at once; with weights of one they equal
scikit-learn's and scipy's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyhead.evaluation.confusion import confusion as counts_of
from polyhead.evaluation.confusion import confusion_scores as scores_of
from polyhead.evaluation.evaluate import MetricSpec
from polyhead.evaluation.ranking import auprc, auroc
from polyhead.uncertainty.reliability import calibration_error

METRICS: dict[str, tuple[MetricSpec, ...]] = {
    "classification": (
        MetricSpec("MCC", True),
        MetricSpec("AUROC", True),
        MetricSpec("AUPRC", True),
        MetricSpec("accuracy", True),
        MetricSpec("F1_macro", True),
        MetricSpec("ECE", False),
    ),
    "number": (MetricSpec("RMSE", False), MetricSpec("MAE", False), MetricSpec("Spearman", True)),
    "text": (MetricSpec("exact_match", True), MetricSpec("token_F1", True), MetricSpec("invalid", False)),
    "image": (MetricSpec("exact_match", True), MetricSpec("token_accuracy", True), MetricSpec("invalid", False)),
}
"""What is measured of each kind of answer; the first of a kind is the one that it is judged by."""


def confusion(label: NDArray, predicted: NDArray, classes: int, weights: NDArray | None = None) -> NDArray[np.float64]:
    """`polyhead.evaluation.confusion.confusion`; a prediction of -1, no usable answer, is one class more."""
    predicted = np.asarray(predicted)
    if (predicted < 0).any():
        predicted = np.where(predicted < 0, classes, predicted)
        classes += 1
    return counts_of(label, predicted, classes, weights)


def confusion_scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """MCC, accuracy and F1_macro of `polyhead.evaluation.confusion.confusion_scores`."""
    found = scores_of(counts)
    return {name: found[name] for name in ("MCC", "accuracy", "F1_macro")}


def mcc(label: ArrayLike, predicted: ArrayLike) -> float:
    """Matthews' correlation of class indices (n,), for two or more classes."""
    label, predicted = np.asarray(label, dtype=np.intp), np.asarray(predicted, dtype=np.intp)
    if label.shape != predicted.shape or label.ndim != 1 or not len(label):
        raise ValueError(f"labels and predictions are (n,) of the same rows, got {label.shape} and {predicted.shape}")
    classes = int(max(label.max(), predicted.max())) + 1
    return float(confusion_scores(confusion(label, predicted, classes))["MCC"])


def classification_scores(
    label: NDArray, probabilities: NDArray, predicted: NDArray | None = None, weights: NDArray | None = None
) -> dict[str, NDArray[np.float64]]:
    """All metrics of classes.

    Args:
        label: int, shape (n,).
        probabilities: shape (n, C), lines that sum to 1, or to 0 for rows without an answer.
        predicted: shape (n,), -1 for rows without an answer; None is the most probable class.
        weights: shape (..., n).
    """
    chosen = probabilities.argmax(axis=1) if predicted is None else np.asarray(predicted)
    confidence = np.where(chosen >= 0, probabilities[np.arange(len(chosen)), np.maximum(chosen, 0)], 0.0)
    return {
        **confusion_scores(confusion(label, chosen, probabilities.shape[1], weights)),
        "AUROC": auroc(label, probabilities, weights),
        "AUPRC": auprc(label, probabilities, weights),
        "ECE": calibration_error(confidence, chosen == label, weights),
    }


def number_scores(label: NDArray, predicted: NDArray, weights: NDArray | None = None) -> dict[str, NDArray[np.float64]]:
    """RMSE, MAE and Spearman's rank correlation of numbers (n,); Spearman is NaN where either side is constant."""
    error = np.asarray(predicted, dtype=float) - np.asarray(label, dtype=float)
    rows = np.ones(len(error)) if weights is None else weights
    total = rows.sum(axis=-1)
    return {
        "RMSE": np.sqrt(rows @ error**2 / total),
        "MAE": rows @ np.abs(error) / total,
        "Spearman": spearman(label, predicted, weights),
    }


def spearman(first: ArrayLike, second: ArrayLike, weights: NDArray | None = None) -> NDArray[np.float64]:
    """Pearson's correlation of mid-ranks, as if each row stood there as often as its weight (..., n) says."""
    rows = np.ones(np.shape(first)) if weights is None else weights
    total = rows.sum(axis=-1, keepdims=True)
    ranks = [_mid_ranks(np.asarray(values, dtype=float), rows) for values in (first, second)]
    a, b = (rank - (rows * rank).sum(axis=-1, keepdims=True) / total for rank in ranks)
    spread = np.sqrt((rows * a * a).sum(axis=-1) * (rows * b * b).sum(axis=-1))
    return np.divide((rows * a * b).sum(axis=-1), spread, out=np.full(spread.shape, np.nan), where=spread > 1e-12)


def _mid_ranks(values: NDArray, weights: NDArray) -> NDArray[np.float64]:
    _, place = np.unique(values, return_inverse=True)
    starts = np.flatnonzero(np.r_[True, np.diff(np.sort(place)) > 0])
    held = np.add.reduceat(weights[..., np.argsort(place, kind="stable")], starts, axis=-1)
    return (np.cumsum(held, axis=-1) - held / 2)[..., place]


def token_f1(label: str, answer: str) -> float:
    """F1 of the words of two texts as multisets, case and surrounding space ignored; two empty texts score 1."""
    wanted, given = Counter(label.lower().split()), Counter(answer.lower().split())
    shared = sum((wanted & given).values())
    if not wanted and not given:
        return 1.0
    return 2 * shared / (wanted.total() + given.total())


def text_rows(labels: Sequence[str], answers: Sequence[str | None]) -> NDArray[np.float64]:
    """(n, 3): exact match, token F1 and whether the answer is missing, for each row."""
    return np.array(
        [
            (0.0, 0.0, 1.0)
            if answer is None
            else (float(label.split() == answer.split()), token_f1(label, answer), 0.0)
            for label, answer in zip(labels, answers, strict=True)
        ]
    ).reshape(-1, 3)


def image_rows(labels: Sequence[str], answers: Sequence[str | None]) -> NDArray[np.float64]:
    """(n, 3): exact match, share of grid tokens that agree, and whether the answer is missing or of another length."""
    rows = []
    for label, answer in zip(labels, answers, strict=True):
        wanted, given = label.split(), [] if answer is None else answer.split()
        if len(wanted) != len(given) or not wanted:
            rows.append((0.0, 0.0, 1.0))
            continue
        agree = float(np.mean([a == b for a, b in zip(wanted, given, strict=True)]))
        rows.append((float(agree == 1.0), agree, 0.0))
    return np.array(rows).reshape(-1, 3)
