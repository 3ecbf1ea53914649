"""How far a field is from its reference: per sample and in its mask, PDEBench's bands among them, and a table a task.

Relative values are fractions, not percent. A value that is not defined (a reference of zeros, no point near the
boundary, a grid too coarse for a band) is NaN, and the table says of how many samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.pde.data.samples import OperatorData
from polyhead.evaluation.evaluate import Interval, MetricSpec
from polyhead.evaluation.intervals import interval, mean_interval, statistic_replicates

MAIN_METRIC = "relative_l2"
"""The metric that an evaluation is judged by."""

BANDS: Mapping[str, tuple[int, int | None]] = {"low": (0, 4), "middle": (4, 12), "high": (12, None)}
"""Shells of wavenumbers, upper end excluded, as in PDEBench's code; its paper writes 0-4, 5-12 and 13 upwards."""

RELATIVE = ("relative_l2", "normalised_rmse", "range_error", "frobenius")


@dataclass(frozen=True)
class Grid:
    """Where the points of a data set lie, as far as the metrics need it.

    Attributes:
        shape: lengths of the d axes, or (P,) for scattered points.
        lengths: d extents of the points, in the unit of the axes.
        time_axis: the axis that is time, None where there is none.
        step: largest distance between neighbours along an axis of space; for scattered points the edge of the cube
            that one point has on average.
    """

    shape: tuple[int, ...]
    lengths: tuple[float, ...]
    time_axis: int | None
    step: float

    @classmethod
    def of(cls, data: OperatorData) -> Grid:
        """The grid of a data set; the axis named ``"t"`` or ``"time"`` is time."""
        lengths = tuple(float(length) for length in np.ptp(data.coordinates, axis=0))
        time = next((i for i, axis in enumerate(data.axes) if axis.name in ("t", "time")), None)
        space = [i for i in range(len(lengths)) if i != time]
        if len(data.grid_shape) == len(lengths):
            step = max((lengths[i] / (data.grid_shape[i] - 1) for i in space if data.grid_shape[i] > 1), default=0.0)
            return cls(data.grid_shape, lengths, time, step)
        volume = math.prod(lengths[i] for i in space)
        return cls(data.grid_shape, lengths, None, (volume / len(data.coordinates)) ** (1 / max(len(space), 1)))

    @property
    def regular(self) -> bool:
        """Whether the points are a grid, so that there are axes to transform along."""
        return len(self.shape) == len(self.lengths)


def metric_specs(unit: str | None) -> dict[str, MetricSpec]:
    """All metrics by name; `unit` is that of the field. Lower is better for each."""
    physical = ("rmse", "max_error", "boundary_rmse", "conserved_error", *(f"fourier_{band}" for band in BANDS))
    return {
        **{name: MetricSpec(name, False) for name in RELATIVE},
        **{name: MetricSpec(name, False, unit) for name in physical},
    }


def sample_metrics(
    prediction: NDArray, reference: NDArray, mask: NDArray, grid: Grid, distance: NDArray | None = None
) -> dict[str, float]:
    """Every per-sample metric of one field.

    ``relative_l2``: ‖e‖ / ‖u‖ in the mask. ``rmse``: root of the mean square in the mask. ``normalised_rmse``: RMSE
    over root mean square of the reference, instant by instant, then the mean over time (PDEBench; without a time axis
    it equals ``relative_l2``). ``max_error``: largest |e|. ``range_error``: RMSE over the reference's range, for fields
    with a large offset. ``boundary_rmse``: RMSE of the points at most one grid step from the boundary; without a
    signed distance, of the first and last layer of each axis of space. ``conserved_error``: |mean of e over space|,
    then the mean over time. ``fourier_low``, ``_middle``, ``_high``: see `fourier_errors`.

    Args:
        prediction: (P,).
        reference: (P,).
        mask: (P,) bool, the points that count; others are taken as 0 in both fields.
        grid: where the points lie.
        distance: (P,) signed distance, positive inside, or None.

    Raises:
        ValueError: shapes differ, the mask is empty, or a counted value is not finite.
    """
    mask = np.asarray(mask, dtype=bool)
    if not prediction.shape == reference.shape == mask.shape == (math.prod(grid.shape),):
        raise ValueError(
            f"prediction, reference and mask must each have shape ({math.prod(grid.shape)},), got {prediction.shape}, "
            f"{reference.shape} and {mask.shape}"
        )
    if not mask.any():
        raise ValueError("the mask is empty: no point of the field counts")
    for name, field in (("prediction", prediction), ("reference", reference)):
        if not np.isfinite(field[mask]).all():
            raise ValueError(f"the {name} is not finite at {int((~np.isfinite(field[mask])).sum())} points of its mask")
    true = np.where(mask, reference, 0).astype(np.float64)
    error = np.where(mask, prediction, 0).astype(np.float64) - true
    rmse = _rms(error, mask)
    instants = list(_instants(error, true, mask, grid))
    return {
        "relative_l2": _ratio(rmse, _rms(true, mask)),
        "normalised_rmse": _mean([_ratio(_rms(e, m), _rms(u, m)) for e, u, m in instants]),
        "rmse": rmse,
        "max_error": float(np.abs(error).max()),
        "range_error": _ratio(rmse, float(np.ptp(reference[mask]))),
        "boundary_rmse": _boundary_rmse(error, mask, grid, distance),
        "conserved_error": _mean([abs(float(e[m].mean())) for e, _, m in instants]),
        **fourier_errors(error, grid),
    }


def fourier_errors(error: NDArray, grid: Grid) -> dict[str, float]:
    """Root mean square error of the Fourier shells, averaged over the shells of each band (PDEBench, Takamoto 2022).

    With E the unnormalised transform over the axes of space, shell k sums |E|² over the non-negative wavenumbers with
    ⌊|k|⌋ = k; its error is √(sum) / (number of points) · (volume). One axis has n/2 + 1 shells, more axes min(n)/2.
    PDEBench takes the mean over samples under the root; here each sample has its own value. With time, the mean over
    instants. NaN for a band that the grid is too coarse for, and everywhere on scattered points.

    Args:
        error: (P,), 0 outside the mask.
        grid: where the points lie.
    """
    if not grid.regular:
        return {f"fourier_{band}": math.nan for band in BANDS}
    field = error.reshape(grid.shape)
    lengths = list(grid.lengths)
    if grid.time_axis is None:
        field = field[None]
    else:
        field = np.moveaxis(field, grid.time_axis, 0)
        del lengths[grid.time_axis]
    shape = field.shape[1:]
    power = np.abs(np.fft.fftn(field, axes=tuple(range(1, field.ndim)))) ** 2
    ends = [n // 2 + 1 for n in shape] if len(shape) == 1 else [n // 2 for n in shape]
    power = power[(slice(None), *(slice(end) for end in ends))]
    radius = np.sqrt(sum(axis.astype(float) ** 2 for axis in np.ogrid[tuple(slice(end) for end in ends)]))
    shell = np.floor(radius).astype(int).ravel()
    shells = min(ends)
    kept = shell < shells
    scale = math.prod(lengths) / math.prod(shape)
    per_shell = np.stack(
        [np.sqrt(np.bincount(shell[kept], instant.ravel()[kept], minlength=shells)) * scale for instant in power]
    )
    return {
        f"fourier_{band}": float(per_shell[:, low:high].mean()) if low < shells else math.nan
        for band, (low, high) in BANDS.items()
    }


def frobenius_ratio(prediction: NDArray, reference: NDArray, mask: NDArray) -> float:
    """‖pred − u‖ / ‖u‖ over a whole set in its masks, (n, P) each: MT-DeepONet's figure for Fisher and the plate."""
    counts = np.broadcast_to(mask, reference.shape)
    true = reference.astype(np.float64)
    error = np.where(counts, prediction - true, 0)
    return _ratio(float(np.linalg.norm(error)), float(np.linalg.norm(np.where(counts, true, 0))))


def score(data: OperatorData, rows: NDArray, prediction: NDArray) -> dict[str, NDArray]:
    """Every per-sample metric of predicted rows, each (len(rows),).

    ``squared_error`` and ``squared_reference`` are there too: sums over the mask, from which Frobenius ratios follow.

    Args:
        data: the data set.
        rows: the samples that were predicted.
        prediction: (len(rows), P), in the unit of the solution.

    Raises:
        ValueError: a wrong shape, or as `sample_metrics`, naming the sample.
    """
    rows = np.asarray(rows)
    if prediction.shape != (len(rows), data.solution.shape[1]):
        raise ValueError(f"prediction must have shape ({len(rows)}, {data.solution.shape[1]}), got {prediction.shape}")
    grid = Grid.of(data)
    lines = []
    for row, field in zip(rows, prediction, strict=True):
        mask = data.mask[data.geometry[row]]
        distance = None if data.distance is None else data.distance[data.geometry[row]]
        try:
            values = sample_metrics(field, data.solution[row], mask, grid, distance)
        except ValueError as error:
            raise ValueError(f"sample {row} of {data.problem}: {error}") from None
        true = data.solution[row][mask].astype(np.float64)
        lines.append(
            {
                **values,
                "squared_error": float(((field[mask] - true) ** 2).sum()),
                "squared_reference": float(true @ true),
            }
        )
    return {name: np.array([line[name] for line in lines]) for name in (lines[0] if lines else ())}


@dataclass(frozen=True)
class MetricRow:
    """One metric of one task.

    Attributes:
        task: name of the task.
        metric: what is measured.
        interval: mean over the samples and its bootstrap interval; for ``frobenius`` the ratio over the set.
        median: median over the samples (``frobenius``: NaN, like all that follows a sample).
        percentile_90: 90th percentile over the samples.
        worst_row: row of the data set with the largest value, -1 where there is none.
        median_row: row with the value nearest to the median.
        rows: samples that the value counts.
        undefined: samples of which the metric is not defined; they are left out.
    """

    task: str
    metric: MetricSpec
    interval: Interval
    median: float
    percentile_90: float
    worst_row: int
    median_row: int
    rows: int
    undefined: int

    def to_json(self) -> dict[str, object]:
        """JSON values; NaN becomes None."""
        return {
            "task": self.task,
            "metric": self.metric.name,
            "unit": self.metric.unit,
            **self.interval.to_json(),
            "median": self.median if math.isfinite(self.median) else None,
            "percentile_90": self.percentile_90 if math.isfinite(self.percentile_90) else None,
            "worst_row": self.worst_row if self.worst_row >= 0 else None,
            "median_row": self.median_row if self.median_row >= 0 else None,
            "rows": self.rows,
            "undefined": self.undefined,
        }


def metric_table(
    data: OperatorData, rows: NDArray, values: Mapping[str, NDArray], *, resamples: int = 1000, seed: int = 0
) -> list[MetricRow]:
    """The table of predicted rows: all metrics of each task that the rows have, in the order of the tasks.

    Args:
        data: the data set.
        rows: the samples.
        values: what `score` returned for them.
        resamples: resamples of the bootstrap over samples.
        seed: of the bootstrap.
    """
    rows = np.asarray(rows)
    specs = metric_specs(data.solution_name.unit)
    table = []
    for index, task in enumerate(data.tasks):
        chosen = np.flatnonzero(data.task[rows] == index)
        if not len(chosen):
            continue
        for name, spec in specs.items():
            if name == "frobenius":
                table.append(_frobenius_row(task, spec, values, chosen, resamples, seed))
            else:
                table.append(_metric_row(task, spec, values[name][chosen], rows[chosen], resamples, seed))
    return table


def _metric_row(task: str, spec: MetricSpec, values: NDArray, rows: NDArray, resamples: int, seed: int) -> MetricRow:
    defined = np.isfinite(values)
    kept, names = values[defined], rows[defined]
    undefined = int((~defined).sum())
    if not len(kept):
        return MetricRow(task, spec, Interval(math.nan), math.nan, math.nan, -1, -1, 0, undefined)
    median = float(np.median(kept))
    return MetricRow(
        task=task,
        metric=spec,
        interval=mean_interval(kept, resamples=resamples, seed=seed),
        median=median,
        percentile_90=float(np.quantile(kept, 0.9)),
        worst_row=int(names[np.argmax(kept)]),
        median_row=int(names[np.argmin(np.abs(kept - median))]),
        rows=len(kept),
        undefined=undefined,
    )


def _frobenius_row(
    task: str, spec: MetricSpec, values: Mapping[str, NDArray], chosen: NDArray, resamples: int, seed: int
) -> MetricRow:
    error, true = values["squared_error"][chosen], values["squared_reference"][chosen]
    if not true.sum() > 0:
        return MetricRow(task, spec, Interval(math.nan), math.nan, math.nan, -1, -1, 0, len(chosen))

    def ratio(weights: NDArray) -> dict[str, NDArray]:
        return {spec.name: np.sqrt((weights @ error) / (weights @ true))}

    drawn = statistic_replicates(ratio, len(chosen), bounded=False, resamples=resamples, seed=seed)[spec.name]
    found = interval(math.sqrt(error.sum() / true.sum()), drawn, units=len(chosen))
    return MetricRow(task, spec, found, math.nan, math.nan, -1, -1, len(chosen), 0)


def _boundary_rmse(error: NDArray, mask: NDArray, grid: Grid, distance: NDArray | None) -> float:
    if distance is not None:
        # Half a thousandth of a step more: the layer at exactly one step must not depend on rounding.
        near = mask & (distance <= grid.step * 1.0005)
    elif grid.regular:
        near = np.zeros(grid.shape, dtype=bool)
        for axis in range(len(grid.shape)):
            if axis != grid.time_axis:
                np.moveaxis(near, axis, 0)[[0, -1]] = True
        near = near.ravel() & mask
    else:
        return math.nan
    return _rms(error, near) if near.any() else math.nan


def _instants(error: NDArray, true: NDArray, mask: NDArray, grid: Grid) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    if grid.time_axis is None:
        yield error, true, mask
        return
    over_time = [np.moveaxis(array.reshape(grid.shape), grid.time_axis, 0) for array in (error, true, mask)]
    for e, u, m in zip(*over_time, strict=True):
        if m.any():
            yield e.ravel(), u.ravel(), m.ravel()


def _rms(values: NDArray, mask: NDArray) -> float:
    return float(np.sqrt(np.mean(values[mask] ** 2)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
