"""Bands, ensembles and input ranges: coverage against its closed form, refusals, round trips."""

import json
import math

import numpy as np
import pytest

from domains.pde.data.samples import Quantity
from domains.pde.networks.input_range import InputRange
from domains.pde.uncertainty.bands import Calibration, Ensemble, ScaleMap, calibrate, coverage
from polyhead.uncertainty.distance import Mahalanobis

COORDINATES = np.stack(np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 2, 12), indexing="ij"), axis=-1).reshape(-1, 2)
MASK = np.ones((1, 144), dtype=bool)


def residuals(rows: int, seed: int) -> np.ndarray:
    """Spread five times as large at one end of the first axis, amplitudes that differ by sample."""
    rng = np.random.default_rng(seed)
    amplitude = rng.gamma(3.0, size=(rows, 1))
    return rng.normal(size=(rows, 144)) * (1 + 4 * COORDINATES[:, 0]) * amplitude


def test_quantile_is_the_conformal_order_statistic():
    # 20 rows, one of them for the floor: 19 scores, the ceil(20 * 0.9) = 18th of them. With two rows of 18 it is 18
    # whichever row the floor takes; the 17th would be 17 or 18, the 19th always 19 or 18.
    sizes = np.array([*range(1, 19), 18, 19], dtype=float)
    residual = sizes[:, None] * np.ones((1, 3))
    found = [
        calibrate("t", residual, np.ones((1, 3), bool), np.eye(3), alpha=0.1, deviation=residual * 0 + 1, seed=seed)
        for seed in range(30)
    ]
    assert {(each.rows, each.quantile) for each in found} == {(19, 18.0)}
    chosen = found[0]
    assert chosen.half_width(np.eye(3), np.full((2, 3), 2.0)) == pytest.approx(np.full((2, 3), 2 * chosen.quantile))


def test_coverage_over_many_draws_is_what_was_aimed_at():
    fields, pointwise = [], []
    for seed in range(40):
        both = residuals(140, seed)
        chosen = calibrate("t", both[:80], MASK, COORDINATES, alpha=0.2, seed=seed)
        report = coverage(chosen, both[80:], MASK, COORDINATES)
        fields.append(report.fields.value)
        pointwise.append(report.pointwise)
    # 60 scores: expected ceil(61 * 0.8) / 61 = 0.803; the mean of 40 draws has a deviation of about 0.012.
    assert np.mean(fields) == pytest.approx(math.ceil(61 * 0.8) / 61, abs=0.04)
    assert np.mean(pointwise) > 0.95  # simultaneous bands cover far more points than fields


def test_bands_for_a_share_of_the_points_are_narrower_and_still_covered():
    whole = [calibrate("t", residuals(200, 1), MASK, COORDINATES, alpha=0.1, points=p) for p in (1.0, 0.9)]
    assert whole[1].quantile < whole[0].quantile
    report = coverage(whole[1], residuals(2000, 2), MASK, COORDINATES)
    assert report.fields.low < 0.93 and report.fields.high > 0.85
    assert report.aimed == pytest.approx(0.9)


def test_the_scale_follows_the_spread_over_space():
    scale = ScaleMap.fit(residuals(400, 3), np.broadcast_to(MASK, (400, 144)), COORDINATES, cells_per_axis=4)
    near, far = scale.at(np.array([[0.05, 1.0], [0.95, 1.0]]))
    assert far / near == pytest.approx((1 + 4 * 0.875) / (1 + 4 * 0.125), rel=0.15)
    outside = scale.at(np.array([[9.0, 1.0], [1.0, 1.0]]))
    assert outside[0] == pytest.approx(outside[1])


def test_masks_leave_points_out_of_scores():
    residual = residuals(60, 4)
    mask = np.ones((60, 144), dtype=bool)
    mask[:, :20] = False
    clean = calibrate("t", np.where(mask, residual, 0), mask, COORDINATES)
    spoiled = calibrate("t", np.where(mask, residual, np.nan), mask, COORDINATES)
    assert spoiled == clean
    report = coverage(clean, np.where(mask, residual, np.nan), mask, COORDINATES)
    assert report.fields.value > 0.8


def test_too_few_rows_are_refused_with_the_number_needed():
    with pytest.raises(ValueError, match=r"t: 20 calibration rows, 15 of them for scores.* at least 19 scores"):
        calibrate("t", residuals(20, 0), MASK, COORDINATES, alpha=0.05)
    assert calibrate("t", residuals(25, 0), MASK, COORDINATES, alpha=0.05).rows == 19


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="row 1 has an empty mask"):
        mask = np.ones((30, 144), dtype=bool)
        mask[1] = False
        calibrate("t", residuals(30, 0), mask, COORDINATES)
    with pytest.raises(ValueError, match="not finite in the mask"):
        calibrate("t", np.full((30, 144), np.nan), MASK, COORDINATES)
    with pytest.raises(ValueError, match=r"alpha and scale_rows must be in \(0, 1\)"):
        calibrate("t", residuals(30, 0), MASK, COORDINATES, alpha=1.0)
    with pytest.raises(ValueError, match="has its own scale"):
        calibrate("t", residuals(30, 0), MASK, COORDINATES).half_width(COORDINATES, np.ones((1, 144)))


def test_calibration_survives_json():
    chosen = calibrate("darcy/circle", residuals(60, 5), MASK, COORDINATES)
    again = Calibration.from_json(json.loads(json.dumps(chosen.to_json())))
    assert again == chosen
    own = calibrate("t", residuals(60, 5), MASK, COORDINATES, deviation=np.ones((60, 144)))
    assert Calibration.from_json(json.loads(json.dumps(own.to_json()))) == own


def test_perfect_answers_have_bands_of_no_width():
    chosen = calibrate("t", np.zeros((40, 144)), MASK, COORDINATES)
    assert chosen.quantile == 0
    report = coverage(chosen, np.zeros((10, 144)), MASK, COORDINATES)
    assert (report.fields.value, report.mean_width, report.as_aimed) == (1.0, 0.0, True)
    # Clopper and Pearson: all of 10 covered, lower end 0.025 ** (1 / 10).
    assert report.fields.low == pytest.approx(0.025**0.1)
    assert json.loads(json.dumps(report.to_json()))["fields"]["value"] == 1.0


def test_coverage_that_misses_its_aim_says_so():
    chosen = calibrate("t", residuals(100, 6), MASK, COORDINATES, alpha=0.1)
    report = coverage(chosen, 10 * residuals(50, 7), MASK, COORDINATES)
    assert report.fields.high < 0.9 and not report.as_aimed


def test_bands_that_follow_an_ensemble_are_covered():
    rng = np.random.default_rng(8)
    deviation = rng.gamma(2.0, size=(1200, 1)) * (0.5 + COORDINATES[:, 1]) * np.ones((1200, 144))
    residual = rng.normal(size=(1200, 144)) * deviation
    chosen = calibrate("t", residual[:200], MASK, COORDINATES, alpha=0.1, deviation=deviation[:200])
    report = coverage(chosen, residual[200:], MASK, COORDINATES, deviation=deviation[200:])
    assert chosen.rows == 199
    assert report.fields.value == pytest.approx(0.9, abs=0.05)
    # The largest of 144 standard normal values stays below 3.4 in 90 % of the cases.
    assert chosen.quantile == pytest.approx(3.37, abs=0.25)
    with pytest.raises(ValueError, match="needs the ensemble's deviation"):
        coverage(chosen, residual[200:], MASK, COORDINATES)


def test_ensemble_mean_and_deviation():
    fields = np.random.default_rng(0).normal(size=(5, 2, 7)) + 1e6
    ensemble = Ensemble([lambda factor, f=field: factor * f for field in fields])
    mean, deviation = ensemble(2.0)
    assert mean == pytest.approx(2 * fields.mean(axis=0))
    assert deviation == pytest.approx(2 * fields.std(axis=0, ddof=1), rel=1e-6)
    with pytest.raises(ValueError, match="at least two runs, got 1"):
        Ensemble([np.ones])
    with pytest.raises(ValueError, match=r"run 2 answers with shape \(3,\), the first one with \(2,\)"):
        Ensemble([lambda: np.ones(2), lambda: np.ones(3)])()


def test_range_names_value_unit_and_bounds():
    limits = InputRange.of(np.array([[0.1, 0.5], [1.0, 2.0]]), (Quantity("rate", "1/s"), Quantity("beta")))
    lines = limits.outside(np.array([[0.1, 2.0], [np.float32(1.0000001), 3.0], [np.nan, 1.0], [1.2, 0.4]]))
    assert lines == [
        [],
        ["beta = 3 is outside the training range 0.5 to 2"],
        ["rate = nan 1/s is outside the training range 0.1 to 1"],
        [
            "rate = 1.2 1/s is outside the training range 0.1 to 1",
            "beta = 0.4 is outside the training range 0.5 to 2",
        ],
    ]
    with pytest.raises(ValueError, match=r"must have shape \(n, 2\)"):
        limits.outside(np.ones((1, 3)))


def test_mahalanobis_equals_the_inverse_covariance():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) + 5
    fitted = Mahalanobis.fit(inputs)
    offset = rng.normal(size=(6, 4)) * 3
    expected = np.sqrt(np.einsum("ni,ij,nj->n", offset, np.linalg.inv(np.cov(inputs.T, bias=True)), offset))
    assert fitted.distance(inputs.mean(axis=0) + offset) == pytest.approx(expected)


def test_the_threshold_is_that_of_each_row_against_the_others():
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3))
    fitted = Mahalanobis.fit(inputs, level=0.9)
    left_out = [
        Mahalanobis.fit(np.delete(inputs, row, axis=0)).distance(inputs[row : row + 1])[0] for row in range(len(inputs))
    ]
    # 90 % of 39 steps is 35.1: the next order statistic is the 37th of 40.
    assert fitted.threshold == pytest.approx(np.sort(left_out)[36])
    assert fitted.threshold > np.sort(fitted.distance(inputs))[36]
    far = inputs.mean(axis=0) + np.array([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])
    here, there = fitted.outside(far)
    assert here == [] and len(there) == 1
    assert there[0].startswith("the inputs taken together are unlike those of the training: their Mahalanobis distance")
    again = Mahalanobis.from_json(json.loads(json.dumps(fitted.to_json())))
    assert np.array_equal(again.distance(far), fitted.distance(far)) and again.threshold == fitted.threshold


def test_inputs_that_never_change_are_left_out():
    inputs = np.random.default_rng(3).normal(size=(50, 3))
    inputs[:, 1] = 7
    fitted = Mahalanobis.fit(inputs)
    moved = inputs.copy()
    moved[:, 1] = 9
    assert np.array_equal(fitted.distance(moved), fitted.distance(inputs))
    with pytest.raises(ValueError, match="no training input ever changes"):
        Mahalanobis.fit(np.ones((5, 2)))
