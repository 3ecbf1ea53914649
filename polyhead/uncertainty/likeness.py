"""Whether an input is like those that a model was trained on, and how far its answer may be believed if not."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyhead.system.files import replacing
from polyhead.uncertainty.distance import Mahalanobis

LEVEL = 0.99
UNLIKE = "unlike-training"
"""The warning of an input beyond the threshold."""

ENOUGH = 50
"""Held-out inputs below which training inputs help to set the thresholds: of fewer even the largest is too near."""

LEAST = 0.01
"""What is left of confidence at least, so that classes keep their order."""

_FOLDS = 5
_ARRAYS = ("mean", "deviation", "axes", "variances")

Features = Mapping[str, NDArray]
"""For each part (what the encoder says, what the raw input says, ...) its features (n, m) of the same n inputs."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """How unlike inputs are to those of a training: u = max_k d_k / t_k over parts k.

    d_k is the Mahalanobis distance of part k from the training inputs, with a shrunk covariance, and t_k its threshold:
    of n held-out inputs the ceil((n + 1)(1 - (1 - level) / K))-th smallest distance, or the largest where there is no
    such. An input exchangeable with the held-out ones has u > 1 with a probability of at most `false_alarms`.

    Attributes:
        parts: the distances, by name of the part.
        held: (n,) ascending, u of the held-out inputs.
        level: the share of inputs like the training's that is to stay unflagged.
        held_out: whether the model was trained on none of the n inputs; where it was, the distances of those are
            cross-fitted, and alarms may be more than said.
    """

    parts: Mapping[str, Mahalanobis]
    held: NDArray[np.float64]
    level: float
    held_out: bool

    @classmethod
    def fit(
        cls,
        training: Features,
        held_out: Features | None = None,
        *,
        deviations: Mapping[str, NDArray] | None = None,
        level: float = LEVEL,
    ) -> Likeness:
        """What inputs of a training look like.

        Args:
            training: features of training inputs.
            held_out: those of inputs that the model was not trained on; beside fewer than `ENOUGH` of them the training
                inputs are measured too, in five parts, each against the others.
            deviations: for parts that have it what each feature is divided by, (m,).
            level: see above.

        Raises:
            ValueError: fewer than ten training inputs, or features that are not finite.
        """
        count = min((len(values) for values in training.values()), default=0)
        if count < 2 * _FOLDS:
            raise ValueError(f"what the training looks like needs at least {2 * _FOLDS} of its inputs, got {count}")
        given = deviations or {}
        parts = {
            name: Mahalanobis.fit(values, shrunk=True, deviation=given.get(name)) for name, values in training.items()
        }
        known = 0 if held_out is None else min(len(values) for values in held_out.values())
        distances = {name: part.distance(held_out[name]) for name, part in parts.items()} if held_out and known else {}
        if known < ENOUGH:
            for name, values in training.items():
                own = _cross_fitted(values, given.get(name))
                distances[name] = np.concatenate([distances.get(name, own[:0]), own])
        rows = len(next(iter(distances.values())))
        rank = min(rows, math.ceil((rows + 1) * (1 - (1 - level) / len(parts))))
        parts = {
            name: replace(part, threshold=max(float(np.sort(distances[name])[rank - 1]), 1e-9), level=level)
            for name, part in parts.items()
        }
        held = np.max([distances[name] / part.threshold for name, part in parts.items()], axis=0)
        return cls(parts, np.sort(held), level, known >= ENOUGH)

    @property
    def false_alarms(self) -> float:
        """The most that the share of flagged inputs may be expected to be among inputs like the held-out ones."""
        rows = len(self.held)
        rank = min(rows, math.ceil((rows + 1) * (1 - (1 - self.level) / len(self.parts))))
        return min(1.0, len(self.parts) * (1 - rank / (rows + 1)))

    def unlikeness(self, features: Features) -> NDArray[np.float64]:
        """u (n,) of n inputs; above 1 an input is unlike the training."""
        return np.max([part.distance(features[name]) / part.threshold for name, part in self.parts.items()], axis=0)

    def percentile(self, unlikeness: float) -> float:
        """How many per cent of the held-out inputs are less unlike."""
        return 100 * float(np.searchsorted(self.held, unlikeness)) / len(self.held)

    def belief(self, unlikeness: float) -> float:
        """What an answer's confidence is multiplied by: 1 up to the threshold, then falling linearly.

        1 - (u - 1) / (1 - m), at least `LEAST`, with m the median of the held-out inputs: next to nothing is left as
        far beyond the threshold as the usual input lies below it.
        """
        room = max(1 - float(np.median(self.held)), 1e-6)
        return float(np.clip(1 - (unlikeness - 1) / room, LEAST, 1))

    def save(self, path: Path) -> None:
        """Writes all of it as one safetensors file."""
        from safetensors.numpy import save_file

        tensors = {"held": self.held}
        for name, part in self.parts.items():
            tensors |= {f"{name}.{array}": np.ascontiguousarray(getattr(part, array)) for array in _ARRAYS}
        said = {
            "parts": {name: part.threshold for name, part in self.parts.items()},
            "level": self.level,
            "held_out": self.held_out,
            "false_alarms": round(self.false_alarms, 6),
        }
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"likeness": json.dumps(said)})

    @classmethod
    def load(cls, path: Path) -> Likeness | None:
        """What `save` wrote; None where there is no file.

        Raises:
            ValueError: the file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as reader:
                said = json.loads(reader.metadata()["likeness"])
                parts = {
                    name: Mahalanobis(
                        **{array: reader.get_tensor(f"{name}.{array}") for array in _ARRAYS},
                        threshold=threshold,
                        level=said["level"],
                    )
                    for name, threshold in said["parts"].items()
                }
                return cls(parts, reader.get_tensor("held"), said["level"], said["held_out"])
        except (SafetensorError, ValueError, KeyError, TypeError) as failure:
            raise ValueError(f"{path} is damaged: {failure}; train again, or remove it to answer without") from None


def mix(probabilities: NDArray, belief: float) -> NDArray[np.float64]:
    """w p + (1 - w) / C of probabilities (..., C): the order of the classes stays."""
    p = np.asarray(probabilities, dtype=np.float64)
    return belief * p + (1 - belief) / p.shape[-1]


def _cross_fitted(values: NDArray, deviation: NDArray | None) -> NDArray[np.float64]:
    """The distance of each row from the rows of the other folds."""
    found = np.empty(len(values))
    fold = np.arange(len(values)) % _FOLDS
    for number in range(_FOLDS):
        fitted = Mahalanobis.fit(values[fold != number], shrunk=True, deviation=deviation)
        found[fold == number] = fitted.distance(values[fold == number])
    return found
