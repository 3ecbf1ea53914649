"""Answers that look at no image: what any trained network has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.data.checks import label_problem
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.mean_mask import MeanMask, fit_mean_mask
from domains.medical.ultrasound.predicting.predictions import (
    Answer,
    BoxAnswer,
    ClassAnswer,
    MaskAnswer,
    PointsAnswer,
    image_size,
)

EMPTY_MASK, MEAN_MASK = "empty mask", "mean mask"


@dataclass(frozen=True)
class Baselines:
    """The trivial answers of every task that was fitted.

    Attributes:
        values: by task: class frequencies; mean box or points as flat x, y, ... relative to width and height.
        mean_masks: by task of segmentation; None where no mask could be read.
    """

    values: Mapping[str, tuple[float, ...]]
    mean_masks: Mapping[str, MeanMask | None] = field(default_factory=dict)

    @property
    def tasks(self) -> set[str]:
        return {*self.values, *self.mean_masks}

    def answer(self, row: Row) -> Answer | None:
        """The answer to a row; None where its task was not fitted or the size of its image cannot be read.

        Of masks it is the one, mean or empty, that was the better on the rows of the fit.
        """
        if row.task not in self.tasks:
            return None
        if row.kind == "classification":
            return ClassAnswer(self.values[row.task])
        size = image_size(row.image)
        if size is None:
            return None
        if row.kind == "segmentation":
            found = self.mean_masks[row.task]
            name = EMPTY_MASK if found is None or found.empty >= found.dsc else MEAN_MASK
            return MaskAnswer(dict(self.masks(row, (size[1], size[0])))[name])
        values = self.values[row.task]
        pixels = [value * size[index % 2] for index, value in enumerate(values)]
        if row.kind == "detection":
            return BoxAnswer((pixels[0], pixels[1], pixels[2], pixels[3]), size)
        return PointsAnswer(tuple(zip(pixels[::2], pixels[1::2], strict=True)), size)

    def masks(self, row: Row, shape: tuple[int, int]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Names and masks (H, W) of `shape` that a row of the kind segmentation may be answered with."""
        yield EMPTY_MASK, np.zeros(shape, dtype=np.uint8)
        found = self.mean_masks.get(row.task)
        if found is not None:
            yield MEAN_MASK, found.at(shape)


def fit_baselines(rows: Iterable[Row]) -> Baselines:
    """Fits on labelled rows: class frequencies, mean box, points and masks in coordinates relative to the image.

    Rows without a label or with one that cannot be right, and boxes and points in images whose size cannot be read, are
    left out; a task of which nothing is left has no baseline.

    Raises:
        ValueError: rows of one task with different numbers of classes or points.
    """
    collected: dict[str, list[tuple[float, ...]]] = {}
    masks: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind == "segmentation":
            if row.mask is not None:
                masks.setdefault(row.task, []).append(row)
            continue
        label = _label(row)
        if label is not None:
            collected.setdefault(row.task, []).append(label)
    values = {}
    for task, labels in collected.items():
        if len({len(label) for label in labels}) > 1:
            raise ValueError(f"task {task}: its rows differ in num_classes; give each task one number")
        values[task] = tuple(np.mean(labels, axis=0).tolist())
    return Baselines(values, {task: fit_mean_mask(members) for task, members in masks.items()})


def _label(row: Row) -> tuple[float, ...] | None:
    """What is averaged of one row; None where it has no label that can be right."""
    size = image_size(row.image)
    if label_problem(row, None if size is None else (size[1], size[0])) is not None:
        return None
    if row.kind == "classification":
        return tuple(float(index == row.label) for index in range(row.outputs))
    if size is None:
        return None
    flat = row.box if row.kind == "detection" else tuple(value for point in row.points or () for value in point)
    return tuple(value / size[index % 2] for index, value in enumerate(flat or ()))
