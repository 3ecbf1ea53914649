"""How sure a predicted field is: split conformal bands with a coverage report, and ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyhead.evaluation.evaluate import Interval

_FLOOR = 0.05  # of the overall spread: a scale of 0 would make every score there infinite


@dataclass(frozen=True)
class ScaleMap:
    """A positive scale at every place: root mean square residuals of a coarse grid of cells, linear between centres.

    Attributes:
        lower, upper: d bounds of the cells, in the unit of the axes; places outside take the nearest cell's value.
        cells: d numbers of cells.
        values: prod(cells) scales in C order, in the unit of the field.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    cells: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def fit(
        cls, residual: NDArray, mask: NDArray, coordinates: NDArray, *, cells_per_axis: int | None = None
    ) -> ScaleMap:
        """The spread of residuals (n, P) at points (P, d) over the samples and the points of each cell.

        Cells without a point take the overall spread; no cell takes less than a twentieth of it. By default a cell
        has at least four points on average, and an axis at most 16 cells.
        """
        mask = _counted(mask, residual)
        points, axes = coordinates.shape
        if cells_per_axis is None:
            cells_per_axis = int(np.clip((points / 4) ** (1 / axes), 1, 16))
        lower, upper = coordinates.min(axis=0), coordinates.max(axis=0)
        upper = np.where(upper > lower, upper, lower + 1)
        cells = (cells_per_axis,) * axes
        place = np.clip(((coordinates - lower) / (upper - lower) * cells_per_axis).astype(int), 0, cells_per_axis - 1)
        cell = np.ravel_multi_index(tuple(place.T), cells)
        squared = np.where(mask, residual.astype(np.float64), 0) ** 2
        size = int(np.prod(cells))
        total = np.bincount(cell, squared.sum(axis=0), minlength=size)
        count = np.bincount(cell, mask.sum(axis=0), minlength=size)
        overall = math.sqrt(total.sum() / count.sum())
        # Residuals of 0 everywhere still need a positive scale; the quantile is then 0.
        spread = np.sqrt(np.divide(total, count, out=np.full(size, overall**2), where=count > 0))
        values = np.maximum(spread, _FLOOR * overall) if overall > 0 else np.ones(size)
        return cls(tuple(map(float, lower)), tuple(map(float, upper)), cells, tuple(map(float, values)))

    def at(self, points: NDArray) -> NDArray[np.float64]:
        """The scale at points (n, d), shape (n,)."""
        from scipy.ndimage import map_coordinates

        if points.ndim != 2 or points.shape[1] != len(self.cells):
            raise ValueError(f"points must have shape (n, {len(self.cells)}), got {points.shape}")
        lower, upper = np.array(self.lower), np.array(self.upper)
        place = (points - lower) / (upper - lower) * np.array(self.cells) - 0.5
        return map_coordinates(np.array(self.values).reshape(self.cells), place.T, order=1, mode="nearest")


@dataclass(frozen=True)
class Calibration:
    """What a task's bands are made of; JSON through `to_json` and `from_json`.

    The band at x is answer(x) ± quantile · scale(x); it covers the whole field (or the share `points` of it) of a new
    sample with probability at least 1 − alpha, if that sample is exchangeable with the calibration rows. It promises
    nothing for inputs of another kind than those.

    Attributes:
        task: name of the task.
        alpha: miscoverage aimed at, in (0, 1).
        points: share of a field's points that a band must cover, 1 for all of them.
        rows: calibration rows that the quantile is taken over.
        quantile: the conformal quantile of the scores, without dimension where there is a scale.
        scale: the scale over space; None where each answer brings its own, an ensemble's standard deviation.
        floor: smallest scale of an answer that brings its own, in the unit of the field.
    """

    task: str
    alpha: float
    points: float
    rows: int
    quantile: float
    scale: ScaleMap | None
    floor: float = 0.0

    def half_width(self, points: NDArray, deviation: NDArray | None = None) -> NDArray[np.float64]:
        """Half of the band's width at points (P, d): shape (P,), or (n, P) with the ensemble's `deviation` (n, P)."""
        if (self.scale is None) != (deviation is not None):
            wanted = "needs the ensemble's deviation" if self.scale is None else "has its own scale: give no deviation"
            raise ValueError(f"the calibration of {self.task} {wanted}")
        return self.quantile * _scale(self.scale, self.floor, points, deviation)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        """The calibration that `to_json` wrote."""
        scale = values["scale"]
        return cls(**{**values, "scale": scale and ScaleMap(**{name: tuple(entry) for name, entry in scale.items()})})


def calibrate(
    task: str,
    residual: NDArray,
    mask: NDArray,
    coordinates: NDArray,
    *,
    alpha: float = 0.1,
    points: float = 1.0,
    deviation: NDArray | None = None,
    scale_rows: float = 0.25,
    seed: int = 0,
) -> Calibration:
    """Split conformal calibration of whole fields (Vovk 2005; scores as in Diquigiovanni et al. 2022).

    A row's score is the largest |residual| / scale over its points (with `points` below 1 that quantile of them); the
    ⌈(n+1)(1−alpha)⌉-th smallest score is the band's factor. The scale is learned on rows of its own, so that the
    rows that give scores stay exchangeable with new ones.

    Args:
        task: name of the task.
        residual: (n, P), prediction − reference of rows that the model was not trained on.
        mask: (n, P) or (1, P) bool, the points that count.
        coordinates: (P, d).
        alpha: miscoverage aimed at.
        points: share of the points of a field that its band must cover.
        deviation: (n, P) standard deviation of an ensemble at the same points; it then is the scale, with a floor
            taken from one row, and all other rows give scores.
        scale_rows: share of the rows that the scale is learned on where there is no `deviation`.
        seed: of the choice of those rows.

    Raises:
        ValueError: too few rows for `alpha`, an empty mask, non-finite residuals, or a value out of range.
    """
    if not (0 < alpha < 1 and 0 < points <= 1 and 0 < scale_rows < 1):
        raise ValueError(
            f"alpha and scale_rows must be in (0, 1), points in (0, 1]; got {alpha}, {scale_rows}, {points}"
        )
    mask = _counted(mask, residual)
    held = 1 if deviation is not None else max(1, round(scale_rows * len(residual)))
    scored = len(residual) - held
    rank = math.ceil((scored + 1) * (1 - alpha) - 1e-9)
    if scored < 1 or rank > scored:
        needed = math.ceil(1 / alpha - 1e-9) - 1
        raise ValueError(
            f"{task}: {len(residual)} calibration rows, {scored} of them for scores, are too few for a coverage of "
            f"{1 - alpha:.0%}; at least {needed} scores are needed: hold out more rows or raise alpha"
        )
    order = np.random.default_rng(seed).permutation(len(residual))
    for_scale, for_scores = order[:held], order[held:]
    if deviation is None:
        scale, floor, own = ScaleMap.fit(residual[for_scale], mask[for_scale], coordinates), 0.0, None
    else:
        if deviation.shape != residual.shape:
            raise ValueError(f"{task}: deviation must have shape {residual.shape}, got {deviation.shape}")
        spread = float(np.sqrt(np.mean(deviation[for_scale][mask[for_scale]] ** 2)))
        scale, floor, own = None, _FLOOR * spread or 1.0, deviation[for_scores]
    ratio = np.abs(residual[for_scores]) / _scale(scale, floor, coordinates, own)
    scores = np.array([_covering(line[counts], points) for line, counts in zip(ratio, mask[for_scores], strict=True)])
    return Calibration(task, alpha, points, scored, float(np.sort(scores)[rank - 1]), scale, floor)


@dataclass(frozen=True)
class Coverage:
    """What bands of one task cover on rows that they were not calibrated on.

    Attributes:
        task: name of the task.
        aimed: 1 − alpha.
        rows: test rows.
        fields: share of fields that are covered (all points, or the calibration's share of them), with its exact
            binomial 95 % interval (Clopper and Pearson 1934).
        pointwise: share of all points that lie in their band, mean over the rows.
        mean_width: mean width of the band over the rows and their points, in the unit of the field.
    """

    task: str
    aimed: float
    rows: int
    fields: Interval
    pointwise: float
    mean_width: float

    @property
    def as_aimed(self) -> bool:
        """Whether the aim is not above the interval: the test rows do not speak against it."""
        return self.aimed <= self.fields.high

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "fields": self.fields.to_json(), "as_aimed": self.as_aimed}


def coverage(
    calibration: Calibration,
    residual: NDArray,
    mask: NDArray,
    coordinates: NDArray,
    *,
    deviation: NDArray | None = None,
    level: float = 0.95,
) -> Coverage:
    """Coverage of test rows; arguments as in `calibrate`.

    Raises:
        ValueError: no rows, shapes that differ, an empty mask or non-finite residuals.
    """
    from scipy.stats import binomtest

    mask = _counted(mask, residual)
    width = np.broadcast_to(calibration.half_width(coordinates, deviation), residual.shape)
    inside = np.abs(residual) <= width * (1 + 1e-12)
    shares = np.array([line[counts].mean() for line, counts in zip(inside, mask, strict=True)])
    # The same order statistic as in the score: the share is met where ⌈points · P⌉ points are covered.
    wanted = np.array([_needed(int(counts.sum()), calibration.points) for counts in mask])
    covered = (inside & mask).sum(axis=1) >= wanted
    test = binomtest(int(covered.sum()), len(covered)).proportion_ci(level, method="exact")
    widths = [2 * float(line[counts].mean()) for line, counts in zip(width, mask, strict=True)]
    return Coverage(
        task=calibration.task,
        aimed=1 - calibration.alpha,
        rows=len(residual),
        fields=Interval(float(covered.mean()), float(test.low), float(test.high), level),
        pointwise=float(shares.mean()),
        mean_width=float(np.mean(widths)),
    )


@dataclass(frozen=True)
class Ensemble:
    """Several runs as one: mean and standard deviation of their answers (Lakshminarayanan et al. 2017).

    Attributes:
        answers: at least two functions that take the same arguments and return fields of one shape.
    """

    answers: tuple[Callable[..., NDArray], ...]

    def __init__(self, answers: Sequence[Callable[..., NDArray]]):
        if len(answers) < 2:
            raise ValueError(f"an ensemble needs at least two runs, got {len(answers)}")
        object.__setattr__(self, "answers", tuple(answers))

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (n − 1) over the runs, each in the shape of one answer."""
        mean = squares = np.zeros(())
        for number, answer in enumerate(self.answers, start=1):
            field = np.asarray(answer(*args, **kwargs), dtype=np.float64)
            if number > 1 and field.shape != mean.shape:
                raise ValueError(f"run {number} answers with shape {field.shape}, the first one with {mean.shape}")
            # Welford's update: one field in memory, whatever the number of runs.
            step = field - mean
            mean = mean + step / number
            squares = squares + step * (field - mean)
        return mean, np.sqrt(squares / (len(self.answers) - 1))


def _scale(scale: ScaleMap | None, floor: float, points: NDArray, deviation: NDArray | None) -> NDArray[np.float64]:
    if scale is not None:
        return scale.at(points)
    if deviation is None:
        raise ValueError("a scale needs a map or a deviation")
    return np.maximum(deviation, floor)


def _needed(points: int, share: float) -> int:
    return max(1, math.ceil(share * points - 1e-9))


def _covering(ratio: NDArray, share: float) -> float:
    rank = _needed(len(ratio), share)
    return float(np.partition(ratio, rank - 1)[rank - 1])


def _counted(mask: NDArray, residual: NDArray) -> NDArray[np.bool_]:
    if residual.ndim != 2 or not len(residual):
        raise ValueError(f"residuals must have shape (n, P) with at least one row, got {residual.shape}")
    if mask.shape not in (residual.shape, (1, residual.shape[1])):
        raise ValueError(f"mask must have shape {residual.shape} or (1, {residual.shape[1]}), got {mask.shape}")
    mask = np.broadcast_to(np.asarray(mask, dtype=bool), residual.shape)
    if not mask.any(axis=1).all():
        raise ValueError(f"row {int(np.argmin(mask.any(axis=1)))} has an empty mask: no point of its field counts")
    if not np.isfinite(residual[mask]).all():
        raise ValueError("residuals are not finite in the mask: the model's answers are broken")
    return mask
