"""The one reader of segmentation labels, for training and scoring: class ids, whatever spelling the files have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domains.medical.intake.masks import StoredMask, read_stored_mask
from domains.medical.ultrasound.data.geometry import nearest
from domains.medical.ultrasound.data.rows import Row
from polyhead.batch.case import InvalidInput
from polyhead.evaluation.report import Problem

_NEAR = 8
_CLEAR = 64
_BLURRED = 0.01

SCALED, RESIZED, MERGED = "mask-scaled", "mask-resized", "masks-merged"
INTERPRETED: Mapping[str, str] = {
    SCALED: "0/255 read as 0/1",
    RESIZED: "the mask resized to its image, nearest",
    MERGED: "several masks of one image merged by union",
}
"""What a mask can be read as, by code."""


@dataclass(frozen=True)
class ClassMask:
    """Class ids of one image.

    Attributes:
        ids: uint8 (H, W), or wider where the file is and its values are no classes.
        read_as: codes of `INTERPRETED`, in the order applied.
    """

    ids: NDArray[np.integer]
    read_as: tuple[str, ...] = ()


def class_ids(stored: StoredMask, classes: int) -> ClassMask:
    """The class ids that a file's values stand for; values outside [0, C) are left for the caller to judge.

    In a task of two classes 0 and 255 (of 16 bits 65535) stand for 0 and 1, also within 8 of these values, which JPEG
    and its copies leave. In a lossy file up to a hundredth of the pixels may lie further away than 64, as those at its
    edges do. Every other value is a class id as it stands, and so are 1 and 255 alone, of which VOC's 255 says that
    nobody knows.
    """
    values = stored.values
    highest = int(values.max(initial=0))
    if classes == 2 and highest >= 256 and np.isin(values, (0, 65535)).all():
        return ClassMask((values > 0).astype(np.uint8), (SCALED,))
    if highest >= 256:
        return ClassMask(values)
    ids = values.astype(np.uint8)
    if classes != 2 or highest < 256 - 1 - _NEAR:
        return ClassMask(ids)
    count = np.bincount(ids.ravel(), minlength=256)
    if not stored.lossy and count[1] and count[0] + count[1] + count[255] == ids.size:
        return ClassMask(ids)
    near = _NEAR if not stored.lossy else _CLEAR
    between = int(count[near + 1 : 255 - near].sum())
    if between > (_BLURRED * ids.size if stored.lossy else 0):
        return ClassMask(ids)
    return ClassMask((ids >= 128).astype(np.uint8), (SCALED,))


def read_class_mask(row: Row, size: tuple[int, int] | None = None) -> ClassMask:
    """The label of a segmentation row: its mask, or the union of its masks, at the size of its image.

    A mask of another size but the image's proportions (within one pixel) is resized to it.

    Args:
        row: of the kind segmentation, with a mask.
        size: (height, width) of its image as it is read; None keeps the mask's.

    Raises:
        InvalidInput: ``missing-mask``, ``bad-mask`` (as `read_stored_mask`), ``mask-values`` (outside [0, C)),
            ``mask-lossy`` (class ids in a file whose compression alters them) and ``mask-size``, each with the file's
            name.
    """
    assert row.mask is not None
    files = [(row.mask, row.mask_path or row.mask.name), *((path, path.name) for path in row.other_masks)]
    merged: NDArray[np.integer] | None = None
    codes: dict[str, None] = {}
    for path, name in files:
        found = _one(path, name, row.outputs, size)
        codes |= dict.fromkeys(found.read_as)
        if merged is not None and merged.shape != found.ids.shape:
            raise InvalidInput("mask-size", f"mask {name} is of another size than the image's other masks", _FIX)
        merged = found.ids if merged is None else np.maximum(merged, found.ids)
    assert merged is not None
    return ClassMask(merged, (*codes, *((MERGED,) if row.other_masks else ())))


_FIX = "mend or remove the row"


def _one(path: Path, name: str, classes: int, size: tuple[int, int] | None) -> ClassMask:
    try:
        stored = read_stored_mask(path)
    except InvalidInput as problem:
        code = "missing-mask" if problem.code == "missing-file" else "bad-mask"
        raise InvalidInput(code, f"mask {name}: {problem.reason}", problem.remedy) from None
    found = class_ids(stored, classes)
    if int(found.ids.max(initial=0)) >= classes:
        raise InvalidInput("mask-values", f"mask {name} has {outside(found.ids, classes)}", _SAVE)
    if stored.lossy and not found.read_as and found.ids.any():
        raise InvalidInput("mask-lossy", f"mask {name} holds class ids, which its compression alters", _SAVE)
    if size is None or found.ids.shape == size:
        return found
    height, width = found.ids.shape
    if abs(height - size[0] * width / size[1]) > 1 and abs(width - size[1] * height / size[0]) > 1:
        reason = f"mask {name} has {width} x {height} pixels, its image {size[1]} x {size[0]}"
        raise InvalidInput("mask-size", reason, _FIX)
    return ClassMask(nearest(found.ids, size), (*found.read_as, RESIZED))


_SAVE = "save class ids, without smoothing or lossy compression"


def outside(ids: NDArray[np.integer], classes: int) -> str:
    """Which values of a mask are no classes, in words."""
    wrong = ids >= classes
    values = sorted({int(value) for value in ids[wrong][:1000]})[:3]
    return f"values such as {values} ({wrong.mean():.2%} of it) outside [0, {classes})"


@dataclass
class Interpreted:
    """How often the masks of each task were read as something else than they hold, and the first of them."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, row: Row, mask: ClassMask) -> None:
        for code in mask.read_as:
            key = (row.task, code)
            self.counts[key] = self.counts.get(key, 0) + 1
            self.first.setdefault(key, row.mask_path or "")

    def notes(self) -> list[Problem]:
        """A line for each task and reading: ``0/255 read as 0/1 in 12 masks``."""
        return [
            Problem(
                code, task, f"{INTERPRETED[code]} in {count} mask{'s' * (count != 1)}, first {self.first[task, code]}"
            )
            for (task, code), count in self.counts.items()
        ]


def merge_masks(rows: Sequence[Row]) -> list[Row]:
    """The rows, those of one two-class task and one image as one that has all of their masks.

    BUSI gives an image with two lesions two masks, ``x_mask.png`` and ``x_mask_1.png``. Rows without a mask, rows of
    other kinds and rows that repeat a mask stay as they are.
    """
    together: dict[tuple[str, Path], list[Row]] = {}
    for row in rows:
        if row.kind == "segmentation" and row.outputs == 2 and row.mask is not None:
            together.setdefault((row.task, row.image), []).append(row)
    merged: dict[int, Row | None] = {}
    for members in together.values():
        masks = list(dict.fromkeys(row.mask for row in members if row.mask is not None))
        if len(masks) < 2:
            continue
        merged[id(members[0])] = replace(members[0], other_masks=tuple(masks[1:]))
        merged |= dict.fromkeys(map(id, members[1:]))
    chosen = [merged.get(id(row), row) for row in rows]
    return [row for row in chosen if row is not None]


def unnamed_masks(rows: Sequence[Row]) -> list[Problem]:
    """A line for each file ``x_mask_1.png`` beside a row's ``x_mask.png`` that no row of its task names."""
    named: dict[str, set[Path]] = {}
    for row in rows:
        if row.mask is not None:
            named.setdefault(row.task, set()).update((row.mask, *row.other_masks))
    listings: dict[Path, frozenset[str]] = {}
    found = []
    for row in rows:
        if row.mask is None or not row.mask.stem.endswith("_mask"):
            continue
        folder = row.mask.parent
        if folder not in listings:
            listings[folder] = frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()  # noqa: PTH208
        for number in range(1, 10):
            name = f"{row.mask.stem}_{number}{row.mask.suffix}"
            if name in listings[folder] and folder / name not in named[row.task]:
                reason = f"{name} lies beside the mask of {row.image_path}, and no row of task {row.task} names it"
                remedy = "add a row with it, and both masks count"
                found.append(Problem("mask-unnamed", f"{row.table}:{row.line}", reason, remedy))
    return found
