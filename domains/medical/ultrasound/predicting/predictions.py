"""Answers to rows, and the challenge's files that hold them: three JSON lists and a tree of index masks.

``classification_predictions.json``, ``detection_predictions.json`` and ``regression_predictions.json`` are lists with
an entry a row, found by ``task_id`` and the exact text of ``image_path``; a mask lies at the row's ``mask_path``
without its leading ``../``. The public scorer reads the pixel fields only.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domains.medical.intake.images import file_format
from domains.medical.intake.images import image_size as upright_size
from domains.medical.intake.masks import LOSSY, read_grey_mask, read_stored_mask
from domains.medical.ultrasound.data.masks import INTERPRETED, ClassMask, class_ids, outside
from domains.medical.ultrasound.data.rows import Kind, Row
from polyhead.batch.case import InvalidInput
from polyhead.evaluation.report import Problem
from polyhead.system.files import write_whole

FILES: dict[Kind, str] = {
    "classification": "classification_predictions.json",
    "detection": "detection_predictions.json",
    "keypoints": "regression_predictions.json",
}
"""The JSON file of each kind; segmentation has a tree of masks instead."""

SUBFOLDER = "fm-uia"
"""Where batch prediction puts the challenge's files under its output folder."""


@dataclass(frozen=True)
class MaskAnswer:
    """Class indices of one image: shape (H, W), uint8 where they are classes, 0 is background."""

    mask: NDArray[np.integer]


@dataclass(frozen=True)
class ClassAnswer:
    """Probabilities of the C classes; empty where a file gives none. `predicted` is their argmax where not given."""

    probabilities: tuple[float, ...]
    predicted: int = -1

    def __post_init__(self) -> None:
        if self.predicted < 0 and self.probabilities:
            object.__setattr__(self, "predicted", int(np.argmax(self.probabilities)))


@dataclass(frozen=True)
class BoxAnswer:
    """(x_min, y_min, x_max, y_max) in pixels of an image of `size` (width, height); None where the size is unknown."""

    box: tuple[float, float, float, float]
    size: tuple[int, int] | None


@dataclass(frozen=True)
class PointsAnswer:
    """Points (x, y) in pixels of an image of `size` (width, height); None where the size is unknown."""

    points: tuple[tuple[float, float], ...]
    size: tuple[int, int] | None


Answer = MaskAnswer | ClassAnswer | BoxAnswer | PointsAnswer
ANSWERS: dict[Kind, type] = {
    "segmentation": MaskAnswer,
    "classification": ClassAnswer,
    "detection": BoxAnswer,
    "keypoints": PointsAnswer,
}


@dataclass(frozen=True)
class Predictions:
    """The answers of one folder of predictions; masks are read when asked for.

    Attributes:
        root: folder that holds the JSON files and masks.
        answers: by (task, image_path), for all kinds but segmentation.
        problems: what is wrong with the files and entries.
        official: whether files and entries are read as the challenge's public scorer reads them.
    """

    root: Path
    answers: Mapping[tuple[str, str], Answer]
    problems: list[Problem] = field(default_factory=list)
    official: bool = False

    def answer(self, row: Row) -> tuple[Answer | None, list[Problem]]:
        """The usable answer to a row, or None, and what is wrong with its mask."""
        if row.kind != "segmentation":
            return self.answers.get((row.task, row.image_path)), []
        return _mask_answer(self.root, row, self.official)


def place(row: Row) -> str:
    """Where a row stands, for `Problem.where`."""
    stands = f"{row.table}:{row.line} " if row.table else ""
    return f"{stands}{row.task} {row.image_path}"


def mask_file(row: Row) -> PurePosixPath:
    """Path of a row's predicted mask under the predictions: `mask_path` without its leading ``../``.

    Backslashes separate too. A row without a `mask_path` takes its `image_path` with ``img`` replaced by ``mask``, as
    the challenge's baseline does.

    Raises:
        ValueError: the path is absolute, empty, or leaves the folder by ``..``.
    """
    text = row.mask_path or row.image_path.replace("img", "mask").replace("IMG", "MASK")
    parts = PurePosixPath(text.replace("\\", "/")).parts
    while parts and parts[0] == "..":
        parts = parts[1:]
    if not parts or ".." in parts or PurePosixPath(*parts).is_absolute() or "\0" in text:
        raise ValueError(f"{place(row)}: the mask path {text!r} leaves the folder of the predictions; mend the table")
    return PurePosixPath(*parts)


@lru_cache(maxsize=100_000)
def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of an image as `intake.images.read_image` gives it; None where it cannot be read."""
    try:
        height, width = upright_size(path)
    except InvalidInput:
        return None
    return width, height


def write_predictions(folder: Path, rows: Iterable[Row], answers: Iterable[Answer | None]) -> list[Path]:
    """Writes the challenge's files for `rows`; answers may come from a generator, masks are written as they come.

    A mask keeps the very path that the scorer opens and is always PNG inside, even where that path ends in .jpg:
    readers go by content, and JPEG would change class indices. A row whose answer is None is left out: the reader lists
    it as missing. The JSON files appear at the end, each in one step.

    Returns:
        the files written.

    Raises:
        ValueError: an answer of the wrong kind or size for its row, not finite, or a mask path that leaves `folder`.
    """
    entries: dict[Kind, list[dict[str, Any]]] = defaultdict(list)
    written = []
    for row, answer in zip(rows, answers, strict=True):
        if answer is None:
            continue
        if not isinstance(answer, ANSWERS[row.kind]):
            raise ValueError(f"{place(row)}: {row.kind} wants a {ANSWERS[row.kind].__name__}, got {answer!r:.80}")
        if isinstance(answer, MaskAnswer):
            written.append(_write(folder / mask_file(row), _png(row, answer.mask)))
        else:
            entries[row.kind].append({"image_path": row.image_path, "task_id": row.task, **_entry(row, answer)})
    for kind, found in entries.items():
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
        written.append(_write(folder / FILES[kind], text.encode()))
    return written


def read_predictions(folder: Path, rows: Sequence[Row], *, official: bool = False) -> Predictions:
    """Reads the predictions for `rows` from `folder` or from its subfolder ``fm-uia``.

    An entry that cannot be used (wrong length, not finite, a class that does not exist) counts as no answer; of
    duplicates the last counts, as for the scorer. Each is a `Problem`.

    Args:
        folder: the challenge's files.
        rows: what was asked.
        official: as the challenge's public scorer: masks are the grey values that OpenCV reads, and a whole number that
            is no class is an answer, which is wrong.

    Raises:
        ValueError: neither folder holds any of the files that the rows ask for.
    """
    root = _root(folder, rows)
    asked = {(row.task, row.image_path): row for row in rows if row.kind != "segmentation"}
    answers: dict[tuple[str, str], Answer] = {}
    problems: list[Problem] = []
    extra: dict[tuple[str, str], list[str]] = defaultdict(list)
    kinds: set[Kind] = {row.kind for row in asked.values()}
    for kind in sorted(kinds):
        seen: Counter[tuple[str, str]] = Counter()
        for number, entry in enumerate(_entries(root / FILES[kind], problems), start=1):
            where = f"{FILES[kind]} entry {number}"
            if not isinstance(entry, dict):
                problems.append(
                    Problem("entry-not-an-object", where, f"{entry!r:.60} is not an object", "leave it out")
                )
                continue
            key = (str(entry.get("task_id")), str(entry.get("image_path")))
            row = asked.get(key)
            if row is None or row.kind != kind:
                extra[FILES[kind], key[0]].append(key[1])
                continue
            seen[key] += 1
            answer = _read_entry(entry, row, f"{where} ({row.task} {row.image_path})", problems, official)
            if answer is None:
                answers.pop(key, None)
            else:
                answers[key] = answer
        for (task, image), count in seen.items():
            if count > 1:
                reason = f"{count} entries for one row; the last counts"
                problems.append(Problem("prediction-duplicate", f"{FILES[kind]} {task} {image}", reason, "keep one"))
    extra.update(_extra_masks(root, rows))
    for (name, task), found in extra.items():
        reason = f"{len(found)} predictions for rows that are not scored here, first {found[0]!r}"
        problems.append(Problem("prediction-extra", f"{name} {task}".strip(), reason, "compare image_path and task_id"))
    return Predictions(root, answers, problems, official)


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return path


def _png(row: Row, mask: NDArray[np.integer]) -> bytes:
    if mask.dtype != np.uint8 or mask.ndim != 2 or (mask.size and int(mask.max()) >= row.outputs):
        raise ValueError(
            f"{place(row)}: a mask must be uint8 (H, W) below {row.outputs}, got {mask.dtype} {mask.shape}"
        )
    size = image_size(row.image)
    if size is not None and mask.shape != (size[1], size[0]):
        raise ValueError(f"{place(row)}: a mask of shape {mask.shape} for an image of {size[1]} x {size[0]} (H x W)")
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _entry(row: Row, answer: ClassAnswer | BoxAnswer | PointsAnswer) -> dict[str, Any]:
    """The fields of one JSON entry."""
    if isinstance(answer, ClassAnswer):
        if len(answer.probabilities) != row.outputs or not _all_finite(answer.probabilities):
            raise ValueError(f"{place(row)}: {row.outputs} finite probabilities are wanted, got {answer.probabilities}")
        probabilities = [float(value) for value in answer.probabilities]
        return {"predicted_class": int(answer.predicted), "predicted_probs": probabilities}
    size = answer.size or image_size(row.image)
    if size is None:
        raise ValueError(f"{place(row)}: the size of the image is unknown, so nothing can be normalised")
    if isinstance(answer, BoxAnswer):
        flat, wanted, names = answer.box, 4, ("bbox_normalized", "bbox_pixels")
    else:
        flat, wanted = tuple(value for point in answer.points for value in point), 2 * row.outputs
        names = ("predicted_points_normalized", "predicted_points_pixels")
    if len(flat) != wanted or not _all_finite(flat):
        raise ValueError(f"{place(row)}: {wanted} finite coordinates are wanted, got {flat}")
    pixels = [float(value) for value in flat]
    return {names[0]: [value / size[i % 2] for i, value in enumerate(pixels)], names[1]: pixels}


def _read_entry(
    entry: Mapping[str, Any], row: Row, where: str, problems: list[Problem], official: bool
) -> Answer | None:
    """One JSON entry as an answer; None where it cannot be used."""

    def problem(code: str, reason: str, remedy: str) -> None:
        problems.append(Problem(code, where, reason, remedy))

    if row.kind == "classification":
        written, given = entry.get("predicted_class"), entry.get("predicted_probs")
        predicted = _whole(written)
        if predicted is None or not 0 <= predicted < row.outputs:
            counts = "counts as missing" if predicted is None or not official else "counts as wrong"
            what = "no whole number" if predicted is None else f"not in [0, {row.outputs})"
            problem("class-outside", f"predicted_class {written!r:.60} is {what}", counts)
            if predicted is None or not official:
                return None
            # Below zero `ClassAnswer` takes the argmax.
            predicted %= _NO_CLASS
        probabilities = _numbers(given, row.outputs)
        if probabilities is None:
            problem(
                "probabilities-invalid", f"predicted_probs must be {row.outputs} finite numbers", "AUC takes 0 and 1"
            )
            return ClassAnswer((), predicted)
        if abs(sum(probabilities) - 1) > 1e-4:
            problem("probabilities-sum", f"predicted_probs sum to {sum(probabilities):.6g}, not 1", "apply a softmax")
        return ClassAnswer(probabilities, predicted)

    box = row.kind == "detection"
    names = ("bbox_pixels", "bbox_normalized") if box else ("predicted_points_pixels", "predicted_points_normalized")
    wanted = 4 if box else 2 * row.outputs
    pixels, normalised = _numbers(entry.get(names[0]), wanted), _numbers(entry.get(names[1]), wanted)
    if pixels is None:
        problem("coordinates-invalid", f"{names[0]} must be {wanted} finite numbers", "counts as missing")
        return None
    size = image_size(row.image)
    if size is not None:
        if any(not -1e-3 <= value <= size[i % 2] + 1e-3 for i, value in enumerate(pixels)):
            problem("coordinates-outside", f"{names[0]} leave the image of {size[0]} x {size[1]}", "clip them to it")
        if normalised is None:
            problem("normalised-invalid", f"{names[1]} must be {wanted} finite numbers", "the scorer reads pixels only")
        elif any(abs(v * size[i % 2] - p) > 1 for i, (v, p) in enumerate(zip(normalised, pixels, strict=True))):
            problem("coordinates-disagree", f"{names[0]} and {names[1]} differ by over a pixel", "pixels are scored")
    if not box:
        return PointsAnswer(tuple(zip(pixels[::2], pixels[1::2], strict=True)), size)
    x_min, y_min, x_max, y_max = pixels
    if x_min >= x_max or y_min >= y_max:
        problem("box-inverted", "a box needs x_min < x_max and y_min < y_max", "scores 0")
    return BoxAnswer((x_min, y_min, x_max, y_max), size)


def _mask_answer(root: Path, row: Row, official: bool) -> tuple[MaskAnswer | None, list[Problem]]:
    try:
        path = root / mask_file(row)
        if not path.is_file():
            return None, []
        mask = ClassMask(read_grey_mask(path)) if official else class_ids(read_stored_mask(path), row.outputs)
        lossy = file_format(path) in LOSSY
    except (ValueError, InvalidInput) as error:
        return None, [Problem("mask-unreadable", place(row), str(error), "counts as missing")]
    problems = []
    if lossy and not mask.read_as:
        problems.append(Problem("mask-lossy", place(row), "the mask's compression alters class indices", "write PNG"))
    problems += [Problem(code, place(row), INTERPRETED[code], "write class ids") for code in mask.read_as]
    if int(mask.ids.max(initial=0)) >= row.outputs:
        reason = f"the mask has {outside(mask.ids, row.outputs)}"
        problems.append(Problem("mask-values", place(row), reason, "they count as no class"))
    return MaskAnswer(mask.ids), problems


def _root(folder: Path, rows: Sequence[Row]) -> Path:
    masks = [row for row in rows if row.kind == "segmentation"]
    names = {FILES[row.kind] for row in rows if row.kind != "segmentation"}

    def holds(root: Path) -> bool:
        if any((root / name).is_file() for name in names):
            return True
        # Most runs show themselves by a first mask; only a folder without any is searched for all.
        return any(not _escapes(row) and (root / mask_file(row)).is_file() for row in masks)

    for root in (folder, folder / SUBFOLDER):
        if root.is_dir() and holds(root):
            return root
    wanted = ", ".join(sorted(names) + (["masks at their mask_path"] if masks else []))
    raise ValueError(
        f"{folder} holds no predictions for these rows, nor does its subfolder {SUBFOLDER}: wants {wanted}"
    )


def _escapes(row: Row) -> bool:
    try:
        mask_file(row)
    except ValueError:
        return True
    return False


def _entries(path: Path, problems: list[Problem]) -> list[Any]:
    if not path.is_file():
        problems.append(Problem("predictions-absent", path.name, "the file is not there", "its rows count as missing"))
        return []
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        problems.append(Problem("predictions-unreadable", path.name, f"not JSON: {error}", "its rows count as missing"))
        return []
    if not isinstance(found, list):
        problems.append(Problem("predictions-unreadable", path.name, "not a list of entries", "rows count as missing"))
        return []
    return found


def _extra_masks(root: Path, rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """Files beside the expected masks that belong to no row."""
    expected = {mask_file(row) for row in rows if row.kind == "segmentation" and not _escapes(row)}
    extra = []
    for top in sorted({path.parts[0] for path in expected if len(path.parts) > 1}):
        for file in sorted((root / top).rglob("*")):
            if file.is_file() and PurePosixPath(file.relative_to(root)) not in expected:
                extra.append(file.relative_to(root).as_posix())
    return {("masks", ""): extra} if extra else {}


_NO_CLASS = 1 << 40


def _whole(value: Any) -> int | None:
    """A class as JSON may have it: 3, and 3.0, which data frames write; None for anything else."""
    if not isinstance(value, int | float) or not float(value).is_integer():
        return None
    return int(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != count or not _all_finite(value):
        return None
    return tuple(float(number) for number in value)


def _all_finite(values: Iterable[Any]) -> bool:
    return all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )
