"""What the files of an answer take on the disk, estimated before anything is answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from domains.medical.ultrasound.predicting.drawing import SHEET_SIDE
from domains.medical.ultrasound.predicting.write import MASKS_APART
from polyhead.batch.products import Saved, saves
from polyhead.batch.room import on_disk
from polyhead.system.regular import open_regular

if TYPE_CHECKING:
    from polyhead.batch.case import Case
    from polyhead.tasks import TaskSpec

# Measured on simulated pictures and on BUSI: bytes a pixel of a mask and of an overlay, and bytes a task of a record.
_MASK, _OVERLAY, _RECORD = 0.008, 0.25, 450
_USUAL_SIZE = (800, 600)


def bytes_of(case: Case, *, tasks: Mapping[str, TaskSpec], saved: Saved) -> float:
    """About how many bytes the answer to a case takes, as if half of the masks were empty.

    Args:
        case: only the header of its image is read; what cannot be read so counts as one of 800 x 600 pixels.
        tasks: those that are asked where the case names none.
        saved: the products that are written.
    """
    width, height = _size(case)
    kinds = [tasks[task].kind for task in case.tasks or tasks if task in tasks]
    masks, drawn = kinds.count("segmentation"), len(kinds) - kinds.count("classification")
    files = [500.0 + _RECORD * len(kinds), 500.0 + _RECORD * len(kinds)]
    if masks and saves(saved, "masks"):
        sizes = [500 + _MASK * width * height] * masks
        files += sizes if masks <= MASKS_APART else [sum(sizes)]
    if drawn and saves(saved, "overlays"):
        columns = math.ceil(math.sqrt(drawn))
        scale = min(1.0, SHEET_SIDE / columns / max(width, height))
        files.append(_OVERLAY * drawn * width * height * scale**2)
    if saves(saved, "thumbnails"):
        files.append(4_000)
    # The rows of the whole batch, which hold the record three times.
    return on_disk(*files) + 3 * _RECORD * len(kinds)


def _size(case: Case) -> tuple[int, int]:
    from PIL import Image

    try:
        with open_regular(case.path) as stream, Image.open(stream) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _USUAL_SIZE
