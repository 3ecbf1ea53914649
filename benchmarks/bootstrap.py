"""The percentile bootstrap over rows or groups (Efron 1979), for paired differences of systems and other statistics.

Reports of the applications have the intervals of `polyhead.evaluation.intervals`, which hold at the borders, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyhead.evaluation.evaluate import Interval
from polyhead.evaluation.intervals import group_index

_BLOCK = 4_000_000  # numbers in one block of resampling counts


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
