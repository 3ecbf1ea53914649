"""Scores of tasks beside their baselines, and Δm against single-task models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
