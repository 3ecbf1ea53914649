"""Δm and Δp against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import pytest

from polyhead.evaluation.evaluate import (
    Interval,
    MetricSpec,
    TaskScore,
    delta_m,
    delta_p,
)


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
