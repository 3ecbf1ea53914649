"""Folders of classes, and pictures with masks: beside them (BUSI), or in a folder of their own (TN3K)."""

from __future__ import annotations

import re
from pathlib import Path

from domains.medical.ultrasound.converting.entries import Entry, Found, pictures, split_of

_MASK = re.compile(r"(?i)(.+?)[ _-](?:mask|seg|segmentation|gt|label)(?:[_ -]?\d+)?")
_IMAGE_WORDS = {"image", "images", "img", "imgs", "jpegimages", "original", "picture", "pictures"}
_MASK_WORDS = {
    "mask",
    "masks",
    "label",
    "labels",
    "gt",
    "groundtruth",
    "ground_truth",
    "annotation",
    "annotations",
    "seg",
}


def read_classes(source: Path) -> Found:
    """A folder a class, below a folder a split where there are splits; classes are sorted by name."""
    found = Found("classes")
    for image in pictures(source):
        folders = image.relative_to(source).parts[:-1]
        split = split_of(folders[:1])
        inner = [folder for folder in folders if not split_of([folder])]
        if not inner:
            found.problem("no-class", image, "it lies in no folder of a class", "move it into one")
            continue
        found.entries.append(
            Entry(image, image.relative_to(source).as_posix(), split or split_of(folders), classes=[inner[0]])
        )
    found.labels = sorted({entry.classes[0] for entry in found.entries})
    return found


def read_masks(source: Path) -> Found:
    """Pictures and their index or 0/255 masks; several masks of one picture (``x_mask``, ``x_mask_1``) are merged.

    Folders of pictures with masks beside them name classes too, where there are several, as BUSI's do.
    """
    found = Found("masks")
    paired: dict[Path, Path] = dict(_paired_folders(source))
    beside: dict[tuple[Path, str], list[Path]] = {}
    images = []
    for file in pictures(source):
        match = _MASK.fullmatch(file.stem)
        if file.parent in paired.values():
            beside.setdefault((file.parent, match[1] if match else file.stem), []).append(file)
        elif match and file.parent not in paired:
            beside.setdefault((file.parent, match[1]), []).append(file)
        else:
            images.append(file)
    used: set[tuple[Path, str]] = set()
    for image in images:
        folder = paired.get(image.parent) or image.parent
        place = (folder, image.stem)
        inside = image.relative_to(source)
        split = split_of(inside.parts[:-1])
        if place not in beside:
            found.problem("missing-mask", image, "there is no mask for it", "add one, or remove the picture")
            continue
        used.add(place)
        entry = Entry(image, inside.as_posix(), split, masks=sorted(beside[place]), segmented=True)
        if image.parent not in paired and image.parent != source and not split_of([image.parent.name]):
            entry.classes = [image.parent.name]
        found.entries.append(entry)
    for place in sorted(set(beside) - used):
        found.problem(
            "missing-file", beside[place][0], "there is no picture for this mask", "add it, or remove the mask"
        )
    if len({tuple(entry.classes) for entry in found.entries}) < 2:
        for entry in found.entries:
            entry.classes = []
    return found


def is_masks(source: Path) -> bool:
    """Whether a folder holds pictures with masks."""
    if any(True for _ in _paired_folders(source)):
        return True
    names = {(file.parent, file.stem) for file in pictures(source)}
    matches = ((parent, _MASK.fullmatch(stem)) for parent, stem in names)
    return any(match and (parent, match[1]) in names for parent, match in matches)


def _paired_folders(source: Path) -> list[tuple[Path, Path]]:
    """Folders of pictures and, for each, that of its masks: named alike but for the word."""
    folders = sorted(folder for folder in (source, *source.rglob("*")) if folder.is_dir())
    by_key: dict[tuple[str, ...], dict[str, Path]] = {}
    for folder in folders:
        parts = folder.relative_to(source).parts
        for index, part in enumerate(parts):
            words = re.split(r"[-_ .]", part.lower())
            for kind, known in (("image", _IMAGE_WORDS), ("mask", _MASK_WORDS)):
                hit = next((word for word in words if word in known), None)
                if hit is not None or part.lower() in known:
                    rest = "_".join(word for word in words if word != hit)
                    key = (*parts[:index], f"*{rest}", *parts[index + 1 :])
                    by_key.setdefault(key, {}).setdefault(kind, folder)
    return [(pair["image"], pair["mask"]) for pair in by_key.values() if len(pair) == 2]
