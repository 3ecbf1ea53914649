"""The mask that most training masks agree on: what a segmentation network has to beat beside the empty mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domains.medical.ultrasound.data.geometry import nearest
from domains.medical.ultrasound.data.masks import read_class_mask
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.predicting.predictions import image_size
from polyhead.batch.case import InvalidInput

SIDE = 64
MOST = 500
_THRESHOLDS = 40


@dataclass(frozen=True)
class MeanMask:
    """Where the classes of a task lie in its training images.

    Attributes:
        shares: float32 (C-1, SIDE, SIDE), the share of training masks that have the class there, by the image's sides.
        thresholds: (C-1,), the shares from which on a class is drawn: those of the best mean DSC on the training masks.
        dsc: that DSC, mean over the classes.
        empty: the same of the empty mask.
    """

    shares: NDArray[np.float32]
    thresholds: NDArray[np.float64]
    dsc: float
    empty: float

    def at(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """The mask of an image of `shape` (H, W): of the classes at or above their threshold the furthest above it."""
        size = (shape[1], shape[0])
        wide = [np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BILINEAR)) for share in self.shares]
        above = np.stack([share / limit for share, limit in zip(wide, self.thresholds, strict=True)])
        return np.where(above.max(axis=0) >= 1, above.argmax(axis=0) + 1, 0).astype(np.uint8)


def fit_mean_mask(rows: Sequence[Row]) -> MeanMask | None:
    """Fits on the masks of one task, at most `MOST` of them, evenly spread; None where none can be read."""
    chosen = [rows[index * len(rows) // min(len(rows), MOST)] for index in range(min(len(rows), MOST))]
    masks = [mask for mask in map(_on_the_grid, chosen) if mask is not None]
    classes = rows[0].outputs
    if not masks or classes < 2:
        return None
    stacked = np.stack(masks).reshape(len(masks), -1)
    shares, thresholds, reached, empty = [], [], [], []
    for index in range(1, classes):
        truth = (stacked == index).astype(np.float32)
        share = truth.mean(axis=0)
        threshold, dsc = _best_threshold(truth, share)
        shares.append(share.reshape(SIDE, SIDE))
        thresholds.append(threshold)
        reached.append(dsc)
        empty.append(float((truth.sum(axis=1) == 0).mean()))
    return MeanMask(np.stack(shares), np.array(thresholds), float(np.mean(reached)), float(np.mean(empty)))


def _best_threshold(truth: NDArray[np.float32], share: NDArray[np.float32]) -> tuple[float, float]:
    """The share from which on a class is drawn, and its mean DSC; one above all shares where the class never occurs."""
    highest = float(share.max())
    if highest == 0:
        return 1.0, 1.0
    candidates = highest * np.arange(1, _THRESHOLDS + 1) / _THRESHOLDS
    drawn = (share[None] >= candidates[:, None] - 1e-7).astype(np.float32)
    overlap = 2 * truth @ drawn.T / (truth.sum(axis=1)[:, None] + drawn.sum(axis=1)[None])
    means = overlap.mean(axis=0)
    # The middle of those that are as good: at an end of them, edges that are resized would move.
    best = np.flatnonzero(means >= means.max() - 1e-9)
    best = int(best[len(best) // 2])
    return float(candidates[best]), float(means[best])


def _on_the_grid(row: Row) -> NDArray[np.integer] | None:
    size = image_size(row.image)
    try:
        return nearest(read_class_mask(row, None if size is None else (size[1], size[0])).ids, (SIDE, SIDE))
    except InvalidInput:
        return None
