"""Percentile intervals against scipy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.bootstrap import bootstrap_counts, bootstrap_interval, bootstrap_replicates, percentile_interval


def test_interval_of_the_mean_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=80)
    ours = bootstrap_interval(values, resamples=20_000, seed=3)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=4).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=0.01)


def test_interval_of_the_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.normal(size=60), resamples=300, seed=i) for i in range(300)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.90 <= covered <= 0.98


def test_counts_are_draws_with_replacement():
    blocks = list(bootstrap_counts(7, resamples=400, seed=0))
    counts = np.concatenate(blocks)
    assert counts.shape == (400, 7)
    assert (counts.sum(axis=1) == 7).all()
    # Each count is binomial(7, 1/7): mean 1, variance 6/7.
    assert counts.mean() == pytest.approx(1)
    assert counts.var() == pytest.approx(6 / 7, rel=0.1)


def test_blocks_do_not_change_the_number_of_resamples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("benchmarks.bootstrap._BLOCK", 50)
    blocks = list(bootstrap_counts(10, resamples=23, seed=0))
    assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]


def test_groups_are_drawn_whole():
    groups = ["a", "b", "a", "c", "b"]
    counts = np.concatenate(list(bootstrap_counts(5, groups=groups, resamples=100, seed=2)))
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, 1] == counts[:, 4]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_rows_repeated_in_a_group_do_not_narrow_the_interval():
    values = np.random.default_rng(5).normal(size=30)
    once = bootstrap_interval(values, seed=7)
    repeated = bootstrap_interval(np.repeat(values, 10), groups=np.repeat(np.arange(30), 10).tolist(), seed=7)
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high))
    naive = bootstrap_interval(np.repeat(values, 10), seed=7)
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_a_statistic_given_as_a_function_equals_the_quick_mean():
    values = np.arange(12.0) ** 2
    quick = bootstrap_replicates(values, resamples=50, seed=1)
    slow = bootstrap_replicates(values, lambda drawn: float(np.mean(drawn)), resamples=50, seed=1)
    np.testing.assert_allclose(quick, slow)
    median = bootstrap_interval(values, lambda drawn: float(np.median(drawn)), seed=1)
    assert median.value == np.median(values)
    assert median.low <= median.value <= median.high


def test_one_row_has_no_interval_and_equal_rows_have_a_point():
    alone = bootstrap_interval([0.4], seed=0)
    assert alone.value == 0.4
    assert math.isnan(alone.low)
    same = bootstrap_interval([0.4, 0.4, 0.4], seed=0)
    assert (same.low, same.high) == pytest.approx((0.4, 0.4))


def test_undefined_replicates_are_left_out():
    interval = percentile_interval(1.0, np.array([np.nan, 0.0, 1.0, 2.0]), level=0.5)
    assert (interval.low, interval.high) == (0.5, 1.5)
    assert math.isnan(percentile_interval(1.0, np.array([np.nan])).low)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "at least one row"),
        ([1.0, math.nan], {}, "finite"),
        ([1.0, 2.0], {"level": 1.0}, "level"),
        ([1.0, 2.0], {"groups": ["a"]}, "1 labels for 2 rows"),
        ([[1.0], [2.0]], {}, "statistic"),
        ([1.0, 2.0], {"resamples": 0}, "resamples"),
    ],
)
def test_bad_input_of_an_interval(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, seed=0, **options)
