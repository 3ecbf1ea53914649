"""What the formats have in common: pictures and what is marked on them, in the words of their source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from polyhead.evaluation.report import Problem

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

Box = tuple[float, float, float, float]
Draw = Callable[[int, int], np.ndarray]
"""Of a height and a width in pixels: the region, bool (H, W)."""

_SPLITS = {
    "train": ("train", "training", "trainval", "train2017", "train2014"),
    "val": ("val", "valid", "validation", "val2017", "val2014", "dev"),
    "test": ("test", "testing", "test2017", "test2014"),
}


@dataclass(frozen=True)
class Region:
    """An area of one class."""

    label: str
    draw: Draw


@dataclass
class Entry:
    """A picture and what is marked on it, in pixels with the origin at the top left corner of the first pixel.

    Attributes:
        image: the file.
        name: its path in the new root, POSIX.
        split: ``train``, ``val``, ``test``, or empty where the source has no splits.
        size: (height, width) that the source says its marks refer to, where it says so.
        classes: classes of the whole picture.
        boxes, regions: of each object, its class first.
        points: of each object its class and its points (name, x, y); a point that is not marked is left out.
        masks: index masks that lie in files, of which several are merged.
        segmented: whether the source is one of regions: a picture without any is all background.
        held: content of the picture where it lies in no file of its own.
        refused: why the kinds of this picture that are named here cannot be used.
    """

    image: Path
    name: str
    split: str = ""
    size: tuple[int, int] | None = None
    classes: list[str] = field(default_factory=list)
    boxes: list[tuple[str, Box]] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    points: list[tuple[str, list[tuple[str, float, float]]]] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    segmented: bool = False
    held: bytes | None = None
    refused: dict[str, Problem] = field(default_factory=dict)


@dataclass
class Found:
    """What a source holds.

    Attributes:
        format: its name.
        entries: one a picture.
        problems: files and marks that cannot be used.
        labels: names of the classes in the order of the source, background left out; those met later are added.
        point_names: by class, names of its points in their order.
    """

    format: str
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    point_names: dict[str, list[str]] = field(default_factory=dict)

    def name(self, label: str) -> str:
        """The label, noted as one of the classes."""
        if label not in self.labels:
            self.labels.append(label)
        return label

    def problem(self, code: str, where: Path | str, reason: str, remedy: str = "mend or remove it") -> Problem:
        """Notes a problem."""
        made = Problem(code, str(where), reason, remedy)
        self.problems.append(made)
        return made


def split_of(words: Sequence[str]) -> str:
    """The split that one of these words names, the last first; empty where none does.

    >>> split_of(["images", "valid"]), split_of(["instances_train2017"]), split_of(["strain"])
    ('val', 'train', '')
    """
    for word in reversed(words):
        parts = word.lower().replace("-", "_").replace(".", "_").split("_")
        for split, names in _SPLITS.items():
            if any(part in names for part in parts):
                return split
    return ""


def stated_size(height: object, width: object) -> tuple[int, int] | None:
    """The size that a source states, None where it states none."""
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def pictures(folder: Path) -> Iterator[Path]:
    """Files below a folder that are pictures by their suffix, sorted; hidden ones and __MACOSX are left out."""
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
            yield file


class Pictures:
    """Finds the pictures that annotations name, by path or, where only one file has it, by name."""

    def __init__(self, root: Path):
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, written: str, *folders: Path) -> Path | None:
        """The file `written`, looked for in `folders`, then by its name anywhere below the root; never outside it."""
        written = written.replace("\\", "/")
        for folder in folders:
            path = folder / written
            if written and path.is_file() and path.resolve().is_relative_to(self.root.resolve()):
                return path
        if self._by_name is None:
            self._by_name = {}
            for file in pictures(self.root):
                self._by_name.setdefault(file.name, []).append(file)
        twins = self._by_name.get(written.rpartition("/")[2], [])
        return twins[0] if len(twins) == 1 else None


def polygon(corners: Sequence[tuple[float, float]]) -> Draw:
    """The pixels whose centres lie in a polygon of (x, y)."""

    def draw(height: int, width: int) -> np.ndarray:
        from skimage.draw import polygon as fill

        mask = np.zeros((height, width), bool)
        xy = np.asarray(corners, float) - 0.5
        mask[fill(xy[:, 1], xy[:, 0], (height, width))] = True
        return mask

    return draw


def rectangle(box: Box) -> Draw:
    """The pixels whose centres lie in a box."""
    x0, y0, x1, y1 = box

    def draw(height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[:height, :width] + 0.5
        return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)

    return draw


def circle(centre: tuple[float, float], radius: float) -> Draw:
    """The pixels whose centres lie in a circle."""

    def draw(height: int, width: int) -> np.ndarray:
        y, x = np.mgrid[:height, :width] + 0.5
        return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2

    return draw


def bounds(corners: Sequence[tuple[float, float]]) -> Box:
    """The box around points."""
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
