"""Whether an input is like those that a model was trained on: a range test and a Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.pde.data.samples import Quantity


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

    d² = Σ_k z_k² / λ_k, with z the coordinates of the standardised input along the axes that have a variance λ. Inputs
    and combinations of them that never change in training have no deviation to measure by and are left to `InputRange`.

    Attributes:
        mean, deviation: (m,); the deviation is 0 for inputs that never change.
        axes: (k, m) orthonormal.
        variances: (k,) λ.
        threshold: the distance that the share `level` of the training inputs stay below, each against all others.
        level: that share.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    threshold: float
    level: float

    @classmethod
    def fit(cls, inputs: NDArray, *, level: float = 0.99) -> Mahalanobis:
        """The distance from training inputs (n, m).

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
        _, singular, rows = np.linalg.svd(_standardised(data, mean, deviation), full_matrices=False)
        variances = singular**2 / len(data)
        kept = int((variances > 1e-9 * variances[0]).sum())
        fitted = cls(mean, deviation, rows[:kept], variances[:kept], np.inf, level)
        # A row pulls mean and covariance towards itself; against the others it lies further off (Sherman-Morrison).
        squared, count = fitted.distance(data) ** 2, len(data)
        left = np.maximum(1 - squared / (count - 1), 0)
        with np.errstate(divide="ignore"):
            others = np.where(left > 1e-9, squared * count / (count - 1) / left, np.inf)
        return replace(fitted, threshold=float(np.sqrt(np.quantile(others, level, method="higher"))))

    def distance(self, inputs: NDArray) -> NDArray[np.float64]:
        """d of inputs (n, m), shape (n,)."""
        if inputs.ndim != 2 or inputs.shape[1] != len(self.mean):
            raise ValueError(f"inputs must have shape (n, {len(self.mean)}), got {inputs.shape}")
        along = _standardised(inputs.astype(np.float64), self.mean, self.deviation) @ self.axes.T
        return np.sqrt((along**2 / self.variances).sum(axis=1))

    def outside(self, inputs: NDArray) -> list[list[str]]:
        """For each row of inputs (n, m) one line where it lies beyond the threshold, empty where not."""
        return [
            [
                f"the inputs taken together are unlike those of the training: their Mahalanobis distance is {far:.3g}, "
                f"below {self.threshold:.3g} for {self.level:.0%} of the training samples"
            ]
            if far > self.threshold
            else []
            for far in self.distance(inputs)
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "deviation", "axes", "variances")}
        return {**arrays, "threshold": self.threshold, "level": self.level}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Mahalanobis:
        """The distance that `to_json` wrote."""
        arrays = {name: np.array(values[name]) for name in ("mean", "deviation", "axes", "variances")}
        return cls(**arrays, threshold=values["threshold"], level=values["level"])


def _standardised(inputs: NDArray, mean: NDArray, deviation: NDArray) -> NDArray[np.float64]:
    changing = deviation > 0
    return np.where(changing, (inputs - mean) / np.where(changing, deviation, 1), 0)
