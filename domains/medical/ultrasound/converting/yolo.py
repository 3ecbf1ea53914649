"""YOLO: a text file a picture with boxes, polygons or keypoints as shares of its sides, and data.yaml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from domains.medical.intake.images import image_size
from domains.medical.ultrasound.converting.documents import read_text, read_yaml
from domains.medical.ultrasound.converting.entries import Entry, Found, Region, bounds, pictures, polygon, split_of
from polyhead.batch.case import InvalidInput


def read_yolo(source: Path) -> Found:
    """Reads a folder with data.yaml and label files, beside the pictures or in ``labels`` for those in ``images``.

    A line has a class and a box (4 numbers), a polygon (6 or more), or a box and the keypoints that ``kpt_shape`` of
    data.yaml announces.
    """
    found = Found("yolo")
    root = source if source.is_dir() else source.parent
    settings = _settings(found, source)
    names = settings.get("names") or []
    if isinstance(names, dict):
        names = [str(names.get(index, index)) for index in range(1 + max(map(int, names), default=-1))]
    found.labels = [str(name) for name in names]
    shape = settings.get("kpt_shape")
    for image in pictures(root):
        labels = _labels(image)
        if labels is None:
            continue
        inside = image.relative_to(root)
        entry = Entry(image, inside.as_posix(), split_of(inside.parts[:-1]))
        try:
            height, width = image_size(image)
        except InvalidInput as bad:
            found.problem(bad.code, image, bad.reason, bad.remedy)
            continue
        found.entries.append(entry)
        try:
            lines = read_text(labels).splitlines()
        except ValueError as wrong:
            bad = found.problem("bad-annotations", labels, str(wrong))
            entry.refused = dict.fromkeys(("segmentation", "detection", "keypoints"), bad)
            continue
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    _add(found, entry, [float(word) for word in line.split()], (width, height), shape)
            except (ValueError, TypeError, IndexError) as wrong:
                bad = found.problem("bad-annotation", f"{labels}:{number}", f"it cannot be read: {wrong}")
                entry.refused |= dict.fromkeys(("segmentation", "detection", "keypoints"), bad)
    masks = any(entry.regions for entry in found.entries)
    for entry in found.entries:
        entry.segmented = masks
    return found


def _settings(found: Found, source: Path) -> dict[str, Any]:
    files = [source] if source.is_file() else sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
    for file in files:
        try:
            value = read_yaml(file)
        except ValueError as wrong:
            found.problem("bad-annotations", file, str(wrong))
            continue
        if isinstance(value, dict) and "names" in value:
            return value
    listed = source / "classes.txt"
    return {"names": read_text(listed).split("\n")[:-1]} if listed.is_file() else {}


def _labels(image: Path) -> Path | None:
    """The label file of a picture; in a folder ``images`` without one the picture is empty, elsewhere it is none."""
    parts = list(image.parts)
    places = [index for index, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
        file = Path(*parts).with_suffix(".txt")
        if file.is_file():
            return file
    file = image.with_suffix(".txt")
    return file if file.is_file() else None


def _add(found: Found, entry: Entry, numbers: list[float], size: tuple[int, int], shape: Any) -> None:
    if not numbers[0].is_integer() or numbers[0] < 0:
        raise ValueError(f"its class is {numbers[0]}")
    index, values = int(numbers[0]), numbers[1:]
    while index >= len(found.labels):
        found.labels.append(f"class_{len(found.labels)}")
    label = found.labels[index]
    if not all(map(math.isfinite, values)) or any(not -0.01 <= value <= 1.01 for value in values[:4]):
        raise ValueError("numbers outside [0, 1]: they are shares of the picture's sides")
    width, height = size
    points, each = (int(shape[0]), int(shape[1])) if shape else (0, 0)
    if len(values) == 4 or (points and len(values) == 4 + points * each):
        x, y, w, h = values[:4]
        if w <= 0 or h <= 0:
            raise ValueError("a box without area")
        box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        # Shares are rounded: a box that touches the border stays inside.
        box = (max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3]))
        entry.boxes.append((label, box))
        groups = [values[4 + k * each : 4 + (k + 1) * each] for k in range(points if len(values) > 4 else 0)]
        if groups:
            found.point_names.setdefault(label, [str(k + 1) for k in range(points)])
            seen = [(str(k + 1), group) for k, group in enumerate(groups) if each < 3 or group[2] > 0]
            entry.points.append((label, [(name, group[0] * width, group[1] * height) for name, group in seen]))
    elif len(values) >= 6 and len(values) % 2 == 0:
        corners = [(x * width, y * height) for x, y in zip(values[0::2], values[1::2], strict=True)]
        entry.regions.append(Region(label, polygon(corners)))
        entry.boxes.append((label, bounds(corners)))
    else:
        raise ValueError(f"{len(values)} numbers after the class: 4 are a box, 6 and more a polygon")
