"""One line of a task table as a row: its cells are understood exactly, or named with what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from domains.medical.ultrasound.data.rows import TASK_NAMES, Kind, Row
from domains.medical.ultrasound.data.spelling import Finder

COMMON = ("image_path", "task_id", "task_name", "num_classes")
BOX = ("x_min", "y_min", "x_max", "y_max")
LABEL_COLUMNS: dict[Kind, tuple[str, ...]] = {
    "segmentation": ("mask_path",),
    "classification": ("mask",),
    "detection": BOX,
    "keypoints": ("point_1_xy",),
}
_MISSING = frozenset({"", "nan", "none", "null", "na"})


class BadCell(Exception):
    """A cell that cannot be understood."""

    def __init__(self, code: str, reason: str):
        super().__init__(reason)
        self.code = code


def row_of(cells: dict[str, str], file: Path, line: int, finder: Finder, *, labels: bool, scorer: bool) -> Row:
    """The row that a line's cells, by the names of their columns, describe; arguments as in `fm_uia.read_tables`.

    Raises:
        BadCell: ``bad-row`` or ``missing-label``.
        ValueError: the table lacks a column that rows of this kind need.
    """
    kind = TASK_NAMES.get(cells["task_name"].strip()) or _kind(cells["task_name"])
    task, image_path = cells["task_id"].strip(), cells["image_path"]
    if not task:
        raise BadCell("bad-row", "task_id is empty")
    if not image_path.strip():
        raise BadCell("bad-row", "image_path is empty")
    outputs = _integer(cells["num_classes"], "num_classes")
    if outputs < 1:
        raise BadCell("bad-row", f"num_classes is {outputs}")
    absent = [name for name in LABEL_COLUMNS[kind] if name not in cells]
    if labels and absent:
        reason = f"{file} has no column {', '.join(absent)}, which {kind} rows need (line {line})"
        raise ValueError(f"{reason}; without labels it can be predicted, not trained on")
    row = Row(task, kind, outputs, finder.find(file.parent, image_path), image_path, table=file.name, line=line)
    if scorer and kind == "keypoints":
        return replace(row, points=_points_of_the_scorer(cells, outputs))
    try:
        found = _label(row, cells, file.parent, finder)
    except BadCell:
        if labels:
            raise
        found = {}
    if labels and not found:
        raise BadCell("missing-label", f"no {', '.join(LABEL_COLUMNS[kind])}")
    return replace(row, **found)


def _kind(name: str) -> Kind:
    """The kind of a task_name that is spelled in other letters than the official ones."""
    known: dict[str, Kind] = {official.lower(): kind for official, kind in TASK_NAMES.items()}
    if name.strip().lower() not in known:
        raise BadCell("bad-row", f"task_name {name!r} is none of {', '.join(TASK_NAMES)}")
    return known[name.strip().lower()]


def _label(row: Row, cells: dict[str, str], folder: Path, finder: Finder) -> dict[str, object]:
    """The label fields that the cells fill, empty if none."""
    if row.kind == "segmentation":
        path = cells.get("mask_path", "")
        return {} if _is_missing(path) else {"mask": finder.find(folder, path), "mask_path": path}
    if row.kind == "classification":
        label = cells.get("mask", "")
        return {} if _is_missing(label) else {"label": _integer(label, "mask")}
    if row.kind == "detection":
        sides = [cells.get(name, "") for name in BOX]
        if all(map(_is_missing, sides)):
            return {}
        return {"box": tuple(_number(side, name) for side, name in zip(sides, BOX, strict=True))}
    points = []
    names = [f"point_{k}_xy" for k in range(1, 1 + max(row.outputs, len(cells)))]
    filled = [name for name in names if not _is_missing(cells.get(name, ""))]
    for name in filled:
        points.append(_point(cells[name], name))
    if filled != names[: len(filled)]:
        raise BadCell("missing-label", f"{names[len(filled) - 1]} or an earlier point is empty, {filled[-1]} is not")
    return {"points": tuple(points)} if points else {}


def _points_of_the_scorer(cells: dict[str, str], outputs: int) -> tuple[tuple[float, float], ...]:
    named = [(f"point_{k}_xy", cells.get(f"point_{k}_xy", "")) for k in range(1, outputs + 1)]
    return tuple((0.0, 0.0) if _is_missing(cell) else _point(cell, name) for name, cell in named)


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _number(cell: str, name: str) -> float:
    if _is_missing(cell):
        raise BadCell("missing-label", f"{name} is empty")
    try:
        return float(cell)
    except ValueError:
        raise BadCell("bad-row", f"{name} is {cell!r}, not a number") from None


def _integer(cell: str, name: str) -> int:
    number = _number(cell, name)
    if not number.is_integer():
        raise BadCell("bad-row", f"{name} is {cell!r}, not a whole number")
    return int(number)


def _point(cell: str, name: str) -> tuple[float, float]:
    try:
        x, y = json.loads(cell)
        return float(x), float(y)
    except (ValueError, TypeError, OverflowError):
        raise BadCell("bad-row", f'{name} is {cell!r}, not a pair "[x, y]"') from None
