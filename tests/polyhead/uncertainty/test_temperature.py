"""A temperature is found again from logits made with one, and stays near 1 where rows are few; reliability by hand."""

import numpy as np
import pytest

from polyhead.uncertainty.reliability import LEAST_ROWS, brier, equal_mass, mass_error
from polyhead.uncertainty.temperature import apply_temperature, cross_fitted, fit_temperature


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def drawn(rows, temperature, seed=0):
    """Probabilities that are `temperature` times too sure, and labels drawn from the honest ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2.0, size=(rows, 4))
    honest = softmax(logits)
    labels = (generator.random(rows)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    return softmax(logits * temperature), labels.clip(0, 3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_synthetic_logits_is_found_again(temperature):
    shares, labels = drawn(20_000, temperature)
    free = fit_temperature("t", shares, labels).temperature
    assert free == pytest.approx(temperature, rel=0.04)
    assert fit_temperature("t", shares, labels, deviation=0.5).temperature == pytest.approx(free, rel=0.01)


def test_the_prior_draws_towards_one_by_its_closed_form():
    shares, labels = drawn(40, 3.0)
    fitted = {s: np.log(fit_temperature("t", shares, labels, deviation=s).temperature) for s in (0.1, 0.5, 50.0)}
    assert 0 < fitted[0.1] < fitted[0.5] < fitted[50.0]

    def slope(log, step=1e-4):  # of Σ -log p
        def loss(x):
            return -np.log(apply_temperature(shares, np.exp(x))[np.arange(40), labels]).sum()

        return (loss(log + step) - loss(log - step)) / (2 * step)

    for deviation, log in fitted.items():
        assert slope(log) + log / deviation**2 == pytest.approx(0, abs=0.02)


def test_cross_fitting_leaves_each_row_out_of_its_own_temperature():
    shares, labels = drawn(50, 3.0)
    found = cross_fitted(shares, labels, folds=5, deviation=0.5)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for fold in range(5):
        mine = np.arange(50) % 5 == fold
        fitted = fit_temperature("t", shares[~mine], labels[~mine], fewest=1, deviation=0.5)
        np.testing.assert_allclose(found[mine], apply_temperature(shares[mine], fitted.temperature))
    other = labels.copy()
    other[0] = (other[0] + 1) % 4  # a row's own label changes its own answer in nothing
    np.testing.assert_array_equal(cross_fitted(shares, other, folds=5, deviation=0.5)[0], found[0])


def test_bins_of_equal_mass_by_hand():
    sure = np.array([0.9, 0.5, 0.6, 0.95, 0.7, 0.55, 0.8, 0.99, 0.65, 0.85])
    right = np.array([1, 0, 1, 1, 0, 1, 1, 1, 0, 1])
    low, high = equal_mass(sure, right, bins=15)  # ten rows make two bins of the fewest rows
    assert (low.rows, high.rows) == (LEAST_ROWS, LEAST_ROWS) and (low.low, low.high, high.low) == (0.5, 0.7, 0.8)
    assert (low.confidence, low.accuracy) == pytest.approx((0.6, 0.4)) and high.accuracy == 1
    assert mass_error(sure, right) == pytest.approx(0.5 * 0.2 + 0.5 * (1 - 0.898))
    assert len(equal_mass(sure[:3], right[:3])) == 1 and np.isnan(mass_error([], []))
    np.testing.assert_allclose(brier(np.array([[0.7, 0.2, 0.1], [1, 0, 0]]), np.array([0, 2])), [0.14, 2.0])
