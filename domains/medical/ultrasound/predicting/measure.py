"""What is measured on an answer: areas, boxes and distances, in pixels and, where the spacing is known, in mm."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from domains.medical.ultrasound.predicting.decode import TaskAnswer

Spacing = tuple[float, float]
"""mm per pixel as (row, column)."""


def measurements(answer: TaskAnswer, spacing: Spacing | None) -> list[dict[str, Any]]:
    """The measurements of one answer, each with `name`, `value` and `unit` ("px", "px2", "mm", "mm2").

    Segmentation gives the area of each class that is present; detection the box's width and height; keypoints the
    distance of each point to the next. Nothing is given in mm without a spacing.
    """
    if answer.mask is not None:
        return _areas(answer.mask, answer.labels, spacing)
    if answer.box is not None:
        x_min, y_min, x_max, y_max = answer.box
        return [
            *_length("width", x_max - x_min, 0.0, spacing),
            *_length("height", 0.0, y_max - y_min, spacing),
        ]
    if answer.points is not None:
        found = []
        for index, (start, end) in enumerate(pairwise(answer.points), start=1):
            found += _length(f"distance {index}-{index + 1}", end[0] - start[0], end[1] - start[1], spacing)
        return found
    return []


def _areas(mask: np.ndarray, labels: tuple[str, ...], spacing: Spacing | None) -> list[dict[str, Any]]:
    found = []
    counts = _counts(mask)
    for index in range(1, len(counts)):
        if counts[index]:
            name = f"area {labels[index]}" if index < len(labels) else f"area class {index}"
            found.append(_entry(name, float(counts[index]), "px2"))
            if spacing is not None:
                found.append(_entry(name, float(counts[index]) * spacing[0] * spacing[1], "mm2"))
    return found


def _length(name: str, columns: float, rows: float, spacing: Spacing | None) -> list[dict[str, Any]]:
    found = [_entry(name, math.hypot(columns, rows), "px")]
    if spacing is not None:
        found.append(_entry(name, math.hypot(columns * spacing[1], rows * spacing[0]), "mm"))
    return found


def _entry(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit}


def _counts(mask: np.ndarray) -> np.ndarray:
    """Pixels of each class, counted in strips: counting takes eight bytes a pixel."""
    rows = max(1, (1 << 20) // max(1, mask.shape[1]))
    strips = (mask[start : start + rows].ravel() for start in range(0, len(mask), rows))
    return np.sum([np.bincount(strip, minlength=256) for strip in strips], axis=0)
