"""The challenge's metrics against scikit-learn and numbers worked out by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, roc_auc_score

from domains.medical.surface import dice, hausdorff
from domains.medical.ultrasound.evaluation.metrics import (
    absent_classes,
    box_iou,
    confusion_scores,
    mask_scores,
    mean_radial_error,
    missing_mask_scores,
    official_auc,
)
from polyhead.evaluation.confusion import confusion
from polyhead.evaluation.ranking import auroc


def a_task(classes: int, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(classes), rng.integers(0, classes, size=n - classes)])
    # Rounded, so that ranks tie.
    probabilities = np.round(rng.dirichlet(np.ones(classes), size=n) + 0.5 * np.eye(classes)[label], 1) + 0.01
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return label, probabilities.argmax(axis=1), probabilities


def sklearn_scores(label, predicted, weights=None) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "Accuracy": accuracy_score(label, predicted, sample_weight=weights),
            "F1_macro": f1_score(label, predicted, average="macro", zero_division=0, sample_weight=weights),
            "F1_weighted": f1_score(label, predicted, average="weighted", zero_division=0, sample_weight=weights),
            "MCC": matthews_corrcoef(label, predicted, sample_weight=weights),
        }


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_classification_equals_scikit_learn(classes):
    label, predicted, probabilities = a_task(classes)
    ours = confusion_scores(confusion(label, predicted, classes))
    assert {name: float(value) for name, value in ours.items()} == pytest.approx(sklearn_scores(label, predicted))
    if classes == 2:
        expected = roc_auc_score(label, probabilities[:, 1])
    else:
        expected = roc_auc_score(label, probabilities, average="macro", multi_class="ovr")
    assert float(auroc(label, probabilities)) == pytest.approx(expected)
    assert official_auc(label, probabilities) == pytest.approx(expected)


def test_weights_are_repetitions():
    label, predicted, probabilities = a_task(3, n=40)
    weights = np.random.default_rng(1).integers(0, 4, size=(6, 40)).astype(float)
    scores = confusion_scores(confusion(label, predicted, 3, weights))
    areas = auroc(label, probabilities, weights)
    for line, counts in enumerate(weights):
        times = np.repeat(np.arange(40), counts.astype(int))
        expected = sklearn_scores(label[times], predicted[times])
        assert {name: float(value[line]) for name, value in scores.items()} == pytest.approx(expected)
        assert areas[line] == pytest.approx(roc_auc_score(label[times], probabilities[times], multi_class="ovr"))


def test_classes_without_rows_are_left_out_of_f1_and_auc():
    label, predicted, probabilities = a_task(3)
    wide = np.pad(probabilities, ((0, 0), (0, 1)))
    ours = confusion_scores(confusion(label, predicted, 4))
    assert {name: float(value) for name, value in ours.items()} == pytest.approx(sklearn_scores(label, predicted))
    assert float(auroc(label, wide)) == pytest.approx(float(auroc(label, probabilities)))
    assert absent_classes(label, 4) == [3]
    assert official_auc(label, wide) == 0


def test_official_auc_is_zero_where_scikit_learn_refuses():
    label, _, probabilities = a_task(3)
    assert official_auc(label, None) == 0
    assert official_auc(label, probabilities * 0.9) == 0
    with pytest.raises(ValueError, match="sum"):
        roc_auc_score(label, probabilities * 0.9, multi_class="ovr")
    two = np.array([[0.2, 0.9], [0.7, 0.1]])  # two classes need no sums
    assert official_auc(np.array([1, 0]), two) == 1


def test_degenerate_classification():
    one_class = np.zeros(5, dtype=int)
    scores = confusion_scores(confusion(one_class, one_class, 2))
    assert scores["MCC"] == 0
    assert scores["Accuracy"] == scores["F1_macro"] == 1
    assert math.isnan(float(auroc(one_class, np.full((5, 2), 0.5))))
    constant = np.full((4, 2), 0.5)
    assert float(auroc(np.array([0, 1, 1, 0]), constant)) == 0.5


def test_mask_scores_are_those_of_each_class():
    rng = np.random.default_rng(0)
    prediction, label = rng.integers(0, 4, size=(2, 20, 25))
    label[label == 3] = 0
    scores = mask_scores(prediction, label, 4)
    for index in (1, 2):
        assert scores.dsc[index - 1] == dice(prediction == index, label == index)
        assert scores.hd[index - 1] == hausdorff(prediction == index, label == index)
    assert scores.dsc[2] == 0
    assert scores.hd[2] == scores.hd95[2] == pytest.approx(math.hypot(20, 25))
    nothing = mask_scores(np.zeros((4, 4), int), np.zeros((4, 4), int), 2)
    assert (nothing.dsc[0], nothing.hd[0], nothing.hd95[0]) == (1, 0, 0)


def test_missing_masks_score_worst():
    scores = missing_mask_scores((30, 40), 3)
    np.testing.assert_array_equal(scores.dsc, [0, 0])
    np.testing.assert_array_equal(scores.hd, [50, 50])


def test_masks_need_a_class_and_one_shape():
    with pytest.raises(ValueError, match="background"):
        mask_scores(np.zeros((2, 2)), np.zeros((2, 2)), 1)
    with pytest.raises(ValueError, match="shape"):
        mask_scores(np.zeros((2, 2)), np.zeros((2, 3)), 2)


def test_iou_by_hand():
    square = (0, 0, 10, 10)
    boxes = [square, (5, 0, 15, 10), (20, 20, 30, 30), (10, 10, 0, 0), (3, 3, 3, 3)]
    np.testing.assert_allclose(box_iou(boxes, square), [1, 1 / 3, 0, 0, 0])
    assert float(box_iou((3, 3, 3, 3), (3, 3, 3, 3))) == 0
    with pytest.raises(ValueError, match="four"):
        box_iou((1, 2, 3), square)


def test_mre_by_hand():
    assert float(mean_radial_error([(3, 4), (10, 10)], [(0, 0), (10, 10)])) == 2.5
    with pytest.raises(ValueError, match="points"):
        mean_radial_error([(3, 4)], [(0, 0), (1, 1)])
