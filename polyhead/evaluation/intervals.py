"""Confidence intervals that are right at the border, too: of scores between two bounds, and of errors without one.

A resample of rows that are all right is right: the percentile bootstrap calls a perfect score certain. Here rows have
the weights of the Bayesian bootstrap (Rubin 1981), one exponential draw a unit, and a score that has bounds is drawn
with one more unit, which nobody has seen: the worst that there can be for the lower end, the best for the upper one.
For the mean of rows in [a, b] these are Gaffke's bounds (2005; Learned-Miller and Thomas 2020, arXiv:1905.06208), and
for a share of rows the interval of Clopper and Pearson (1934), whose coverage is never below its level.

Errors without an upper bound have no worst row. Their interval lies between quantiles of the replicates, which are
moved outwards for few units (Hesterberg 2015, doi:10.1080/00031305.2015.1089789); where all replicates are equal
nothing is known of their spread, and there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyhead.evaluation.evaluate import Interval

INTERVALS = (
    "Intervals: Bayesian bootstrap over {}; scores with bounds are drawn with one more that nobody saw, the worst or "
    "the best (Gaffke's bounds, of shares Clopper and Pearson's), others between quantiles widened for few rows."
)
"""What a report says of its intervals; the braces take what was drawn."""

_BLOCK = 4_000_000  # numbers in one block of weights

Scores = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""Weights of rows (r, rows) to the values (r,) of scores by name."""


@dataclass(frozen=True)
class Replicates:
    """A score under each draw of weights, shapes (resamples,).

    Attributes:
        low: with one more unit of the worst, where the score has bounds.
        high: with one more unit of the best.
        bounded: whether there is such a unit; else `low` and `high` are one.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bounded: bool

    @classmethod
    def mean(cls, parts: Sequence[Replicates]) -> Replicates:
        """The replicates of the mean of several scores that are drawn independently."""
        low, high = (np.mean([getattr(part, side) for part in parts], axis=0) for side in ("low", "high"))
        return cls(low, high, all(part.bounded for part in parts))

    @classmethod
    def constant(cls, value: float, resamples: int) -> Replicates:
        """Of a score that is fixed by a rule, whatever the rows."""
        same = np.full(resamples, value)
        return cls(same, same, bounded=True)


def group_index(groups: Sequence[Hashable], n: int) -> NDArray[np.intp]:
    """Groups numbered from 0 in order of first appearance: (n,)."""
    if len(groups) != n:
        raise ValueError(f"groups must label every row: {len(groups)} labels for {n} rows")
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(label, len(index)) for label in groups], dtype=np.intp)


def unit_weights(
    n: int, *, groups: Sequence[Hashable] | None = None, resamples: int = 1000, seed: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Blocks of weights (r, n) of rows, and of weights (r,) of one unit more, `resamples` lines in all.

    A unit is a row, or with `groups` all rows of one label, which share a weight; the unit more is of mean size.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"weights are drawn of rows, got {n} rows and {resamples} resamples")
    membership = np.arange(n) if groups is None else group_index(groups, n)
    units = int(membership.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, step := max(1, _BLOCK // n)):
        drawn = rng.standard_exponential((min(step, resamples - start), units + 1))
        yield drawn[:, membership], drawn[:, -1] * (n / units)


def mean_replicates(
    values: ArrayLike,
    bounds: tuple[float, float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int,
) -> Replicates:
    """Of the mean of `values` (n,), which lie within `bounds` where it has some."""
    data = np.asarray(values, dtype=float)
    ends = bounds or (0.0, 0.0)
    if bounds and not ((data >= ends[0]) & (data <= ends[1])).all():
        raise ValueError(f"values between {data.min():g} and {data.max():g} leave the bounds {bounds}")
    low, high = [], []
    for weights, unseen in unit_weights(len(data), groups=groups, resamples=resamples, seed=seed):
        more = unseen if bounds else 0.0
        total, below = weights @ data, weights.sum(axis=1) + more
        low.append((total + more * ends[0]) / below)
        high.append((total + more * ends[1]) / below)
    found = np.concatenate(low), np.concatenate(high)
    if bounds:
        # Rounding must not leave them.
        found = np.maximum(found[0], bounds[0]), np.minimum(found[1], bounds[1])
    return Replicates(*found, bounded=bounds is not None)


def statistic_replicates(
    scores: Scores,
    n: int,
    *,
    bounded: bool = True,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int,
) -> dict[str, Replicates]:
    """Of scores that are no means over rows, such as F1 or an area under a curve.

    The unit more is a copy of one of the units, drawn at random, that was answered wrongly, or rightly.

    Args:
        scores: of the weights (r, 3 n) of the rows as they were answered, of the same rows answered wrongly, and of the
            same answered rightly; where they are not `bounded`, of the weights (r, n).
        n: number of rows.
        bounded: whether there is a worst answer.
        groups: n labels; rows of one label are a unit.
        resamples, seed: of the draws.
    """
    membership = np.arange(n) if groups is None else group_index(groups, n)
    units = int(membership.max()) + 1
    rng = np.random.default_rng([seed, 1])
    sides: tuple[dict[str, list[NDArray]], dict[str, list[NDArray]]] = {}, {}
    for weights, _ in unit_weights(n, groups=groups, resamples=resamples, seed=seed):
        if not bounded:
            for name, values in scores(weights).items():
                sides[0].setdefault(name, []).append(values)
            continue
        copied = membership == rng.integers(0, units, len(weights))[:, None]
        more = copied * rng.standard_exponential(len(weights))[:, None]
        none = np.zeros_like(weights)
        wrong = scores(np.concatenate([weights, more, none], axis=1))
        right = scores(np.concatenate([weights, none, more], axis=1))
        for name in wrong:
            sides[0].setdefault(name, []).append(np.minimum(wrong[name], right[name]))
            sides[1].setdefault(name, []).append(np.maximum(wrong[name], right[name]))
    low = {name: np.concatenate(parts) for name, parts in sides[0].items()}
    high = {name: np.concatenate(parts) for name, parts in sides[1].items()} if bounded else low
    return {name: Replicates(low[name], high[name], bounded) for name in low}


def interval(value: float, replicates: Replicates, *, level: float = 0.95, units: int) -> Interval:
    """The interval of a score by its replicates; NaN bounds where there are fewer than two units or none is defined."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    low, high = (side[np.isfinite(side)] for side in (replicates.low, replicates.high))
    if units < 2 or not low.size or not high.size or not math.isfinite(value):
        return Interval(value, level=level)
    tail = (1 - level) / 2
    if not replicates.bounded:
        if np.ptp(low) <= 1e-12 * abs(value):
            return Interval(value, level=level)
        tail = _outer_tail(tail, units)
    ends = float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail))
    return Interval(value, min(value, ends[0]), max(value, ends[1]), level)


def _outer_tail(tail: float, units: int) -> float:
    """The tail whose normal quantile is that of Student's t, widened by what the weights' spread lacks."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(math.sqrt((units + 1) / (units - 1)) * stdtrit(units - 1, tail)))


def mean_interval(
    values: ArrayLike,
    bounds: tuple[float, float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> Interval:
    """The mean of rows and its interval.

    Args:
        values: (n,), finite.
        bounds: between which every value lies, ``(0, 1)`` for shares and overlaps; None for errors without a largest.
        groups: n labels; rows of one label count together.
        level: coverage aimed at, in (0, 1).
        resamples, seed: of the draws; equal seeds give equal intervals.

    Raises:
        ValueError: no rows, values that are not finite or leave the bounds, or groups of another length.
    """
    data = np.asarray(values, dtype=float)
    if data.ndim != 1 or len(data) == 0:
        raise ValueError(f"values must be of shape (n,) with at least one row, got shape {data.shape}")
    if not np.isfinite(data).all():
        raise ValueError("values must be finite; decide first what a missing value counts")
    replicates = mean_replicates(data, bounds, groups=groups, resamples=resamples, seed=seed)
    units = len(data) if groups is None else len(set(groups))
    return interval(float(data.mean()), replicates, level=level, units=units)
