"""labelme: one JSON file a picture, with polygons, rectangles, circles and points."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domains.medical.ultrasound.converting.documents import read_json
from domains.medical.ultrasound.converting.entries import (
    Entry,
    Found,
    Pictures,
    Region,
    bounds,
    circle,
    polygon,
    rectangle,
    split_of,
    stated_size,
)


def is_labelme(value: Any) -> bool:
    """Whether a JSON value is a labelme file."""
    return isinstance(value, dict) and isinstance(value.get("shapes"), list) and "imagePath" in value


def read_labelme(source: Path) -> Found:
    """Reads the labelme files of a folder, or one; classes come in the order in which they are met.

    A rectangle is a box and a region, a polygon and a circle are regions. Single points are the points of one object,
    each named by its label.
    """
    found = Found("labelme")
    root = source if source.is_dir() else source.parent
    finder = Pictures(root)
    for file in sorted(source.rglob("*.json")) if source.is_dir() else [source]:
        try:
            value = read_json(file)
        except ValueError as wrong:
            found.problem("bad-annotations", file, str(wrong))
            continue
        if is_labelme(value):
            entry = _entry(found, file, value, root, finder)
            if entry is not None:
                found.entries.append(entry)
    masks = any(entry.regions for entry in found.entries)
    for entry in found.entries:
        entry.segmented = masks
    return found


def _entry(found: Found, file: Path, value: Mapping[str, Any], root: Path, finder: Pictures) -> Entry | None:
    written = str(value.get("imagePath") or "").replace("\\", "/")
    path, held = finder.find(written, file.parent), None
    split = split_of(file.relative_to(root).parts[:-1])
    if path is None and value.get("imageData"):
        try:
            held = base64.b64decode(value["imageData"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            found.problem("bad-annotations", file, "its imageData is no base64 of a picture")
            return None
        path = file.parent / (Path(written).name or f"{file.stem}.png")
    if path is None:
        found.problem("missing-file", file, f"there is no one picture {written!r}", "put it beside the annotations")
        return None
    stated = stated_size(value.get("imageHeight"), value.get("imageWidth"))
    entry = Entry(path, path.relative_to(root).as_posix(), split, stated, held=held)
    points: list[tuple[str, float, float]] = []
    for number, shape in enumerate(value["shapes"], 1):
        try:
            _add(found, entry, shape, points)
        except (ValueError, TypeError, KeyError, IndexError) as wrong:
            bad = found.problem("bad-annotation", f"{file}, shape {number}", f"it cannot be read: {wrong}")
            entry.refused |= dict.fromkeys(("segmentation", "detection", "keypoints"), bad)
    if points:
        names = found.point_names.setdefault("points", [])
        names += [name for name, _, _ in points if name not in names]
        entry.points.append(("points", points))
    return entry


def _add(found: Found, entry: Entry, shape: Mapping[str, Any], points: list[tuple[str, float, float]]) -> None:
    label, kind = str(shape["label"]), shape.get("shape_type") or "polygon"
    corners = [(float(x), float(y)) for x, y in shape["points"]]
    if not all(math.isfinite(number) for corner in corners for number in corner):
        raise ValueError("a coordinate that is not finite")
    if kind == "point":
        if label in [name for name, _, _ in points]:
            raise ValueError(f"the point {label!r} is marked twice")
        points.append((label, *corners[0]))
    elif kind == "rectangle":
        box = bounds(corners)
        if box[0] >= box[2] or box[1] >= box[3]:
            raise ValueError(f"the rectangle {label!r} has no area")
        entry.boxes.append((found.name(label), box))
        entry.regions.append(Region(label, rectangle(box)))
    elif kind == "circle":
        centre, edge = corners
        entry.regions.append(Region(found.name(label), circle(centre, math.dist(centre, edge))))
    elif kind == "polygon":
        if len(corners) < 3:
            raise ValueError(f"the polygon {label!r} has {len(corners)} corners")
        entry.regions.append(Region(found.name(label), polygon(corners)))
    else:
        raise ValueError(f"a shape of type {kind!r}; polygons, rectangles, circles and points are read")
