"""Metrics against scikit-learn and scipy, weights against repeated rows, and closed forms."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from domains.genomics.evaluation.metrics import (
    classification_scores,
    confusion,
    confusion_scores,
    image_rows,
    mcc,
    number_scores,
    spearman,
    text_rows,
    token_f1,
)
from polyhead.evaluation.ranking import auprc, auroc
from polyhead.uncertainty.reliability import calibration_error, reliability


@pytest.fixture
def binary():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 200)
    score = np.round(np.clip(0.3 * label + 0.7 * rng.random(200), 0, 1), 2)  # rounded: ties
    return label, np.stack([1 - score, score], axis=1)


def test_two_classes_as_scikit_learn(binary):
    label, probabilities = binary
    found = classification_scores(label, probabilities)
    predicted = probabilities.argmax(axis=1)
    assert found["MCC"] == pytest.approx(oracle.matthews_corrcoef(label, predicted))
    assert found["AUROC"] == pytest.approx(oracle.roc_auc_score(label, probabilities[:, 1]))
    assert found["AUPRC"] == pytest.approx(oracle.average_precision_score(label, probabilities[:, 1]))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(label, predicted))
    assert found["F1_macro"] == pytest.approx(oracle.f1_score(label, predicted, average="macro"))


def test_three_classes_as_scikit_learn():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 3, 300)
    probabilities = rng.dirichlet(np.ones(3), 300) * 0.6 + 0.4 * np.eye(3)[label]
    found = classification_scores(label, probabilities)
    predicted = probabilities.argmax(axis=1)
    assert found["MCC"] == pytest.approx(oracle.matthews_corrcoef(label, predicted))
    assert found["AUROC"] == pytest.approx(oracle.roc_auc_score(label, probabilities, multi_class="ovr"))
    assert found["AUPRC"] == pytest.approx(oracle.average_precision_score(np.eye(3)[label], probabilities))


def test_weights_are_repetitions(binary):
    label, probabilities = binary
    times = np.random.default_rng(5).integers(0, 4, (2, len(label)))
    weighted = classification_scores(label, probabilities, weights=times.astype(float))
    numbers = number_scores(label, probabilities[:, 1], weights=times.astype(float))
    for index, counts in enumerate(times):
        rows = np.repeat(np.arange(len(label)), counts)
        for name, value in classification_scores(label[rows], probabilities[rows]).items():
            assert weighted[name][index] == pytest.approx(value), name
        for name, value in number_scores(label[rows], probabilities[rows, 1]).items():
            assert numbers[name][index] == pytest.approx(value), name


def test_one_class_alone_leaves_areas_undefined():
    label, probabilities = np.zeros(4, dtype=int), np.tile([0.6, 0.4], (4, 1))
    assert np.isnan(auroc(label, probabilities)) and np.isnan(auprc(label, probabilities))
    assert classification_scores(label, probabilities)["MCC"] == 0
    assert mcc([0, 1, 0, 1], [0, 1, 0, 1]) == 1 and mcc([0, 1], [1, 0]) == -1
    with pytest.raises(ValueError, match="same rows"):
        mcc([0, 1], [0])


def test_missing_answer_is_a_class_that_is_never_right():
    counts = confusion(np.array([0, 1, 1]), np.array([0, 1, -1]), 2)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert confusion_scores(counts)["accuracy"] == pytest.approx(2 / 3)
    assert confusion_scores(counts)["MCC"] < 1


def test_calibration_error_by_hand():
    confidence, right = np.array([0.62, 0.64, 0.95, 0.99]), np.array([1, 0, 1, 1])
    # Bins of a fifteenth: {0.62, 0.64} with accuracy 0.5, {0.95, 0.99} with 1.
    assert calibration_error(confidence, right) == pytest.approx(0.5 * abs(0.5 - 0.63) + 0.5 * abs(1 - 0.97))
    found = reliability(confidence, right)
    assert [(each.rows, each.accuracy) for each in found] == [(2, 0.5), (2, 1.0)]
    assert sum(each.rows for each in reliability([0.0, 1.0, 1 / 15], [0, 1, 0])) == 3
    with pytest.raises(ValueError, match="same rows"):
        reliability([0.5], [1, 0])


def test_numbers_as_scipy():
    rng = np.random.default_rng(6)
    label = np.round(rng.normal(size=100), 1)
    predicted = label + np.round(rng.normal(size=100), 1)
    found = number_scores(label, predicted)
    assert found["Spearman"] == pytest.approx(stats.spearmanr(label, predicted)[0])
    assert found["RMSE"] == pytest.approx(oracle.root_mean_squared_error(label, predicted))
    assert found["MAE"] == pytest.approx(oracle.mean_absolute_error(label, predicted))
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_texts_and_images():
    assert token_f1("a b b c", "b c d") == pytest.approx(2 * 2 / 7)
    assert token_f1("", " ") == 1 and token_f1("a", "") == 0
    rows = text_rows(["zinc finger", "a b", "a"], ["zinc  finger", "b c", None])
    assert rows.tolist() == [[1, 1, 0], [0, 0.5, 0], [0, 0, 1]]
    grids = image_rows(["1 2 3 4", "1 2 3 4", "1 2"], ["1 2 3 4", "1 2 0 0", "1"])
    assert grids.tolist() == [[1, 1, 0], [0, 0.5, 0], [0, 0, 1]]
