"""What is measured on an answer: areas, axes, boxes, distances and the field's own measures, in px and in mm.

`docs/measures.md` has the formulae, conventions and sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

from domains.medical.intake.calibration import Calibration, Spacing
from domains.medical.ultrasound.predicting.decode import TaskAnswer
from domains.medical.ultrasound.predicting.shapes import (
    SPECK,
    Patch,
    covariance,
    diameters,
    fitted_ellipse,
    largest_piece,
    outline,
)

HEADS = frozenset({"fetal_head"})
"""Tasks whose first structure is a fetal head in the plane in which it is measured."""

LENGTHS = {"FUGC": "cervical length", "fetal_femur": "femur length", "IUGC": "symphysis length"}
"""What the distance of the first two points of a task is called."""

PROGRESSION = frozenset({"IUGC"})
"""Tasks of three points: upper and lower end of the symphysis, where the tangent touches the head."""

_PIXELS: Spacing = (1.0, 1.0)
Point = tuple[float, float]
"""(x, y) in pixels."""


@dataclass
class Measured:
    """What was measured on one answer.

    Attributes:
        entries: each with `name`, `value` and `unit` ("px", "px2", "mm", "mm2", "deg").
        warnings: stable codes: ``touches-border`` (a structure may go on beyond the picture: what is measured is a
            lower bound), ``several-pieces`` (axes are those of the largest), and why there are no millimetres, as
            `Calibration.of_box` says it.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str) -> None:
        self.entries.append({"name": name, "value": round(value, 3), "unit": unit})

    def warn(self, code: str | None) -> None:
        if code is not None and code not in self.warnings:
            self.warnings.append(code)


def measure(task: str, answer: TaskAnswer, calibration: Calibration) -> Measured:
    """Measures one answer.

    Segmentation gives the area of each class that is present and both axes of its largest piece, a fetal head its
    circumference and diameters too; detection the box's width and height; points the distance of each to the next, and
    those of labour the angle of progression. Each is given in mm as well where its place has a known scale.
    """
    found = Measured()
    mask = answer.mask
    if mask is not None:
        _structures(found, task, mask, answer.labels, calibration)
    elif answer.box is not None:
        x_min, x_max = sorted((answer.box[0], answer.box[2]))
        y_min, y_max = sorted((answer.box[1], answer.box[3]))
        spacing, why = calibration.of_box((x_min, y_min, x_max, y_max))
        found.warn(why)
        _length(found, "width", (x_min, 0.0), (x_max, 0.0), spacing)
        _length(found, "height", (0.0, y_min), (0.0, y_max), spacing)
    elif answer.points is not None and len(answer.points) > 1:
        _points(found, task, answer.points, calibration)
    return found


def of_case(task: str, warnings: Sequence[str]) -> list[str]:
    """Those of an answer's warnings that concern its whole case.

    Structures at the border and in pieces are common and stand with their task, but for heads, whose sizes are read as
    the age of a child.
    """
    return [code for code in warnings if task in HEADS or code not in ("touches-border", "several-pieces")]


def angle_of_progression(upper: Point, lower: Point, tangent: Point, spacing: Spacing) -> float | None:
    """Degrees in [0, 180] at the lower end of the symphysis, from its axis to the tangent of the head's outline.

    The angle of the rays from `lower` to `upper` and to `tangent` (Barbera et al., Ultrasound Obstet. Gynecol. 33,
    2009; ISUOG Practice Guidelines: intrapartum ultrasound, 2018); None where a ray has no length.

    Args:
        upper, lower: (x, y), the ends of the symphysis.
        tangent: (x, y), where the tangent from `lower` touches the head.
        spacing: size of a pixel (row, column), in any one unit.
    """
    scale = np.array([spacing[1], spacing[0]])
    axis, ray = ((np.subtract(end, lower)) * scale for end in (upper, tangent))
    if not axis.any() or not ray.any():
        return None
    return math.degrees(math.atan2(abs(axis[0] * ray[1] - axis[1] * ray[0]), float(axis @ ray)))


def _structures(
    found: Measured, task: str, mask: np.ndarray, labels: tuple[str, ...], calibration: Calibration
) -> None:
    for index, place in enumerate(ndimage.find_objects(mask), start=1):
        if place is None:
            continue
        name = labels[index] if index < len(labels) else f"class {index}"
        structure = Patch(mask[place] == index, place[0].start, place[1].start)
        area = float(np.count_nonzero(structure.mask))
        spacing, why = calibration.of_mask(structure.mask, structure.row, structure.column)
        found.warn(why)
        found.add(f"area {name}", area, "px2")
        if spacing is not None:
            found.add(f"area {name}", area * spacing[0] * spacing[1], "mm2")
        piece, rest = largest_piece(structure)
        if rest:
            spacing, _ = calibration.of_mask(piece.mask, piece.row, piece.column)
        found.warn("touches-border" if piece.touches_border((mask.shape[0], mask.shape[1])) else None)
        found.warn("several-pieces" if rest >= SPECK else None)
        corners = outline(piece.mask)
        for scale, unit in _scales(spacing):
            long, short = diameters(corners, scale)
            found.add(f"long axis {name}", long, unit)
            found.add(f"short axis {name}", short, unit)
        if task in HEADS and index == 1:
            moments = covariance(piece.mask)
            for scale, unit in _scales(spacing):
                ellipse = fitted_ellipse(moments, scale)
                found.add("head circumference", ellipse.perimeter, unit)
                found.add("biparietal diameter", ellipse.minor, unit)
                found.add("occipitofrontal diameter", ellipse.major, unit)


def _points(found: Measured, task: str, points: Sequence[Point], calibration: Calibration) -> None:
    def spacing_of(some: Sequence[Point]) -> Spacing | None:
        across, down = zip(*some, strict=True)
        spacing, why = calibration.of_box((min(across), min(down), max(across), max(down)))
        found.warn(why)
        return spacing

    if task in PROGRESSION and len(points) == 3:
        _length(found, LENGTHS[task], points[0], points[1], spacing_of(points[:2]))
        upper, lower, tangent = points
        angle = angle_of_progression(upper, lower, tangent, spacing_of(points) or _PIXELS)
        if angle is not None:
            found.add("angle of progression", angle, "deg")
        return
    for index, (start, end) in enumerate(pairwise(points), start=1):
        name = LENGTHS[task] if task in LENGTHS and len(points) == 2 else f"distance {index}-{index + 1}"
        _length(found, name, start, end, spacing_of((start, end)))


def _length(found: Measured, name: str, start: Point, end: Point, spacing: Spacing | None) -> None:
    for (row, column), unit in _scales(spacing):
        found.add(name, math.hypot((end[0] - start[0]) * column, (end[1] - start[1]) * row), unit)


def _scales(spacing: Spacing | None) -> list[tuple[Spacing, str]]:
    return [(_PIXELS, "px"), *([(spacing, "mm")] if spacing is not None else [])]
