"""The challenge's metrics: of one mask, of boxes and points, and of the classes of a whole task.

Classification metrics come from a confusion matrix and from rank sums that both take row weights, so that all
resamples of a bootstrap are scored at once; with weights of one they equal scikit-learn's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domains.medical.surface import dice, surface_distances
from domains.medical.ultrasound.data.rows import Kind
from polyhead.evaluation.confusion import confusion_scores as scores_of
from polyhead.evaluation.evaluate import MetricSpec
from polyhead.evaluation.ranking import auroc

METRICS: dict[Kind, tuple[MetricSpec, ...]] = {
    "segmentation": (
        MetricSpec("DSC", True, bounds=(0, 1)),
        MetricSpec("HD", False, "pixels"),
        MetricSpec("HD95", False, "pixels"),
    ),
    "classification": tuple(MetricSpec(name, True) for name in ("Accuracy", "AUC", "F1_macro", "F1_weighted", "MCC")),
    "detection": (MetricSpec("IoU", True, bounds=(0, 1)),),
    "keypoints": (MetricSpec("MRE", False, "pixels"),),
}
"""What is measured of each kind, named as the leaderboard names it (HD95 is not on the leaderboard)."""

COLUMN_PREFIX: dict[Kind, str] = {
    "segmentation": "Segmentation",
    "classification": "Classification",
    "detection": "Detection",
    "keypoints": "Regression",
}
"""The leaderboard's word for each kind: its columns are ``Segmentation_DSC``, ``Regression_MRE`` and so on."""


@dataclass(frozen=True)
class MaskScores:
    """DSC, HD and HD95 (pixels) of the classes 1 to C-1 of one image, each float64 of shape (C-1,)."""

    dsc: NDArray[np.float64]
    hd: NDArray[np.float64]
    hd95: NDArray[np.float64]


def mask_scores(prediction: NDArray, label: NDArray, classes: int) -> MaskScores:
    """Scores each class but the background (0) by itself; conventions for empty masks as in `domains.medical.surface`.

    Args:
        prediction: integer class indices, shape (H, W).
        label: same shape.
        classes: number of classes C, background included; values from C on belong to no class.

    Raises:
        ValueError: shapes differ, or fewer than two classes.
    """
    _check_classes(classes)
    if prediction.shape != label.shape:
        raise ValueError(f"a prediction of shape {prediction.shape} for a label of shape {label.shape}")
    scores = np.empty((3, classes - 1))
    for index in range(1, classes):
        a, b = prediction == index, label == index
        distances = surface_distances(a, b)
        scores[:, index - 1] = dice(a, b), distances.hausdorff, distances.percentile(95.0)
    return MaskScores(*scores)


def missing_mask_scores(shape: tuple[int, ...], classes: int) -> MaskScores:
    """What a missing mask counts in every class: DSC 0, HD and HD95 the diagonal of the image of `shape` (H, W)."""
    _check_classes(classes)
    diagonal = np.full(classes - 1, math.hypot(*shape))
    return MaskScores(np.zeros(classes - 1), diagonal, diagonal)


def box_iou(prediction: ArrayLike, label: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of boxes (x_min, y_min, x_max, y_max), shapes (..., 4); 0 for empty or inverted boxes."""
    a, b = np.asarray(prediction, dtype=float), np.asarray(label, dtype=float)
    if a.shape[-1:] != (4,) or b.shape[-1:] != (4,):
        raise ValueError(f"boxes have four coordinates, got shapes {a.shape} and {b.shape}")
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    intersection = sides.prod(axis=-1)
    union = sum(np.clip(box[..., 2:] - box[..., :2], 0, None).prod(axis=-1) for box in (a, b)) - intersection
    return np.divide(intersection, union, out=np.zeros(np.shape(intersection)), where=union > 0)


def mean_radial_error(prediction: ArrayLike, label: ArrayLike) -> NDArray[np.float64]:
    """MRE: mean Euclidean distance over the points, in pixels; points (..., P, 2) to (...)."""
    a, b = np.asarray(prediction, dtype=float), np.asarray(label, dtype=float)
    if a.shape != b.shape or a.shape[-1:] != (2,):
        raise ValueError(f"as many predicted as labelled points (x, y) are needed, got shapes {a.shape} and {b.shape}")
    return np.linalg.norm(a - b, axis=-1).mean(axis=-1)


def confusion_scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The scores of `polyhead.evaluation.confusion.confusion_scores`, by the names that the challenge uses."""
    found = scores_of(counts)
    return {"Accuracy": found.pop("accuracy"), **found}


def official_auc(label: NDArray, probabilities: NDArray | None) -> float:
    """AUC as the public scorer gives it: 0 where scikit-learn refuses.

    It refuses where any row lacks probabilities (None here), where a class has no row, and, for more than two classes,
    where the probabilities of a row do not sum to one.
    """
    if probabilities is None or len(label) == 0 or not np.isfinite(probabilities).all():
        return 0.0
    classes = probabilities.shape[1]
    unnormalised = classes > 2 and not np.allclose(probabilities.sum(axis=1), 1)
    if classes < 2 or unnormalised or absent_classes(label, classes):
        return 0.0
    return float(auroc(label, probabilities))


def absent_classes(label: NDArray, classes: int) -> list[int]:
    """Classes in [0, C) that no row has."""
    return np.flatnonzero(np.bincount(label, minlength=classes) == 0).tolist()


def _check_classes(classes: int) -> None:
    if classes < 2:
        raise ValueError(f"segmentation needs a background and at least one class, got {classes}")
