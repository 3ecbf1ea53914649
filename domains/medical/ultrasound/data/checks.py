"""Checks of labelled rows against their files: one line for each fault; a bad row is left out, never replaced."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from domains.medical.intake.images import exif_orientation, image_size, read_image
from domains.medical.ultrasound.data.masks import ClassMask, Interpreted, merge_masks, read_class_mask, unnamed_masks
from domains.medical.ultrasound.data.rows import Row
from polyhead.batch.case import InvalidInput
from polyhead.evaluation.report import Problem
from polyhead.system.files import hash_file, write_whole
from polyhead.system.spreadsheet import TableWriter

T = TypeVar("T")

_FIX = "mend or remove the row"


@dataclass(frozen=True)
class Checked:
    """Rows that are good to use, in the order given, what was found, and how good rows were read.

    Attributes:
        rows: rows that are good; several masks of one image in a two-class task are one row.
        problems: of the rows that were left out, and ``same-content``.
        notes: ``exif-orientation``, an image that is read as its orientation says, by its row; by task, masks that are
            read as something else than they hold (`masks.INTERPRETED`); ``mask-unnamed``, a mask that no row names.
    """

    rows: list[Row]
    problems: list[Problem]
    notes: list[Problem] = field(default_factory=list)


def check_rows(
    rows: Iterable[Row],
    *,
    masks: bool = True,
    labels: bool = True,
    decode: bool = True,
    contents: bool = True,
    strict: bool = False,
    workers: int | None = None,
) -> Checked:
    """Checks rows one by one and against each other; each image file is read once, whatever the number of its tasks.

    Codes that leave a row out: those of `read_image` for the image; those of `masks.read_class_mask` for its masks;
    ``missing-label``; ``bad-box`` (inverted, empty or not finite), ``box-outside``;
    ``point-count``, ``bad-point`` (not finite), ``point-outside``; ``class-outside`` (outside [0, C));
    ``duplicate-row`` (same task, image and label: the first stays), ``conflicting-rows`` (same task and image, other
    label: none stays). Boxes and points must lie in [0, W] x [0, H]. The code ``same-content`` (one task, two names,
    equal bytes) leaves its row in.

    Args:
        rows: rows of any tasks.
        masks: open mask files and check them.
        labels: demand a label of every row; labels that are there are checked in any case.
        decode: decode every image; False reads headers only, quicker, and finds no truncated file.
        contents: compare the bytes of files of equal size.
        strict: raise a ValueError that says how many problems there are, with the first of them.
        workers: threads that read files.
    """
    rows = merge_masks(list(rows))
    images = _each({row.image for row in rows}, lambda path: _looked_at(path, decode), workers)
    duplicates = _duplicates(rows)

    def check(index: int) -> Problem | ClassMask | None:
        row, image = rows[index], images[rows[index].image]
        if isinstance(image, InvalidInput):
            return _problem(row, image.code, image.reason, image.remedy)
        problem = duplicates.get(index) or label_problem(row, image.size, labels=labels)
        return problem or (_checked_mask(row, image, labels) if masks and row.kind == "segmentation" else None)

    with ThreadPoolExecutor(workers or _threads()) as pool:
        found = list(pool.map(check, range(len(rows))))
    good = [row for row, each in zip(rows, found, strict=True) if not isinstance(each, Problem)]
    problems = [each for each in found if isinstance(each, Problem)]
    if contents:
        problems += _same_contents(good, workers)
    if strict:
        require_none(problems)
    interpreted = Interpreted()
    for row, each in zip(rows, found, strict=True):
        if isinstance(each, ClassMask):
            interpreted.add(row, each)
    turned = _turned(good, {path: image for path, image in images.items() if isinstance(image, _Image)})
    return Checked(good, problems, [*interpreted.notes(), *(unnamed_masks(rows) if masks else ()), *turned])


def leaks(
    train: Sequence[Row], validation: Sequence[Row], *, contents: bool = True, workers: int | None = None
) -> list[Problem]:
    """Images of the validation rows that the training rows use too, in any task.

    Codes: ``leaked-image`` (same path), ``leaked-content`` (equal bytes under another name). One problem an image.
    """
    seen = {row.image: row for row in reversed(train)}
    held_out = {row.image: row for row in reversed(validation)}
    problems = []
    for path, row in held_out.items():
        if path in seen:
            reason = f"{row.image_path} is also a training image of task {seen[path].task} ({_where(seen[path])})"
            problems.append(_problem(row, "leaked-image", reason, "split by image"))
    if contents:
        hashes = content_hashes({*seen, *held_out}, workers=workers)
        by_hash = {hashes[path]: row for path, row in seen.items() if path in hashes}
        for path, row in held_out.items():
            twin = by_hash.get(hashes.get(path, ""))
            if path not in seen and twin is not None:
                reason = f"{row.image_path} has the bytes of the training image {twin.image_path} ({_where(twin)})"
                problems.append(_problem(row, "leaked-content", reason, "split by content"))
    return sorted(problems, key=lambda problem: problem.where)


def content_hashes(paths: Iterable[Path], *, workers: int | None = None) -> dict[Path, str]:
    """SHA-256 of the files that share their size with another of `paths`; the others have no twin and are left out.

    Files that cannot be read are left out as well: `check_rows` names them.
    """
    paths = set(paths)
    by_size: dict[int, list[Path]] = {}
    for path, size in _each(paths, _bytes, workers).items():
        if size is not None:
            by_size.setdefault(size, []).append(path)
    hashes = _each((path for twins in by_size.values() if len(twins) > 1 for path in twins), _hash, workers)
    return {path: value for path, value in hashes.items() if value is not None}


def require_none(problems: Sequence[Problem], *, show: int = 5) -> None:
    """Raises a ValueError with the number of problems and the first of them, if there are any."""
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems[:show])
        more = f"\n  ... and {len(problems) - show} more" if len(problems) > show else ""
        raise ValueError(f"{len(problems)} problems in the data:\n{lines}{more}")


def write_problem_report(path: Path, problems: Iterable[Problem]) -> None:
    """Writes problems as utf-8 csv: ``file``, ``line`` (empty for a whole file), ``code``, ``reason``, ``remedy``."""
    text = io.StringIO(newline="")
    writer = TableWriter(text)
    writer.writerow(("file", "line", "code", "reason", "remedy"))
    for problem in problems:
        file, _, line = problem.where.rpartition(":")
        if not (file and line.isdigit()):
            file, line = problem.where, ""
        writer.writerow((file, line, problem.code, problem.reason, problem.remedy))
    write_whole(Path(path), text.getvalue().encode())


def _where(row: Row) -> str:
    return f"{row.table}:{row.line}"


def _problem(row: Row, code: str, reason: str, remedy: str = _FIX) -> Problem:
    return Problem(code, _where(row), reason, remedy)


def _threads() -> int:
    return min(8, os.cpu_count() or 1)


def _each(paths: Iterable[Path], function: Callable[[Path], T], workers: int | None) -> dict[Path, T]:
    """`function` of each path, in threads: decoding and reading release the interpreter lock."""
    ordered = sorted(paths)
    with ThreadPoolExecutor(workers or _threads()) as pool:
        return dict(zip(ordered, pool.map(function, ordered), strict=True))


@dataclass(frozen=True)
class _Image:
    """(height, width) as it is read, and its EXIF orientation, 1 where there is none."""

    size: tuple[int, int]
    orientation: int


def _looked_at(path: Path, decode: bool) -> _Image | InvalidInput:
    try:
        if not decode:
            return _Image(image_size(path), exif_orientation(path))
        image = read_image(path)
        return _Image(image.size, image.info.get("exif_orientation", 1))
    except InvalidInput as problem:
        return problem


def _turned(rows: Sequence[Row], images: Mapping[Path, _Image]) -> list[Problem]:
    """A line for each image that bears a rotation."""
    first = {row.image: row for row in reversed(rows)}
    return [
        _problem(
            row,
            "exif-orientation",
            f"{row.image_path} is read turned, as its EXIF orientation {images[path].orientation} says",
            "its boxes, points and masks must refer to the picture as it is displayed",
        )
        for path, row in reversed(first.items())
        if images[path].orientation != 1
    ]


def _bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None


def _duplicates(rows: Sequence[Row]) -> dict[int, Problem]:
    """Problems of rows that share task and image with another, by index."""
    together: dict[tuple[str, Path], list[int]] = {}
    for index, row in enumerate(rows):
        together.setdefault((row.task, row.image), []).append(index)
    problems = {}
    for indices in together.values():
        first = rows[indices[0]]
        answers = {
            (row.label, row.box, row.points, row.mask, row.other_masks) for row in (rows[index] for index in indices)
        }
        if len(answers) > 1:
            other = {index: rows[indices[0] if index != indices[0] else indices[1]] for index in indices}
            for index in indices:
                named = f" ({other[index].mask_path})" if first.kind == "segmentation" else ""
                reason = f"{first.image_path} has another label{named} for task {first.task} in {_where(other[index])}"
                remedy = "keep the right row, or merge them; a task takes one label an image"
                problems[index] = _problem(rows[index], "conflicting-rows", reason, remedy)
            continue
        for index in indices[1:]:
            reason = f"{first.image_path} is there for task {first.task} already ({_where(first)})"
            problems[index] = _problem(rows[index], "duplicate-row", reason, "remove the row")
    return problems


OUTSIDE = frozenset({"box-outside", "point-outside"})
"""Codes of `label_problem` of labels that can be scored nevertheless."""


def label_problem(row: Row, size: tuple[int, int] | None, *, labels: bool = True) -> Problem | None:
    """What is wrong with the class, box or points of a row.

    Args:
        size: (height, width) of its image; None where it is not known, and what it bounds is not checked.
        labels: whether a row without a label is a problem.
    """
    height, width = size or (math.inf, math.inf)
    if row.kind == "classification" and row.label is not None:
        if not 0 <= row.label < row.outputs:
            return _problem(row, "class-outside", f"class {row.label} is outside [0, {row.outputs})")
    elif row.kind == "detection" and row.box is not None:
        x_min, y_min, x_max, y_max = row.box
        if not all(map(math.isfinite, row.box)) or x_min >= x_max or y_min >= y_max:
            return _problem(row, "bad-box", f"box {_shown(row.box)} is inverted, empty or not finite")
        if x_min < 0 or y_min < 0 or x_max > width or y_max > height:
            return _problem(row, "box-outside", f"box {_shown(row.box)} leaves the image of {width:g} x {height:g}")
    elif row.kind == "keypoints" and row.points is not None:
        if len(row.points) != row.outputs:
            return _problem(row, "point-count", f"{len(row.points)} points where the task has {row.outputs}")
        for number, (x, y) in enumerate(row.points, 1):
            if not (math.isfinite(x) and math.isfinite(y)):
                return _problem(row, "bad-point", f"point {number} is not finite: {_shown((x, y))}")
            if not (0 <= x <= width and 0 <= y <= height):
                reason = f"point {number} at {_shown((x, y))} is outside the image of {width:g} x {height:g}"
                return _problem(row, "point-outside", reason)
    elif labels and row.kind != "segmentation":
        return _problem(row, "missing-label", f"{row.image_path} has no label for task {row.task}")
    return None


def _shown(values: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _checked_mask(row: Row, image: _Image, labels: bool) -> Problem | ClassMask | None:
    if row.mask is None:
        return _problem(row, "missing-mask", f"{row.image_path} has no mask_path") if labels else None
    try:
        return read_class_mask(row, image.size)
    except InvalidInput as bad:
        turned = ", which its EXIF orientation turns" if bad.code == "mask-size" and image.orientation != 1 else ""
        return _problem(row, bad.code, bad.reason + turned, bad.remedy)


def _same_contents(rows: Sequence[Row], workers: int | None) -> list[Problem]:
    hashes: Mapping[Path, str] = content_hashes({row.image for row in rows}, workers=workers)
    first: dict[tuple[str, str], Row] = {}
    problems = []
    for row in rows:
        if row.image not in hashes:
            continue
        twin = first.setdefault((row.task, hashes[row.image]), row)
        if twin.image != row.image:
            reason = f"{row.image_path} has the same bytes as {twin.image_path} ({_where(twin)})"
            problems.append(_problem(row, "same-content", reason, "keep one of them, or split by content"))
    return problems
