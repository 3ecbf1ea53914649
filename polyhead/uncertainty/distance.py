"""How far an input lies from those that a model was trained on: a Mahalanobis distance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Distance of an input from the training inputs, in standard deviations along their principal axes.

    d² = Σ_k z_k² / λ_k, with z the coordinates of the standardised input along the axes that have a variance λ. Inputs
    and combinations of them that never change in training have no deviation to measure by, and no part in it.

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
    def fit(
        cls,
        inputs: NDArray,
        *,
        level: float = 0.99,
        shrunk: bool = False,
        deviation: NDArray[np.float64] | None = None,
    ) -> Mahalanobis:
        """The distance from training inputs (n, m).

        Args:
            shrunk: draws the covariance S of the standardised inputs towards a multiple of the identity,
                (1 - a) S + a tr(S)/m I with a after Ledoit and Wolf (2004), so that m may be near or above n. The
                threshold is then infinite: it is to be found on other inputs.
            deviation: (m,) what each input is divided by; None takes its own deviation.

        Raises:
            ValueError: fewer than two rows, non-finite inputs, or inputs that never change.
        """
        if inputs.ndim != 2 or len(inputs) < 2:
            raise ValueError(f"inputs must have shape (n, m) with at least two rows, got {inputs.shape}")
        if not np.isfinite(inputs).all():
            raise ValueError("training inputs are not finite")
        data = inputs.astype(np.float64)
        mean, own = data.mean(axis=0), data.std(axis=0)
        deviation = np.where(own > 1e-9 * np.maximum(np.abs(mean), 1e-300), own, 0) if deviation is None else deviation
        if not deviation.any():
            raise ValueError("no training input ever changes: there is no distance to measure")
        if shrunk:
            return cls(mean, deviation, *_shrunk_axes(_standardised(data, mean, deviation)), np.inf, level)
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


def _shrunk_axes(standardised: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Axes (k, m) and variances (k,) of the shrunk covariance."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    share = float(ledoit_wolf_shrinkage(standardised, assume_centered=True))
    variances, columns = np.linalg.eigh(standardised.T @ standardised / len(standardised))
    shrunk = (1 - share) * np.maximum(variances, 0) + share * variances.mean()
    kept = shrunk > 1e-9 * shrunk.max()
    return columns.T[kept], shrunk[kept]
