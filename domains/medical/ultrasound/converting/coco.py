"""COCO: one JSON file a split, with boxes, polygons, run-length masks and keypoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from domains.medical.ultrasound.converting.documents import read_json
from domains.medical.ultrasound.converting.entries import (
    Box,
    Draw,
    Entry,
    Found,
    Pictures,
    Region,
    polygon,
    split_of,
    stated_size,
)
from domains.medical.ultrasound.converting.rle import decode


def is_coco(value: Any) -> bool:
    """Whether a JSON value is a COCO file."""
    return isinstance(value, dict) and isinstance(value.get("images"), list) and "annotations" in value


def read_coco(source: Path) -> Found:
    """Reads a COCO file, or all of a folder; a damaged one is a problem, and the others are read."""
    found = Found("coco")
    root = source if source.is_dir() else _root(source)
    finder = Pictures(root)
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    for file in files:
        try:
            value = read_json(file)
        except ValueError as wrong:
            found.problem("bad-annotations", file, str(wrong))
            continue
        if is_coco(value):
            _read(found, file, value, root, finder)
    masks = any(entry.regions for entry in found.entries)
    for entry in found.entries:
        entry.segmented = masks
    return found


def _root(file: Path) -> Path:
    """Where the pictures of one file lie: its folder, or the one above for ``annotations/x.json``."""
    return file.parent.parent if file.parent.name.lower().startswith("annotation") else file.parent


def _read(found: Found, file: Path, value: Mapping[str, Any], root: Path, finder: Pictures) -> None:
    categories = {each["id"]: each for each in value.get("categories", []) if isinstance(each, dict) and "id" in each}
    for each in categories.values():
        label = found.name(str(each.get("name", each["id"])))
        if each.get("keypoints"):
            found.point_names.setdefault(label, [str(name) for name in each["keypoints"]])
    inside = file.relative_to(root).parts if file.is_relative_to(root) else (file.name,)
    split = split_of([*inside[:-1], file.stem])
    entries: dict[Any, Entry] = {}
    for picture in value["images"]:
        written = str(picture.get("file_name", "")) if isinstance(picture, dict) else ""
        folders = [file.parent, root, root / "images", *(root / part for part in (split, f"images/{split}") if split)]
        path = finder.find(written, *folders)
        if path is None:
            found.problem("missing-file", file, f"there is no one picture {written!r}", "put it beside the annotations")
            continue
        entries[picture.get("id")] = Entry(
            path,
            path.relative_to(root).as_posix(),
            split,
            stated_size(picture.get("height"), picture.get("width")),
        )
    for number, annotation in enumerate(value["annotations"] if isinstance(value["annotations"], list) else []):
        where = f"{file}, annotation {annotation.get('id', number) if isinstance(annotation, dict) else number}"
        entry = entries.get(annotation.get("image_id")) if isinstance(annotation, dict) else None
        if entry is None:
            if not isinstance(annotation, dict) or annotation.get("image_id") not in [
                picture.get("id") for picture in value["images"] if isinstance(picture, dict)
            ]:
                found.problem("bad-annotation", where, "it belongs to no picture of the file")
            continue
        try:
            _add(found, entry, annotation, categories, where)
        except (ValueError, TypeError, KeyError, IndexError) as wrong:
            bad = found.problem("bad-annotation", where, f"it cannot be read: {' '.join(str(wrong).split())}")
            entry.refused |= dict.fromkeys(("segmentation", "detection", "keypoints"), bad)
    found.entries += entries.values()


def _add(found: Found, entry: Entry, annotation: Mapping[str, Any], categories: Mapping[Any, Any], where: str) -> None:
    category = categories.get(annotation.get("category_id"))
    if category is None:
        raise ValueError(f"category {annotation.get('category_id')!r} is not among the categories")
    label = str(category.get("name", category["id"]))
    if annotation.get("iscrowd"):
        crowd = found.problem("crowd", where, f"it marks a crowd of {label}, not one object", "mark its objects")
        entry.refused |= {"segmentation": crowd, "detection": crowd}
        return
    points = annotation.get("keypoints")
    if points:
        names = found.point_names.setdefault(label, [str(number + 1) for number in range(len(points) // 3)])
        marked = zip(names, points[0::3], points[1::3], points[2::3], strict=True)
        entry.points.append((label, [(name, float(x), float(y)) for name, x, y, seen in marked if seen]))
    box = annotation.get("bbox")
    if box:
        entry.boxes.append((label, _box(box)))
    parts = annotation.get("segmentation")
    if parts:
        entry.regions.append(Region(label, _region(parts)))


def _box(values: Any) -> Box:
    x, y, width, height = map(float, values)
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        raise ValueError(f"the box {list(values)} has no area")
    return x, y, x + width, y + height


def _region(parts: Any) -> Draw:
    if isinstance(parts, dict):
        height, width = map(int, parts["size"])
        mask = decode(parts["counts"], height, width)

        def drawn(rows: int, columns: int) -> Any:
            if mask.shape != (rows, columns):
                raise ValueError(f"its mask has {width} x {height} pixels, its picture {columns} x {rows}")
            return mask

        return drawn
    polygons = [polygon(_corners(part)) for part in parts]
    return _union(polygons)


def _corners(numbers: Any) -> list[tuple[float, float]]:
    values = list(map(float, numbers))
    if len(values) < 6 or len(values) % 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"a polygon of {len(values)} numbers")
    return list(zip(values[0::2], values[1::2], strict=True))


def _union(draws: list[Callable[[int, int], Any]]) -> Draw:
    def draw(height: int, width: int) -> Any:
        mask = draws[0](height, width)
        for each in draws[1:]:
            mask = mask | each(height, width)
        return mask

    return draw
