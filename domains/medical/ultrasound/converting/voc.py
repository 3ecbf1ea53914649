"""Pascal VOC: one XML file a picture with boxes, and palette masks in SegmentationClass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from domains.medical.ultrasound.converting.documents import read_text, read_xml
from domains.medical.ultrasound.converting.entries import Entry, Found, Pictures, pictures, split_of

MASKS = "SegmentationClass"


def read_voc(source: Path) -> Found:
    """Reads a VOC folder, or one XML file. Corners of boxes are taken as they are written.

    Splits are those of ImageSets/*/{train,val,test}.txt, or of folders. Masks hold class ids, whose names are those of
    labelmap.txt or labels.txt where there is one; the id 255, VOC's border, becomes background.
    """
    found = Found("voc")
    root = source if source.is_dir() else source.parent
    finder, listed = Pictures(root), dict(_listed(root)) if source.is_dir() else {}
    entries: dict[str, Entry] = {}
    for file in sorted(source.rglob("*.xml")) if source.is_dir() else [source]:
        try:
            tree = read_xml(file)
        except ValueError as wrong:
            found.problem("bad-annotations", file, str(wrong))
            continue
        if tree.tag == "annotation":
            entry = _entry(found, file, tree, root, finder)
            if entry is not None:
                entry.split = listed.get(file.stem, entry.split)
                entries[file.stem] = entry
    masks = sorted(file for folder in root.rglob(MASKS) if folder.is_dir() for file in pictures(folder))
    if masks:
        # The ids of masks count the names in their order.
        found.labels = list(dict.fromkeys([*_names(root), *found.labels]))
    for mask in masks:
        if mask.stem not in entries:
            path = finder.find(f"{mask.stem}.jpg", mask.parent.parent / "JPEGImages")
            path = path or next((file for file in pictures(root) if file.stem == mask.stem and file != mask), None)
            if path is None:
                found.problem("missing-file", mask, f"there is no picture {mask.stem}", "put it into JPEGImages")
                continue
            entries[mask.stem] = Entry(path, path.relative_to(root).as_posix(), listed.get(mask.stem, ""))
        entries[mask.stem].masks = [mask]
    found.entries = list(entries.values())
    return found


def _listed(root: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(root.rglob("ImageSets/*/*.txt")):
        if split := split_of([file.stem]) if file.stem != "trainval" else "":
            for line in read_text(file).splitlines():
                if line.strip():
                    yield line.split()[0], split


def _names(root: Path) -> list[str]:
    for file in (root / "labelmap.txt", root / "labels.txt"):
        if file.is_file():
            lines = [line.split(":")[0].strip() for line in read_text(file).splitlines() if not line.startswith("#")]
            return [line for line in lines if line and line not in ("background", "__ignore__", "_background_")]
    return []


def _entry(found: Found, file: Path, tree: Element, root: Path, finder: Pictures) -> Entry | None:
    written = (tree.findtext("filename") or "").strip() or f"{file.stem}.jpg"
    near = (file.parent, file.parent.parent / "JPEGImages", file.parent.parent / "images", root)
    path = finder.find(written, *near)
    if path is None:
        found.problem("missing-file", file, f"there is no one picture {written!r}", "put it beside the annotations")
        return None
    sides = [tree.findtext(f"size/{side}") or "" for side in ("height", "width")]
    size = (int(sides[0]), int(sides[1])) if all(side.isdecimal() and int(side) for side in sides) else None
    entry = Entry(path, path.relative_to(root).as_posix(), split_of(file.relative_to(root).parts[:-1]), size)
    for number, thing in enumerate(tree.iter("object"), 1):
        label = (thing.findtext("name") or "").strip()
        try:
            box = [float(thing.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
            if not label or not (box[0] < box[2] and box[1] < box[3]):
                raise ValueError("no name" if not label else f"the box {box} has no area")
            entry.boxes.append((found.name(label), (box[0], box[1], box[2], box[3])))
        except ValueError as wrong:
            bad = found.problem("bad-annotation", f"{file}, object {number}", f"it cannot be read: {wrong}")
            entry.refused["detection"] = bad
    return entry
