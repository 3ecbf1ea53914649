"""What a picture is once it has been read, whatever its file was, and the sizes and values that one may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from domains.medical.intake.calibration import Calibration
from polyhead.batch.case import InvalidInput
from polyhead.system.memory_budget import total_memory

BYTES_A_PIXEL = 24
"""Memory that one pixel of a picture takes at most while it is read, answered and written, as measured."""
SHARE_OF_MEMORY = 0.25
"""What a single picture may take of the machine's memory."""
MIN_SIDE = 8


@dataclass(frozen=True)
class Image:
    """One picture.

    Attributes:
        pixels: uint8 array (H, W, 3), RGB, turned as its EXIF orientation says.
        spacing: mm per pixel (row, column) where the file tells one.
        info: JSON values on the source: ``format``, ``mode``, ``frame``, ``frames``, ``warnings`` (stable codes)
            and what the format adds. Never a patient's data.
        calibration: where on the picture which spacing holds; without one, `spacing` holds everywhere.
    """

    pixels: np.ndarray
    spacing: tuple[float, float] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None

    @property
    def scale(self) -> Calibration:
        """Where on the picture which spacing holds."""
        return Calibration(self.spacing) if self.calibration is None else self.calibration

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def is_constant(pixels: np.ndarray) -> bool:
    """True if all pixels of (H, W, C) are equal; a coarse grid is looked at first, which settles most pictures."""
    first = pixels[0, 0]
    return bool((pixels[::16, ::16] == first).all() and (pixels == first).all())


def pixel_limit() -> int:
    """The pixels that a picture may have, so that it takes no more than its share of the machine's memory."""
    return int(total_memory() * SHARE_OF_MEMORY / BYTES_A_PIXEL)


def check_size(path: Path, height: int, width: int) -> None:
    """Refuses pictures that are too large to decode safely or too small to be one: `InvalidInput`."""
    if height * width > pixel_limit():
        limit = pixel_limit() / 1e6
        reason = (
            f"{path.name} claims {width} x {height} pixels; with this machine's memory the limit is {limit:.0f} million"
        )
        raise InvalidInput("too-large", reason, "check that the file is what it should be, or make it smaller")
    if min(height, width) < MIN_SIDE:
        reason = f"{path.name} has {width} x {height} pixels; a side needs at least {MIN_SIDE}"
        raise InvalidInput("too-small", reason, "export the picture again")


def to_8bit(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Non-negative integers as uint8, and the bit depth: the smallest of 8, 10, 12, 14, 16, 24, 32 that holds them."""
    highest = int(values.max(initial=0))
    depth = next((bits for bits in (8, 10, 12, 14, 16, 24, 32) if highest < 1 << bits), 64)
    return (values >> (depth - 8)).astype(np.uint8), depth
