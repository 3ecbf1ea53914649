"""Which tasks a source holds, and the label of a picture for each of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from domains.medical.ultrasound.converting.entries import Box, Entry, Found
from domains.medical.ultrasound.data.rows import Kind
from polyhead.batch.case import InvalidInput

Boxes = Literal["leave-out", "largest", "around"]
_ENDINGS: dict[Kind, str] = {
    "segmentation": "seg",
    "classification": "cls",
    "detection": "det",
    "keypoints": "points",
}


@dataclass
class Plan:
    """One task to be.

    Attributes:
        name: of the task.
        kind: of the task.
        labels: names of its outputs; background first for a segmentation.
        of: the class of the objects, for boxes and points.
        used: whether a row was made.
    """

    name: str
    kind: Kind
    labels: list[str] = field(default_factory=list)
    of: str = ""
    used: bool = False

    def hold(self, index: int) -> None:
        """Names classes up to that id, where masks have ids that the source does not name."""
        while len(self.labels) <= max(index, 1):
            only = len(self.labels) == 1 and index <= 1
            self.labels.append("foreground" if only else f"class_{len(self.labels)}")


def plan_tasks(found: Found, name: str, kinds: Collection[str]) -> list[Plan]:
    """One task a kind; of boxes and of points one a class, as a row holds one box or the points of one object."""
    plans: list[tuple[Kind, str, list[str]]] = []
    if any(entry.regions or entry.masks for entry in found.entries):
        named = [
            label for label in found.labels if any(label == each.label for e in found.entries for each in e.regions)
        ]
        masked = any(entry.masks for entry in found.entries)
        labels = found.labels if masked and found.format == "voc" else named
        plans.append(("segmentation", "", ["background", *labels]))
    if any(entry.classes for entry in found.entries):
        plans.append(("classification", "", sorted({label for entry in found.entries for label in entry.classes})))
    boxed = {label for entry in found.entries for label, _ in entry.boxes}
    for label in found.labels:
        if label in boxed:
            plans.append(("detection", label, [label]))
    pointed = {label for entry in found.entries for label, _ in entry.points}
    for label, names in found.point_names.items():
        if label in pointed:
            plans.append(("keypoints", label, names))
    plans = [plan for plan in plans if not kinds or plan[0] in kinds]
    made = []
    for kind, of, labels in plans:
        several = sum(each[0] == kind for each in plans) > 1
        parts = [name, *([_ENDINGS[kind]] if len(plans) > 1 else []), *([of.replace(" ", "_")] if several else [])]
        made.append(Plan("_".join(parts), kind, list(labels), of))
    return made


def answer(plan: Plan, entry: Entry, size: tuple[int, int], boxes: Boxes) -> dict[str, Any] | None:
    """The label fields of a row, a mask as its pixels; None where the picture holds nothing of the task.

    Raises:
        InvalidInput: what is marked cannot be a row.
    """
    if plan.kind == "segmentation":
        return {"mask": _drawn(plan, entry, size)} if entry.segmented or entry.regions or entry.masks else None
    if plan.kind == "classification":
        return {"label": plan.labels.index(entry.classes[0])} if entry.classes else None
    if plan.kind == "detection":
        marked = [box for label, box in entry.boxes if label == plan.of]
        return {"box": _inside(_one(marked, plan.of, boxes), size)} if marked else None
    objects = [points for label, points in entry.points if label == plan.of]
    if not objects:
        return None
    if len(objects) > 1:
        reason = f"{len(objects)} objects of {plan.of} have points, and a row holds those of one"
        raise InvalidInput("several-objects", reason, "keep one of them")
    at = {name: (x, y) for name, x, y in objects[0]}
    absent = [name for name in plan.labels if name not in at]
    if absent:
        raise InvalidInput("missing-label", f"the point {absent[0]} is not marked", "mark it, or leave the picture out")
    return {"points": tuple(at[name] for name in plan.labels)}


def _drawn(plan: Plan, entry: Entry, size: tuple[int, int]) -> np.ndarray:
    """Regions in the order of the source, later ones over earlier ones."""
    mask = np.zeros(size, np.uint8)
    for region in entry.regions:
        try:
            mask[region.draw(*size)] = plan.labels.index(region.label)
        except ValueError as wrong:
            raise InvalidInput("bad-annotation", str(wrong), "export the marks again") from wrong
    return mask


def _one(marked: list[Box], label: str, boxes: Boxes) -> Box:
    if len(marked) == 1 or boxes == "largest":
        return max(marked, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    if boxes == "around":
        sides = np.array(marked)
        (x0, y0), (x1, y1) = sides[:, :2].min(axis=0), sides[:, 2:].max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)
    reason = f"{len(marked)} boxes of {label}, and a row holds one"
    raise InvalidInput("several-boxes", reason, "take the --boxes largest or the one --boxes around all")


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """The box; one that leaves its picture by less than a pixel, as rounding does, ends at the border."""
    height, width = size
    if min(box[0], box[1]) <= -1 or box[2] >= width + 1 or box[3] >= height + 1:
        shown = ", ".join(f"{side:g}" for side in box)
        raise InvalidInput("box-outside", f"the box ({shown}) leaves the picture of {width} x {height}", "mend the box")
    return max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
