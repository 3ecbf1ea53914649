"""A temperature is found again from logits that were made with one, and stays near 1 where rows are few."""

import numpy as np
import pytest

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
