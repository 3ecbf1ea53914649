"""What a run knows of its own answers: how unlike its training an input is, and the temperatures of its classes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.uncertainty.picture import PICTURE
from polyhead.runs.identity import LIKENESS_FILE
from polyhead.uncertainty.likeness import Likeness, mix
from polyhead.uncertainty.temperature import apply_temperature, read_calibrations

ENCODER = "encoder"
"""The part of a likeness that the means of the encoder's maps are."""

PRIOR_DEVIATION = 0.5
"""Of the logarithm of a temperature; see `polyhead.uncertainty.temperature.fit_temperature`."""


@dataclass(frozen=True)
class Standing:
    """Where an input stands to those of the training.

    Attributes:
        unlikeness: u, above 1 for inputs unlike the training; None where the run does not know.
        percentile: per cent of held-out inputs that are less unlike.
        belief: what confidence is multiplied by.
    """

    unlikeness: float | None = None
    percentile: float | None = None
    belief: float = 1.0

    @property
    def unlike(self) -> bool:
        """Whether the input is unlike the training."""
        return self.unlikeness is not None and self.unlikeness > 1


@dataclass(frozen=True)
class Trust:
    """The companions of a run's weights.

    Attributes:
        likeness: None for a run whose training left none.
        temperatures: by task, where one was fitted.
    """

    likeness: Likeness | None = None
    temperatures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Path) -> Trust:
        """Reads the companions that a run folder has; a damaged one is a `ValueError`."""
        known = {task: each.temperature for task, each in read_calibrations(run).items()}
        return cls(Likeness.load(run / LIKENESS_FILE), known)

    def standings(self, levels: NDArray, pictures: NDArray) -> list[Standing]:
        """Where inputs stand.

        Args:
            levels: (n, m) means of the encoder's maps; see `networks.network.level_means`.
            pictures: (n, 12), see `uncertainty.picture.picture_numbers`.
        """
        if self.likeness is None:
            return [Standing() for _ in pictures]
        found = self.likeness.unlikeness({ENCODER: levels.astype(np.float64), PICTURE: pictures})
        return [
            Standing(value, self.likeness.percentile(value), self.likeness.belief(value)) for value in found.tolist()
        ]

    def probabilities(self, task: str, probabilities: Sequence[float], belief: float) -> list[float]:
        """A task's class probabilities p as they are told: w p^(1/T) / Σ p^(1/T) + (1 - w) / C."""
        calibrated = np.asarray(probabilities, dtype=np.float64)
        if task in self.temperatures:
            calibrated = apply_temperature(calibrated, self.temperatures[task])
        return (mix(calibrated, belief) if belief < 1 else calibrated).tolist()


def digest(image_path: str) -> str:
    """A short name of a row's image that tells nothing of it, by which a row that calibrated is known again."""
    return hashlib.sha256(image_path.encode()).hexdigest()[:16]


def certainty(probabilities: Sequence[float]) -> float:
    """1 minus the normalised entropy of a distribution, in [0, 1]."""
    p = np.asarray(probabilities, dtype=np.float64)
    entropy = -float((p * np.log(np.maximum(p, 1e-300))).sum())
    return min(1.0, max(0.0, 1 - entropy / math.log(max(2, len(p)))))
