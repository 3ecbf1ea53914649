"""The way from an image of any size to the square that the network sees, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from polyhead.batch.case import InvalidInput


@dataclass(frozen=True)
class Frame:
    """Where an image of (height, width) pixels lies in the network's input of (size, size) pixels.

    The image fills `inner_height` x `inner_width` pixels from the top left corner; the rest is black. Positions are
    fractions of the input's side: (x * inner_width / width) / size.
    """

    height: int
    width: int
    size: int
    inner_height: int
    inner_width: int

    @classmethod
    def fit(cls, height: int, width: int, size: int, *, keep_aspect: bool) -> Frame:
        if height < 1 or width < 1:
            raise ValueError(f"an image of {height} x {width} pixels has no content")
        if not keep_aspect:
            return cls(height, width, size, size, size)
        scale = size / max(height, width)
        if min(height, width) * scale < 1:
            raise InvalidInput(
                "extreme-aspect",
                f"the image is {width} x {height} pixels: its short side vanishes at {size} pixels",
                "crop it",
            )
        return cls(height, width, size, max(1, round(height * scale)), max(1, round(width * scale)))

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Pixels of the image (..., 2) as (x, y) to fractions of the input."""
        scale = np.array([self.inner_width / self.width, self.inner_height / self.height]) / self.size
        return np.asarray(points, dtype=np.float64) * scale

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Fractions of the input (..., 2) as (x, y) to pixels of the image."""
        scale = np.array([self.width / self.inner_width, self.height / self.inner_height]) * self.size
        return np.asarray(points, dtype=np.float64) * scale


def resize_image(pixels: np.ndarray, frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8 to (size, size, 3) uint8: bilinear with antialiasing, black outside the image."""
    inner = PillowImage.fromarray(pixels).resize((frame.inner_width, frame.inner_height), _BILINEAR)
    return _place(np.asarray(inner), frame)


def resize_mask(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """(H, W) uint8 index mask to (size, size) uint8: nearest neighbour, background outside the image."""
    inner = PillowImage.fromarray(mask).resize((frame.inner_width, frame.inner_height), _NEAREST)
    return _place(np.asarray(inner), frame)


def nearest(mask: NDArray, shape: tuple[int, int]) -> NDArray:
    """A mask at `shape` (H, W) by OpenCV's INTER_NEAREST: source index floor(i · (1 / (H / h))) in floating point.

    The quotient is rounded before it is multiplied, which moves some lines by one against floor(i · h / H).
    """
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * (1 / (new / old))).astype(np.intp), old - 1)
        for old, new in zip(mask.shape, shape, strict=True)
    )
    return mask[rows[:, None], columns]


_BILINEAR, _NEAREST = PillowImage.Resampling.BILINEAR, PillowImage.Resampling.NEAREST


def _place(inner: np.ndarray, frame: Frame) -> np.ndarray:
    if inner.shape[:2] == (frame.size, frame.size):
        return inner
    placed = np.zeros((frame.size, frame.size, *inner.shape[2:]), dtype=inner.dtype)
    placed[: frame.inner_height, : frame.inner_width] = inner
    return placed
