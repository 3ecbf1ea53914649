"""Which format a source is of, by what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from domains.medical.ultrasound.converting.coco import is_coco, read_coco
from domains.medical.ultrasound.converting.documents import read_json
from domains.medical.ultrasound.converting.entries import Found, pictures
from domains.medical.ultrasound.converting.folders import is_masks, read_classes, read_masks
from domains.medical.ultrasound.converting.labelme import is_labelme, read_labelme
from domains.medical.ultrasound.converting.voc import MASKS, read_voc
from domains.medical.ultrasound.converting.yolo import read_yolo

READERS: Mapping[str, Callable[[Path], Found]] = {
    "coco": read_coco,
    "labelme": read_labelme,
    "voc": read_voc,
    "yolo": read_yolo,
    "classes": read_classes,
    "masks": read_masks,
}

_LOOKED_AT = 20


def detect(source: Path) -> str:
    """The name of the format in `READERS`.

    Raises:
        ValueError: none of them, or several at once.
    """
    if not source.exists():
        raise ValueError(f"there is no file or folder {source}")
    if source.is_file():
        suffix = source.suffix.lower()
        if suffix == ".json":
            return _json_format(source) or _unknown(source)
        return {".xml": "voc", ".yaml": "yolo", ".yml": "yolo"}.get(suffix) or _unknown(source)
    kinds = {_json_format(file) for file in islice(sorted(source.rglob("*.json")), _LOOKED_AT)} - {""}
    if any(source.rglob("*.xml")) or any(folder.is_dir() for folder in source.rglob(MASKS)):
        kinds.add("voc")
    texts = [file for file in source.rglob("*.txt") if file.parent.name == "labels" or "labels" in file.parts]
    if texts or any(file.with_suffix(".txt").is_file() for file in islice(pictures(source), _LOOKED_AT)):
        kinds.add("yolo")
    if len(kinds) > 1:
        raise ValueError(f"{source} may be {' or '.join(sorted(kinds))}; say which with --from")
    if kinds:
        return kinds.pop()
    if is_masks(source):
        return "masks"
    if any(file.parent != source for file in pictures(source)):
        return "classes"
    return _unknown(source)


def _json_format(file: Path) -> str:
    try:
        value = read_json(file)
    except ValueError:
        return ""
    return "coco" if is_coco(value) else "labelme" if is_labelme(value) else ""


def _unknown(source: Path) -> str:
    raise ValueError(f"{source} is of no format that is known ({', '.join(READERS)}); say which with --from")
