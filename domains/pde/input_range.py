"""Whether an input is like those that a model was trained on: a range test and a Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.pde.samples import Quantity


@dataclass(frozen=True)
class InputRange:
    """Smallest and largest training value of each input.

    Attributes:
        names: m quantities.
        low, high: m bounds in their units.
    """

    names: tuple[Quantity, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, inputs: NDArray, names: Sequence[Quantity]) -> InputRange:
        """The range of training inputs (n, m)."""
        if inputs.ndim != 2 or inputs.shape[1] != len(names) or not len(inputs):
            raise ValueError(f"inputs must have shape (n, {len(names)}) with at least one row, got {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise ValueError("training inputs are not finite")
        return cls(tuple(names), tuple(map(float, inputs.min(axis=0))), tuple(map(float, inputs.max(axis=0))))

    def outside(self, inputs: NDArray) -> list[list[str]]:
        """For each row of inputs (n, m) one line a value outside the range, empty where all lie within."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.names):
            raise ValueError(f"inputs must have shape (n, {len(self.names)}), got {inputs.shape}")
        lines = []
        for row in inputs:
            found = []
            for value, name, low, high in zip(row, self.names, self.low, self.high, strict=True):
                slack = 1e-6 * max(abs(low), abs(high))  # a value that went through float32 is still the same value
                if not low - slack <= value <= high + slack:
                    unit = "" if name.unit == "1" else f" {name.unit}"
                    found.append(
                        f"{name.name} = {value:.4g}{unit} is outside the training range {low:.4g} to {high:.4g}"
                    )
            lines.append(found)
        return lines


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Distance of an input from the training inputs, in standard deviations along their principal axes.

    d² = Σ_k z_k² / λ_k + ‖r‖² / σ², with z the coordinates of the standardised input along the leading axes, r what
    they leave over and σ² the mean of the variances left over (Tipping and Bishop 1999). Inputs that never change in
    training have no deviation to measure by and are left to `InputRange`.

    Attributes:
        mean, deviation: (m,); the deviation is 0 for inputs that never change.
        axes: (k, m) orthonormal.
        variances: (k,) λ.
        rest: σ², 0 where the axes leave nothing over.
        threshold: the distance that the share `level` of the reference rows stay below.
        level: that share.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    rest: float
    threshold: float
    level: float

    @classmethod
    def fit(
        cls, inputs: NDArray, *, reference: NDArray | None = None, axes: int = 32, level: float = 0.99
    ) -> Mahalanobis:
        """The distance from training inputs (n, m).

        Args:
            inputs: (n, m).
            reference: (r, m) rows that the threshold is taken from; validation rows are fair, the training rows
                themselves (None) lie nearer than new ones, most so where m is not far below n.
            axes: most leading axes kept.
            level: share of the reference rows that count as familiar.

        Raises:
            ValueError: fewer than two rows, non-finite inputs, or inputs that never change.
        """
        if inputs.ndim != 2 or len(inputs) < 2:
            raise ValueError(f"inputs must have shape (n, m) with at least two rows, got {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise ValueError("training inputs are not finite")
        data = inputs.astype(np.float64)
        mean, deviation = data.mean(axis=0), data.std(axis=0)
        deviation = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300), deviation, 0)
        if not deviation.any():
            raise ValueError("no training input ever changes: there is no distance to measure")
        standard = _standardised(data, mean, deviation)
        _, singular, rows = np.linalg.svd(standard, full_matrices=False)
        variances = singular**2 / len(data)
        kept = min(axes, int((variances > 1e-9 * variances[0]).sum()))
        left = int((deviation > 0).sum()) - kept
        total = float(variances[kept:].sum())
        rest = total / left if left > 0 and total > 1e-9 * variances[0] else 0.0
        fitted = cls(mean, deviation, rows[:kept], variances[:kept], rest, np.inf, level)
        threshold = float(np.quantile(fitted.distance(data if reference is None else reference), level))
        return cls(mean, deviation, rows[:kept], variances[:kept], rest, threshold, level)

    def distance(self, inputs: NDArray) -> NDArray[np.float64]:
        """d of inputs (n, m), shape (n,)."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.mean):
            raise ValueError(f"inputs must have shape (n, {len(self.mean)}), got {inputs.shape}")
        standard = _standardised(inputs.astype(np.float64), self.mean, self.deviation)
        along = standard @ self.axes.T
        squared = (along**2 / self.variances).sum(axis=1)
        if self.rest > 0:
            squared += np.maximum((standard**2).sum(axis=1) - (along**2).sum(axis=1), 0) / self.rest
        return np.sqrt(squared)

    def unfamiliar(self, inputs: NDArray) -> NDArray[np.bool_]:
        """Which rows of inputs (n, m) lie beyond the threshold."""
        return self.distance(inputs) > self.threshold

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "deviation", "axes", "variances")}
        return {**arrays, "rest": self.rest, "threshold": self.threshold, "level": self.level}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Mahalanobis:
        """The distance that `to_json` wrote."""
        arrays = {name: np.array(values[name]) for name in ("mean", "deviation", "axes", "variances")}
        return cls(**arrays, rest=values["rest"], threshold=values["threshold"], level=values["level"])


def _standardised(inputs: NDArray, mean: NDArray, deviation: NDArray) -> NDArray[np.float64]:
    changing = deviation > 0
    return np.where(changing, (inputs - mean) / np.where(changing, deviation, 1), 0)
