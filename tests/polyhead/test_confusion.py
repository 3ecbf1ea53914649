"""Confusion matrices and their scores, weighted resamples included, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

from polyhead.confusion import confusion, confusion_scores


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
