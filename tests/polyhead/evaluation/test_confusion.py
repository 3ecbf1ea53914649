"""Confusion matrices and their scores, weighted resamples included, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

from polyhead.evaluation.confusion import confusion, confusion_scores


def test_counts_and_scores_equal_scikit_learn_for_every_weighting():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 3, size=(2, 50))
    weights = rng.integers(0, 4, size=(5, 50)).astype(float)
    counts = confusion(label, predicted, 3, weights)
    scores = confusion_scores(counts)
    for line, weight in enumerate(weights):
        np.testing.assert_allclose(counts[line], confusion_matrix(label, predicted, sample_weight=weight))
        expected = {
            "accuracy": accuracy_score(label, predicted, sample_weight=weight),
            "F1_macro": f1_score(label, predicted, average="macro", sample_weight=weight),
            "F1_weighted": f1_score(label, predicted, average="weighted", sample_weight=weight),
            "MCC": matthews_corrcoef(label, predicted, sample_weight=weight),
        }
        assert {name: float(value[line]) for name, value in scores.items()} == pytest.approx(expected)


def test_a_class_that_never_occurs_counts_nowhere_and_one_class_alone_has_no_correlation():
    found = confusion_scores(confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 4))
    assert found["F1_macro"] == pytest.approx(2 / 3)
    assert confusion_scores(confusion(np.zeros(3, int), np.zeros(3, int), 2))["MCC"] == 0


def test_values_that_are_no_class_are_named_with_their_row():
    right = np.array([0, 1, 2])
    for wrong, message in [
        (np.array([0, -1, 2]), "-1 of row 1 is no class: classes are 0..2"),
        (np.array([0, 1, 4]), "4 of row 2 is no class"),
        (np.array([0.0, 0.5, 1.0]), "0.5 of row 1 is no class"),
        (np.array([np.nan, 0.0, 1.0]), "nan of row 0 is no class"),
    ]:
        with pytest.raises(ValueError, match=f"^label {message}"):
            confusion(wrong, right, 3)
        with pytest.raises(ValueError, match=f"^prediction {message}"):
            confusion(right, wrong, 3)
    np.testing.assert_array_equal(confusion(right.astype(float), right.astype(np.uint8), 3), np.eye(3))


def test_other_numbers_of_rows_are_refused():
    with pytest.raises(ValueError, match="rows differ: 3 labels, 2 predictions"):
        confusion(np.zeros(3, int), np.zeros(2, int), 2)
    with pytest.raises(ValueError, match=r"rows differ: 3 labels, 3 predictions and weights of shape \(4, 2\)"):
        confusion(np.zeros(3, int), np.zeros(3, int), 2, np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"labels must be of shape \(n,\), got \(3, 1\)"):
        confusion(np.zeros((3, 1), int), np.zeros(3, int), 2)
