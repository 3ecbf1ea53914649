"""Metrics of fields: closed forms, an independent loop for the Fourier shells, masks, and the table."""

import itertools
import math

import numpy as np
import pytest

from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.evaluation.metrics import Grid, fourier_errors, frobenius_ratio, metric_table, sample_metrics, score


def grid_of(*shape: int, time_axis: int | None = None, lengths: tuple[float, ...] | None = None) -> Grid:
    lengths = lengths or (1.0,) * len(shape)
    space = [i for i in range(len(shape)) if i != time_axis]
    return Grid(shape, lengths, time_axis, max(lengths[i] / (shape[i] - 1) for i in space))


def darcy_like(samples: int = 6, side: int = 8, seed: int = 0) -> OperatorData:
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 1, side)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    distance = np.stack([np.minimum.reduce([x, y, 1 - x, 1 - y]), 0.45 - np.hypot(x - 0.5, y - 0.5)])
    mask = (distance > 1e-9).reshape(2, -1)
    task = np.arange(samples) % 2
    return OperatorData(
        problem="darcy",
        tasks=("darcy/square", "darcy/circle"),
        coordinates=np.stack([y.ravel(), x.ravel()], axis=1),
        axes=(Quantity("y", "m"), Quantity("x", "m")),
        grid_shape=(side, side),
        parameters=np.empty((samples, 0)),
        parameter_names=(),
        functions=np.empty((samples, 0), dtype=np.float32),
        function_names=(),
        solution=(1 + rng.random((samples, side * side))).astype(np.float32) * mask[task],
        solution_name=Quantity("head", "m"),
        task=task.astype(np.int16),
        split=np.zeros(samples, dtype=np.int8),
        geometry=task.astype(np.int32),
        mask=mask,
        distance=distance.reshape(2, -1).astype(np.float32),
    )


def test_closed_forms_of_a_constant_error_in_a_mask():
    grid = grid_of(4, 5)
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:4] = True
    reference = np.where(mask, 4.0, 99.0)
    reference[1, 1] = 2.0
    prediction = np.where(mask, reference + 0.5, -1e9)
    values = sample_metrics(prediction.ravel(), reference.ravel(), mask.ravel(), grid)
    norm = math.sqrt(5 * 16 + 4)
    assert values["relative_l2"] == pytest.approx(0.5 * math.sqrt(6) / norm)
    assert values["normalised_rmse"] == pytest.approx(values["relative_l2"])
    assert values["rmse"] == pytest.approx(0.5)
    assert values["max_error"] == pytest.approx(0.5)
    assert values["range_error"] == pytest.approx(0.5 / 2)
    assert values["conserved_error"] == pytest.approx(0.5)
    assert math.isnan(values["boundary_rmse"])  # the mask does not reach the edge of the grid


def test_time_is_averaged_instant_by_instant():
    grid = grid_of(2, 3, time_axis=0)
    reference = np.array([[1.0, 1, 1], [2, 2, 2]])
    prediction = reference + np.array([[0.1, -0.1, 0], [0.6, 0.6, 0.6]])
    values = sample_metrics(prediction.ravel(), reference.ravel(), np.ones(6, dtype=bool), grid)
    assert values["conserved_error"] == pytest.approx((0 + 0.6) / 2)
    assert values["normalised_rmse"] == pytest.approx((math.sqrt(0.02 / 3) / 1 + 0.6 / 2) / 2)
    # The first and last point of space at every instant; the first instant itself is no boundary.
    assert values["boundary_rmse"] == pytest.approx(math.sqrt((0.01 + 0 + 0.36 + 0.36) / 4))


def test_boundary_is_one_grid_step_by_signed_distance():
    grid = grid_of(5, 5)
    y, x = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5), indexing="ij")
    distance = np.minimum.reduce([x, y, 1 - x, 1 - y]).ravel()
    mask = distance > 1e-9
    error = np.where(distance > 0.3, 7.0, 2.0)  # the centre alone is two steps away
    values = sample_metrics(1 + error, np.ones(25), mask, grid, distance)
    assert values["boundary_rmse"] == pytest.approx(2.0)
    assert values["max_error"] == pytest.approx(7.0)


def pdebench_shells(error: np.ndarray, lengths: tuple[float, ...]) -> list[float]:
    """One sample's shell errors, mode by mode as the definition reads."""
    shape = error.shape
    transform = np.fft.fftn(error)
    if error.ndim == 1:
        return [abs(transform[k]) / shape[0] * lengths[0] for k in range(shape[0] // 2 + 1)]
    halves = [n // 2 for n in shape]
    shells = [0.0] * min(halves)
    for index in itertools.product(*map(range, halves)):
        shell = math.floor(math.sqrt(sum(i * i for i in index)))
        if shell < len(shells):
            shells[shell] += abs(transform[index]) ** 2
    return [math.sqrt(total) / math.prod(shape) * math.prod(lengths) for total in shells]


@pytest.mark.parametrize("shape", [(33,), (28, 31), (26, 30, 27)])
def test_fourier_bands_agree_with_the_definition(shape):
    error = np.random.default_rng(3).normal(size=shape)
    lengths = tuple(1.0 + 0.5 * i for i in range(len(shape)))
    values = fourier_errors(error.ravel(), Grid(shape, lengths, None, 0.1))
    shells = pdebench_shells(error, lengths)
    assert values["fourier_low"] == pytest.approx(np.mean(shells[:4]))
    assert values["fourier_middle"] == pytest.approx(np.mean(shells[4:12]))
    assert values["fourier_high"] == pytest.approx(np.mean(shells[12:]))


def test_a_wave_is_in_its_band_and_time_is_no_axis_of_space():
    x = np.arange(32) / 32
    for wavenumber, band in ((3, "low"), (4, "middle"), (11, "middle"), (12, "high")):
        error = np.tile(np.cos(2 * np.pi * wavenumber * x), (5, 1))
        values = fourier_errors(error.ravel(), Grid((5, 32), (2.0, 1.0), 0, 1 / 32))
        sizes = {"low": 4, "middle": 8, "high": 5}
        for name, size in sizes.items():
            assert values[f"fourier_{name}"] == pytest.approx(0.5 / size if name == band else 0, abs=1e-12)


def test_bands_that_a_grid_is_too_coarse_for_are_undefined():
    values = fourier_errors(np.ones(20 * 20), grid_of(20, 20))
    assert math.isnan(values["fourier_high"]) and values["fourier_middle"] == pytest.approx(0, abs=1e-12)
    scattered = Grid((50,), (1.0, 1.0), None, 0.1)
    assert all(math.isnan(value) for value in fourier_errors(np.ones(50), scattered).values())


def test_frobenius_ratio_is_over_the_set():
    reference = np.array([[3.0, 4.0], [0.0, 12.0]])
    mask = np.array([[True, True], [True, False]])
    prediction = np.array([[3.0, 5.0], [2.0, np.nan]])
    assert frobenius_ratio(prediction, reference, mask) == pytest.approx(math.sqrt(5) / 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, u, m: (p[:-1], u, m), "must each have shape"),
        (lambda p, u, m: (p, u, np.zeros_like(m)), "mask is empty"),
        (lambda p, u, m: (np.full_like(p, np.nan), u, m), "prediction is not finite at 20 points"),
        (lambda p, u, m: (p, np.full_like(u, np.inf), m), "reference is not finite"),
    ],
)
def test_broken_fields_are_refused(change, message):
    prediction, reference, mask = change(np.ones(20), np.ones(20), np.ones(20, dtype=bool))
    with pytest.raises(ValueError, match=message):
        sample_metrics(prediction, reference, mask, grid_of(4, 5))


def test_grid_of_a_data_set():
    data = darcy_like(side=5)
    assert Grid.of(data) == Grid((5, 5), (1.0, 1.0), None, 0.25)
    assert Grid.of(data).regular


def test_table_names_rows_of_the_data_set():
    data = darcy_like(samples=8)
    rows = np.array([1, 2, 3, 4, 5, 6, 7])
    factors = np.array([0.1, 0.2, 0.3, 0.05, 0.2, 0.6, 0.9])
    values = score(data, rows, data.solution[rows] * (1 + factors)[:, None])
    assert values["relative_l2"] == pytest.approx(factors, rel=1e-6)
    table = metric_table(data, rows, values, resamples=200)
    by_name = {(row.task, row.metric.name): row for row in table}
    circle = by_name["darcy/circle", "relative_l2"]  # rows 1, 3, 5, 7 with 0.1, 0.3, 0.2, 0.9
    assert circle.interval.value == pytest.approx(0.375)
    assert circle.interval.low < 0.375 < circle.interval.high
    assert circle.median == pytest.approx(0.25)
    assert circle.percentile_90 == pytest.approx(np.quantile([0.1, 0.2, 0.3, 0.9], 0.9))
    assert (circle.worst_row, circle.rows, circle.undefined) == (7, 4, 0)
    assert circle.median_row in (3, 5)
    square = by_name["darcy/square", "frobenius"]
    kept = rows[data.task[rows] == 0]
    prediction = data.solution[kept] * (1 + factors[data.task[rows] == 0])[:, None]
    assert square.interval.value == pytest.approx(
        frobenius_ratio(prediction, data.solution[kept], data.sample_mask(kept)), rel=1e-6
    )
    assert by_name["darcy/square", "rmse"].metric.unit == "m"
    empty = by_name["darcy/square", "fourier_high"].to_json()
    assert (empty["value"], empty["rows"], empty["undefined"], empty["worst_row"]) == (None, 0, 3, None)


def test_score_names_the_broken_sample():
    data = darcy_like()
    prediction = data.solution.astype(float)
    prediction[3, data.mask[1].argmax()] = np.nan
    with pytest.raises(ValueError, match="sample 3 of darcy: the prediction is not finite at 1 points"):
        score(data, np.arange(6), prediction)
    with pytest.raises(ValueError, match=r"must have shape \(2, 64\)"):
        score(data, np.arange(2), prediction)
