"""Areas under the curves: counted by hand, against scikit-learn, weights against repeated rows."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from polyhead.evaluation.ranking import auprc, auroc


def test_pairs_are_counted_and_ties_are_halves():
    label, score = np.array([0, 1, 1, 0]), np.array([0.1, 0.4, 0.8, 0.4])
    two = np.stack([1 - score, score], axis=1)
    assert float(auroc(label, two)) == 3.5 / 4
    # Recall 1/2 at precision 1, then both at once with a negative: recall 1 at 2/3.
    assert float(auprc(label, two)) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert float(auroc(label, np.full((4, 2), 0.5))) == 0.5


def test_classes_are_one_against_the_rest_and_absent_ones_are_left_out():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 100)
    shares = np.round(rng.dirichlet(np.ones(3), 100) * 0.6 + 0.4 * np.eye(3)[label], 1) + 0.01
    shares /= shares.sum(axis=1, keepdims=True)
    wide = np.pad(shares, ((0, 0), (0, 1)))
    for given in (shares, wide):
        assert float(auroc(label, given)) == pytest.approx(roc_auc_score(label, shares, multi_class="ovr"))
        assert float(auprc(label, given)) == pytest.approx(average_precision_score(np.eye(3)[label], shares))
    assert np.isnan(auroc(np.zeros(4, dtype=int), np.full((4, 2), 0.5)))


def test_weights_are_repetitions():
    rng = np.random.default_rng(1)
    label, score = rng.integers(0, 2, 50), np.round(rng.random(50), 1)
    two, times = np.stack([1 - score, score], axis=1), rng.integers(0, 4, (3, 50))
    for area in (auroc, auprc):
        found = area(label, two, times.astype(float))
        for index, counts in enumerate(times):
            rows = np.repeat(np.arange(50), counts)
            assert found[index] == pytest.approx(float(area(label[rows], two[rows])))
