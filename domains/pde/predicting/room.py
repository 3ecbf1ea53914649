"""What the files of an answered question take on the disk, estimated before anything is answered."""

from __future__ import annotations

import math
from collections.abc import Collection

from polyhead.batch.case import Case
from polyhead.batch.products import Saved, saves
from polyhead.batch.room import on_disk
from polyhead.runs.run import RunInfo

# Bytes a point, measured on answers of the three simulated problems with a reference; and what pictures take.
_FIELD, _MESH = 10, 18
_RESULT, _PLOT, _THUMBNAIL = 3_000, 32_000, 8_000
_USUAL_POINTS = 64 * 64


def usual_points(info: RunInfo, resolution: Collection[int] | None) -> int:
    """Points of an answer where a case names none of its own: of the grid that is asked, else of the training's."""
    if resolution:
        return math.prod(resolution)
    grids = [[len(axis) for axis in each.get("grid") or ()] for each in (info.data.get("problems") or {}).values()]
    return max((math.prod(lengths) for lengths in grids if lengths), default=_USUAL_POINTS)


def bytes_of(case: Case, *, points: int, saved: Saved) -> float:
    """About how many bytes the answer to a case takes; `points` as of `usual_points`."""
    products = {
        "fields": 1_500 + _FIELD * points,
        "meshes": 2_000 + _MESH * points,
        "plots": _PLOT,
        "thumbnails": _THUMBNAIL,
    }
    chosen = (size for product, size in products.items() if saves(saved, product))
    return on_disk(_RESULT, _RESULT, *chosen) + _RESULT
