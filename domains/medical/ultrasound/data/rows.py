"""One row of the FM_UIA tables: an image, the task that is asked of it, and its label where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["segmentation", "classification", "detection", "keypoints"]

TASK_NAMES: dict[str, Kind] = {
    "segmentation": "segmentation",
    "classification": "classification",
    "detection": "detection",
    "Regression": "keypoints",
}
"""The column `task_name` of the files (only "Regression" is written with a capital) and our kinds."""


@dataclass(frozen=True)
class Row:
    """One row of a task table.

    Attributes:
        task: the column `task_id`.
        kind: what is asked.
        outputs: the column `num_classes`: classes (background included), object classes, or points.
        image: absolute path of the image.
        image_path: the column `image_path` as written, relative to ``csv_files/``.
        mask: absolute path of the index mask, for segmentation.
        mask_path: the column `mask_path` as written.
        other_masks: absolute paths of further masks of the same image, which count together with `mask`.
        label: class in [0, outputs), for classification.
        box: (x_min, y_min, x_max, y_max) in pixels of the original image, for detection.
        points: `outputs` pairs (x, y) in pixels of the original image, for keypoints.
        table: name of the csv file that holds the row.
        line: its line in that file, the header being line 1.
    """

    task: str
    kind: Kind
    outputs: int
    image: Path
    image_path: str
    mask: Path | None = None
    mask_path: str | None = None
    label: int | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[tuple[float, float], ...] | None = None
    table: str = ""
    line: int = 0
    other_masks: tuple[Path, ...] = ()
