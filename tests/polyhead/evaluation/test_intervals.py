"""Intervals hold what they promise at the borders and for few rows: closed forms, and coverage by simulation."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from benchmarks.bootstrap import bootstrap_interval
from polyhead.evaluation.intervals import (
    Replicates,
    interval,
    mean_interval,
    mean_replicates,
    statistic_replicates,
    unit_weights,
)


@pytest.mark.parametrize(("right", "n"), [(74, 74), (0, 74), (73, 74), (40, 74), (3, 8), (8, 8)])
def test_a_share_of_rows_has_the_interval_of_clopper_and_pearson(right, n):
    found = mean_interval(np.arange(n) < right, (0, 1), resamples=40_000, seed=1)
    low = 0 if right == 0 else beta.ppf(0.025, right, n - right + 1)
    high = 1 if right == n else beta.ppf(0.975, right + 1, n - right)
    assert (found.value, found.low, found.high) == pytest.approx((right / n, low, high), abs=0.004)
    if right == n == 74:
        assert found.low == pytest.approx(0.951, abs=0.002) and found.high == 1


def test_bounds_of_other_sizes_move_the_interval_with_them():
    values = np.random.default_rng(0).random(30)
    unit = mean_interval(values, (0, 1), seed=3)
    wide = mean_interval(10 * values - 4, (-4, 6), seed=3)
    assert (wide.low, wide.high) == pytest.approx((10 * unit.low - 4, 10 * unit.high - 4))
    with pytest.raises(ValueError, match="leave the bounds"):
        mean_interval([0.5, 1.5], (0, 1), seed=0)


def test_groups_count_as_one_unit():
    groups = np.repeat(np.arange(10), 5)
    single = mean_interval(np.ones(10), (0, 1), resamples=4000, seed=0)
    grouped = mean_interval(np.ones(50), (0, 1), groups=groups.tolist(), resamples=4000, seed=0)
    assert grouped.low == pytest.approx(single.low)
    ((weights, unseen),) = unit_weights(50, groups=groups.tolist(), resamples=7, seed=0)
    assert weights.shape == (7, 50) and unseen.shape == (7,)
    assert (weights.reshape(7, 10, 5) == weights[:, ::5, None]).all()


def test_errors_without_a_bound_have_no_interval_where_nothing_is_known_of_their_spread():
    assert math.isnan(mean_interval([2.5] * 20, seed=0).low)
    assert math.isnan(mean_interval([1.0], (0, 1), seed=0).low)
    spread = np.random.default_rng(0).normal(5, 1, 6)
    narrow, wide = bootstrap_interval(spread, seed=0), mean_interval(spread, seed=0)
    t = 2.571 * spread.std(ddof=1) / math.sqrt(6)
    assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)
    assert wide.high - wide.low == pytest.approx(2 * t, rel=0.2)


DRAWS = {
    "rare misses": (lambda rng, n: (rng.random(n) < 0.98).astype(float), 0.98, (0, 1)),
    "overlaps": (lambda rng, n: np.where(rng.random(n) < 0.08, 0, rng.beta(20, 3, n)), 0.92 * 20 / 23, (0, 1)),
    "errors": (lambda rng, n: rng.gamma(4, 1, n), 4.0, None),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("n", [8, 40])
def test_coverage(kind, n):
    draw, true, bounds = DRAWS[kind]
    rng, trials = np.random.default_rng(5), 300
    found = [mean_interval(draw(rng, n), bounds, resamples=400, seed=seed) for seed in range(trials)]
    covered = np.mean([each.low <= true <= each.high for each in found])
    # 0.95 within what 300 trials tell; errors are skewed, for which no interval of few rows is exact.
    assert covered >= (0.93 if bounds else 0.9)


def test_the_percentile_bootstrap_does_not_cover_rare_misses():
    draw, true, _ = DRAWS["rare misses"]
    rng = np.random.default_rng(5)
    found = [bootstrap_interval(draw(rng, 40), resamples=400, seed=seed) for seed in range(300)]
    assert np.mean([each.low <= true <= each.high for each in found]) < 0.7


def test_scores_of_all_rows_see_a_row_that_nobody_saw():
    """Accuracy as a statistic of all rows equals the mean of the rows."""
    n = 30
    right = np.arange(n) < 28
    thrice = np.concatenate([right, np.zeros(n), np.ones(n)])

    def accuracy(weights):
        return {
            "accuracy": weights @ thrice / weights.sum(axis=1),
            "error": weights @ (1 - thrice) / weights.sum(axis=1),
        }

    found = statistic_replicates(accuracy, n, resamples=20_000, seed=0)
    low, high = beta.ppf(0.025, 28, 3), beta.ppf(0.975, 29, 2)
    share = interval(28 / 30, found["accuracy"], units=n)
    assert (share.low, share.high) == pytest.approx((low, high), abs=0.005)
    error = interval(2 / 30, found["error"], units=n)
    assert (error.low, error.high) == pytest.approx((1 - share.high, 1 - share.low))


def test_means_of_scores_are_of_their_replicates():
    parts = [
        mean_replicates(np.full(20, value), (0, 1), resamples=500, seed=seed) for seed, value in ((0, 1.0), (1, 0.5))
    ]
    both = Replicates.mean(parts)
    assert both.bounded and both.low == pytest.approx((parts[0].low + parts[1].low) / 2)
    fixed = Replicates.constant(0.25, 500)
    assert interval(0.25, fixed, units=9).low == 0.25 == interval(0.25, fixed, units=9).high
    with pytest.raises(ValueError, match="level"):
        interval(0.5, fixed, level=1.0, units=9)
