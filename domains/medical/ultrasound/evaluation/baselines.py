"""Answers that look at no image: what any trained network has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from domains.medical.ultrasound.data.rows import Kind, Row
from domains.medical.ultrasound.predicting.predictions import (
    Answer,
    BoxAnswer,
    ClassAnswer,
    MaskAnswer,
    PointsAnswer,
    image_size,
    place,
)

NAMES: dict[Kind, str] = {
    "segmentation": "empty mask",
    "classification": "most frequent class",
    "detection": "mean box",
    "keypoints": "mean points",
}


@dataclass(frozen=True)
class Baselines:
    """The trivial answers of every task that was fitted.

    Attributes:
        values: by task: class frequencies; mean box or points as flat x, y, ... relative to width and height; empty for
            segmentation.
    """

    values: Mapping[str, tuple[float, ...]]

    def answer(self, row: Row) -> Answer | None:
        """The answer to a row; None where its task was not fitted or the size of its image cannot be read."""
        values = self.values.get(row.task)
        if values is None:
            return None
        if row.kind == "classification":
            return ClassAnswer(values)
        size = image_size(row.image)
        if size is None:
            return None
        if row.kind == "segmentation":
            return MaskAnswer(np.zeros((size[1], size[0]), dtype=np.uint8))
        pixels = [value * size[index % 2] for index, value in enumerate(values)]
        if row.kind == "detection":
            return BoxAnswer((pixels[0], pixels[1], pixels[2], pixels[3]), size)
        return PointsAnswer(tuple(zip(pixels[::2], pixels[1::2], strict=True)), size)


def fit_baselines(rows: Iterable[Row]) -> Baselines:
    """Fits on labelled rows: class frequencies, mean box and mean points in coordinates relative to the image.

    Rows without a label, and boxes and points in images whose size cannot be read, are left out; a task of which
    nothing is left has no baseline.

    Raises:
        ValueError: a class outside [0, C), or rows of one task with different numbers of classes or points.
    """
    collected: dict[str, list[tuple[float, ...]]] = {}
    for row in rows:
        label = _label(row)
        if label is not None:
            collected.setdefault(row.task, []).append(label)
    values = {}
    for task, labels in collected.items():
        if len({len(label) for label in labels}) > 1:
            raise ValueError(f"task {task}: its rows differ in num_classes; give each task one number")
        values[task] = tuple(np.mean(labels, axis=0).tolist())
    return Baselines(values)


def _label(row: Row) -> tuple[float, ...] | None:
    """What is averaged of one row; None where it has no label."""
    if row.kind == "segmentation":
        return () if row.mask is not None else None
    if row.kind == "classification":
        if row.label is None:
            return None
        if not 0 <= row.label < row.outputs:
            raise ValueError(f"{place(row)}: class {row.label} is not in [0, {row.outputs})")
        return tuple(float(index == row.label) for index in range(row.outputs))
    if row.kind == "detection":
        flat = row.box
    else:
        flat = None if row.points is None else tuple(value for point in row.points for value in point)
    size = image_size(row.image)
    if flat is None or size is None:
        return None
    return tuple(value / size[index % 2] for index, value in enumerate(flat))
