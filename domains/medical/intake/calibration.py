"""How large the pixels of a picture are, and where on the picture that holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Spacing = tuple[float, float]
"""mm a pixel as (row, column)."""

PLAUSIBLE_MM = (0.005, 2.0)
"""Sizes of a pixel that are believed: from finer than any probe resolves to coarser than any screen shows a body."""

SAME = 1e-3
"""Relative difference of two spacings that are taken as one."""


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture with a scale of its own.

    Attributes:
        location: (x0, y0, x1, y1) in pixels; its corner pixels belong to it.
        spacing: mm a pixel (row, column); None where its axes are no lengths or are not known.
        spatial: whether it shows a plane of the body; False where an axis is time, velocity or a signal.
    """

    location: tuple[int, int, int, int]
    spacing: Spacing | None
    spatial: bool = True

    def holds(self, box: tuple[float, float, float, float]) -> bool:
        """Whether (x_min, y_min, x_max, y_max) lies in it, the outer edges of its pixels included."""
        x0, y0, x1, y1 = self.location
        return x0 - 0.5 <= box[0] and y0 - 0.5 <= box[1] and box[2] <= x1 + 1 and box[3] <= y1 + 1

    def touches(self, box: tuple[float, float, float, float]) -> bool:
        """Whether it has a pixel in (x_min, y_min, x_max, y_max)."""
        x0, y0, x1, y1 = self.location
        return x0 <= box[2] and y0 <= box[3] and box[0] <= x1 and box[1] <= y1


@dataclass(frozen=True)
class Calibration:
    """What a file says of the size of its pixels; without arguments, nothing.

    Attributes:
        whole: mm a pixel (row, column) of the whole picture.
        regions: rectangles with scales of their own. Where one of them shows a plane and has a spacing, only what lies
            in such a region can be measured.
    """

    whole: Spacing | None = None
    regions: tuple[Region, ...] = ()

    @property
    def spacing(self) -> Spacing | None:
        """The one spacing of the picture, None where there are several or none."""
        scales = [region.spacing for region in self._planes()]
        if not scales:
            return self.whole
        first = scales[0]
        return first if all(same(first, other) for other in scales) else None

    def of_box(self, box: tuple[float, float, float, float]) -> tuple[Spacing | None, str | None]:
        """The spacing that holds all over (x_min, y_min, x_max, y_max) in pixels; else why there is none.

        Returns:
            The spacing and None; or None and ``outside-calibrated-region`` (not wholly in one calibrated region),
            ``not-a-plane`` (in a region of time, velocity or a signal: M-mode, Doppler, ECG), ``overlapping-regions``
            (in regions that disagree); or twice None where the file tells no spacing.
        """
        return self._found(box, [region for region in self.regions if region.touches(box)])

    def of_mask(self, mask: np.ndarray, row: int = 0, column: int = 0) -> tuple[Spacing | None, str | None]:
        """As `of_box`, for the True pixels of a bool mask (H, W), of which there must be one.

        Args:
            mask: a part of the picture's.
            row, column: its first pixel in the picture.
        """
        if not self.regions:
            return self.whole, None
        rows, columns = np.flatnonzero(mask.any(axis=1)) + row, np.flatnonzero(mask.any(axis=0)) + column
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        touched = []
        for region in self.regions:
            x0, y0, x1, y1 = region.location
            down, across = (
                slice(max(0, y0 - row), max(0, y1 + 1 - row)),
                slice(max(0, x0 - column), max(0, x1 + 1 - column)),
            )
            if region.touches(box) and mask[down, across].any():
                touched.append(region)
        return self._found(box, touched)

    def _planes(self) -> list[Region]:
        return [region for region in self.regions if region.spatial and region.spacing is not None]

    def _found(
        self, box: tuple[float, float, float, float], touched: list[Region]
    ) -> tuple[Spacing | None, str | None]:
        planes = self._planes()
        if not planes and self.whole is None:
            return None, None
        if any(not region.spatial for region in touched):
            return None, "not-a-plane"
        if not planes:
            return self.whole, None
        around = [region.spacing for region in planes if region.holds(box)]
        if not around or around[0] is None:
            return None, "outside-calibrated-region"
        crossed = [region.spacing for region in planes if region in touched]
        if not all(same(around[0], other) for other in (*around, *crossed)):
            return None, "overlapping-regions"
        return around[0], None


def same(one: Spacing | None, other: Spacing | None) -> bool:
    """Whether two spacings differ by no more than rounding."""
    return one is not None and other is not None and bool(np.allclose(one, other, rtol=SAME, atol=0))


def plausible(spacing: Spacing) -> bool:
    """Whether both sides of a pixel are of a size that is believed."""
    low, high = PLAUSIBLE_MM
    return all(math.isfinite(side) and low <= side <= high for side in spacing)
