"""Whether each input of a model lies in the range of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
