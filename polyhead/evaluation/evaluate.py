"""Scores and how sure they are: bootstrap intervals over rows or groups, Δm against single-task models."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 4_000_000  # numbers in one block of resampling counts
_ZERO, _NEGLIGIBLE = 1e-12, 1e-6  # a baseline below these, by itself or beside the value, gives no relative change


@dataclass(frozen=True)
class MetricSpec:
    """What a metric is.

    Attributes:
        name: as tables show it.
        higher_is_better: which way is better.
        unit: None for a pure number.
        bounds: between which the value of every row lies, where it is a mean over rows that has such.
    """

    name: str
    higher_is_better: bool
    unit: str | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval; `low` and `high` are NaN where no interval can be given."""

    value: float
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95

    def to_json(self) -> dict[str, float | None]:
        """JSON values; NaN becomes None."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high", "level")}


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task, beside the answer that looks at no input.

    Attributes:
        task: name of the task.
        metric: what is measured.
        interval: the value and its interval.
        baseline: the same metric of the trivial baseline, NaN where there is none.
        alternative: the same metric under the report's other convention, NaN where there is none.
        rows: rows that the value counts.
        missing: rows without a usable prediction.
    """

    task: str
    metric: MetricSpec
    interval: Interval
    baseline: float = math.nan
    alternative: float = math.nan
    rows: int = 0
    missing: int = 0

    @property
    def above_baseline(self) -> bool | None:
        """Whether the whole interval is on the better side of the baseline; None where either is unknown."""
        bound = self.interval.low if self.metric.higher_is_better else self.interval.high
        if math.isnan(bound) or math.isnan(self.baseline):
            return None
        return bound > self.baseline if self.metric.higher_is_better else bound < self.baseline

    def to_json(self) -> dict[str, object]:
        """JSON values; NaN becomes None."""
        return {
            "task": self.task,
            "metric": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
            "unit": self.metric.unit,
            **self.interval.to_json(),
            "baseline": _finite(self.baseline),
            "alternative": _finite(self.alternative),
            "above_baseline": self.above_baseline,
            "rows": self.rows,
            "missing": self.missing,
        }


def bootstrap_counts(
    n: int, *, groups: Sequence[Hashable] | None = None, resamples: int = 2000, seed: int
) -> Iterator[NDArray[np.float64]]:
    """How often each of `n` rows is drawn in each resample, in blocks of shape (r, n), `resamples` lines in all.

    Rows are drawn with replacement (Efron 1979). With `groups` whole groups are drawn, as many as there are, so that
    rows of one patient or image stay together (cluster bootstrap); lines then need not sum to `n`.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"a bootstrap needs rows and resamples, got {n} rows and {resamples} resamples")
    membership = np.arange(n) if groups is None else group_index(groups, n)
    units = int(membership.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, step := max(1, _BLOCK // n)):
        block = min(step, resamples - start)
        drawn = rng.integers(0, units, size=(block, units)) + np.arange(block)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=block * units).reshape(block, units)
        yield counts[:, membership].astype(np.float64)


def bootstrap_replicates(
    values: ArrayLike,
    statistic: Callable[[NDArray], float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    seed: int,
) -> NDArray[np.float64]:
    """The statistic of every resample, shape (resamples,); see `bootstrap_interval`."""
    data = np.asarray(values)
    replicates = []
    for counts in bootstrap_counts(len(data), groups=groups, resamples=resamples, seed=seed):
        if statistic is None:
            replicates.append(counts @ data / counts.sum(axis=1))
        else:
            drawn = counts.astype(int)
            replicates.append(np.array([statistic(np.repeat(data, times, axis=0)) for times in drawn], dtype=float))
    return np.concatenate(replicates)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[NDArray], float] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> Interval:
    """Percentile bootstrap interval of a statistic of rows.

    Args:
        values: shape (n,), or (n, ...) with a `statistic` that takes such an array.
        statistic: from an array of drawn rows to a number; None is the mean, done for all resamples at once.
        groups: n labels; rows of one label are drawn together.
        level: coverage aimed at, in (0, 1).
        resamples: number of resamples.
        seed: of the random generator; equal seeds give equal intervals.

    Returns:
        the statistic of all rows and its interval, NaN bounds where there are fewer than two rows or groups.

    Raises:
        ValueError: no rows, non-finite values, a level outside (0, 1), or groups of another length.
    """
    data = np.asarray(values, dtype=float)
    if data.ndim < 1 or len(data) == 0:
        raise ValueError(f"values must have at least one row, got shape {data.shape}")
    if statistic is None and data.ndim != 1:
        raise ValueError(f"the mean takes values of shape (n,), got {data.shape}; pass a statistic")
    if not np.isfinite(data).all():
        raise ValueError("values must be finite; decide first what a missing value counts")
    value = float(data.mean() if statistic is None else statistic(data))
    units = len(data) if groups is None else len(set(groups))
    replicates = bootstrap_replicates(data, statistic, groups=groups, resamples=resamples, seed=seed)
    return percentile_interval(value, replicates, level=level, units=units)


def percentile_interval(value: float, replicates: NDArray, *, level: float = 0.95, units: int = 2) -> Interval:
    """The interval between the (1 - level)/2 and (1 + level)/2 quantiles of the replicates.

    NaN replicates (resamples in which the statistic is undefined) are left out; fewer than two `units` or no defined
    replicate leave the bounds NaN.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    defined = replicates[np.isfinite(replicates)]
    if units < 2 or defined.size == 0:
        return Interval(value, level=level)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def delta_m(multi: Sequence[float], single: Sequence[float], higher_is_better: Sequence[bool]) -> float:
    """Δm in percent: mean relative loss against the single-task models; lower is better.

    Δm = 1/K Σ_k (-1)^{σ_k} (M_k - S_k) / |S_k| · 100 with the single-task value S_k, σ_k = 1 where higher is better
    (Maninis et al. 2019, with the sign of Nash-MTL, Navon et al. 2022; they divide by S_k, which turns the sign of
    metrics below zero, such as a correlation). Metrics count alike, however many a task has. LibMTL's Δp has the
    opposite sign and averages within a task first: `delta_p`. Never compare the two.

    Raises:
        ValueError: lengths differ or are zero, a value is not finite, or a single-task value is next to zero: below
            1e-12 or a millionth of the multi-task value, both by size.
    """
    return 100 * float(np.mean(-_relative_gains(multi, single, higher_is_better)))


def delta_p(
    multi: Mapping[str, Sequence[float]],
    single: Mapping[str, Sequence[float]],
    higher_is_better: Mapping[str, Sequence[bool]],
) -> float:
    """Δp in percent: mean relative gain over the single-task models; higher is better.

    Relative gains are averaged over the metrics of a task, then over tasks (LibMTL, Lin and Zhang 2023). Keys: tasks.

    Raises:
        ValueError: as `delta_m`, or the mappings name different tasks.
    """
    if not multi or not (set(multi) == set(single) == set(higher_is_better)):
        raise ValueError("multi, single and higher_is_better must name the same tasks, at least one")
    gains = [
        _relative_gains(multi[task], single[task], higher_is_better[task], f"task {task!r}, ").mean() for task in multi
    ]
    return 100 * float(np.mean(gains))


def _relative_gains(
    multi: Sequence[float], single: Sequence[float], higher_is_better: Sequence[bool], of: str = ""
) -> NDArray[np.float64]:
    if not len(multi) == len(single) == len(higher_is_better) or len(multi) == 0:
        raise ValueError(
            f"one multi-task value, one single-task value and one direction a metric: got {len(multi)}, {len(single)} "
            f"and {len(higher_is_better)}"
        )
    ours, theirs = np.asarray(multi, dtype=float), np.asarray(single, dtype=float)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise ValueError("metrics must be finite")
    vanishing = np.abs(theirs) < np.maximum(_ZERO, _NEGLIGIBLE * np.abs(ours))
    if vanishing.any():
        metric = int(np.argmax(vanishing))
        raise ValueError(
            f"{of}metric {metric + 1} of {len(theirs)}: the single-task value {theirs[metric]:g} is next to zero: "
            "no relative change exists; leave the metric out"
        )
    sign = np.where(np.asarray(higher_is_better, dtype=bool), 1.0, -1.0)
    return sign * (ours - theirs) / np.abs(theirs)


def group_index(groups: Sequence[Hashable], n: int) -> NDArray[np.intp]:
    """Groups numbered from 0 in order of first appearance: (n,)."""
    if len(groups) != n:
        raise ValueError(f"groups must label every row: {len(groups)} labels for {n} rows")
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(label, len(index)) for label in groups], dtype=np.intp)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
