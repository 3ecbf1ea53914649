"""Intervals against scipy and closed forms; Δm and Δp against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from polyhead.evaluation.evaluate import (
    Interval,
    MetricSpec,
    TaskScore,
    bootstrap_counts,
    bootstrap_interval,
    bootstrap_replicates,
    delta_m,
    delta_p,
    percentile_interval,
)


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
    monkeypatch.setattr("polyhead.evaluation.evaluate._BLOCK", 50)
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


def test_delta_m_by_hand():
    # Accuracy 0.8 -> 0.9 is 12.5 % better, error 2 -> 1 is 50 % better, error 4 -> 5 is 25 % worse.
    multi, single, higher = [0.9, 1.0, 5.0], [0.8, 2.0, 4.0], [True, False, False]
    assert delta_m(multi, single, higher) == pytest.approx((-12.5 - 50 + 25) / 3)
    assert delta_m(single, single, higher) == 0
    tasks = {"a": [0], "b": [1], "c": [2]}
    alone = {name: {t: [source[i] for i in at] for t, at in tasks.items()} for name, source in
             {"multi": multi, "single": single, "higher": higher}.items()}  # fmt: skip
    assert delta_p(alone["multi"], alone["single"], alone["higher"]) == pytest.approx(-delta_m(multi, single, higher))


def test_delta_p_averages_within_a_task_first():
    multi, single = {"a": [1.1, 1.3], "b": [2.0]}, {"a": [1.0, 1.0], "b": [1.0]}
    higher = {"a": [True, True], "b": [True]}
    assert delta_p(multi, single, higher) == pytest.approx((20 + 100) / 2)
    assert delta_m([1.1, 1.3, 2.0], [1.0] * 3, [True] * 3) == pytest.approx(-(10 + 30 + 100) / 3)


def test_metrics_below_zero_keep_their_sign():
    assert delta_m([-0.1], [-0.5], [True]) == pytest.approx(-80)
    assert delta_m([-2.0], [-1.0], [True]) == pytest.approx(100)
    assert delta_m([-2.0], [-1.0], [False]) == pytest.approx(-100)
    assert delta_p({"a": [-0.1]}, {"a": [-0.5]}, {"a": [True]}) == pytest.approx(80)
    assert delta_m([1e-9], [2e-9], [False]) == pytest.approx(-50)


def test_a_baseline_next_to_zero_is_named():
    with pytest.raises(ValueError, match=r"^metric 2 of 2: the single-task value 1e-12 is next to zero"):
        delta_m([1.0, 1.0], [1.0, 1e-12], [True, True])
    with pytest.raises(ValueError, match=r"^task 'b', metric 1 of 1: the single-task value -1e-08 is next to zero"):
        delta_p({"a": [1.0], "b": [0.5]}, {"a": [1.0], "b": [-1e-8]}, {"a": [True], "b": [True]})


@pytest.mark.parametrize(
    ("multi", "single", "message"),
    [
        ([1.0], [0.0], "metric 1 of 1: the single-task value 0 is next to zero"),
        ([1.0], [], "one single-task value"),
        ([math.inf], [1.0], "finite"),
        ([], [], "0, 0"),
    ],
)
def test_delta_m_refuses(multi, single, message):
    with pytest.raises(ValueError, match=message):
        delta_m(multi, single, [True] * len(multi))


def test_a_score_knows_its_side_of_the_baseline():
    accuracy, error = MetricSpec("Accuracy", True), MetricSpec("MRE", False, "pixels")
    assert TaskScore("t", accuracy, Interval(0.8, 0.7, 0.9), baseline=0.6).above_baseline is True
    assert TaskScore("t", accuracy, Interval(0.8, 0.5, 0.9), baseline=0.6).above_baseline is False
    assert TaskScore("t", error, Interval(3.0, 2.0, 4.0), baseline=5.0).above_baseline is True
    score = TaskScore("t", error, Interval(3.0), baseline=5.0)
    assert score.above_baseline is None
    record = json.loads(json.dumps(score.to_json(), allow_nan=False))
    assert record["low"] is None
    assert record["unit"] == "pixels"
