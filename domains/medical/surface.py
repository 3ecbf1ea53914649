"""How well two masks agree: Dice, Hausdorff distances, average surface distance, surface Dice, with stated conventions.

Masks are boolean arrays of any dimension, one voxel an element. Distances are between voxel centres, in units of
`spacing` (pixels where none is given). The surface of a mask is the set of its voxels with a face neighbour outside it;
outside the image counts as outside the mask.

Conventions where a mask is empty:

==============  ====  ==========================  =====
                Dice  HD, HD95, ASD               NSD
both empty      1     0                           1
one empty       0     the diagonal of the image   0
==============  ====  ==========================  =====
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between a predicted mask and its label, from which every surface metric follows.

    Attributes:
        hausdorff: symmetric Hausdorff distance of the voxel sets: the larger of the two directed maxima over *all*
            voxels of one mask of the distance to the nearest voxel of the other (what ITK's
            HausdorffDistanceImageFilter computes; a hole makes it larger than that of the surfaces).
        to_label: float64, one distance for each surface voxel of the prediction to the label's surface.
        to_prediction: float64, one distance for each surface voxel of the label to the prediction's surface.
        penalty: what HD, HD95 and ASD are where a mask is empty, else None.
    """

    hausdorff: float
    to_label: NDArray[np.float64]
    to_prediction: NDArray[np.float64]
    penalty: float | None = None

    def percentile(self, percent: float = 95.0, *, pooled: bool = False) -> float:
        """HD95 and its like.

        By default the larger of the two directed percentiles (the convention of MONAI and of DeepMind's
        surface-distance); `pooled` takes the percentile of both sets of distances together (medpy). Percentiles
        interpolate linearly.
        """
        if self.penalty is not None:
            return self.penalty
        if pooled:
            return float(np.percentile(np.concatenate([self.to_label, self.to_prediction]), percent))
        return float(max(np.percentile(self.to_label, percent), np.percentile(self.to_prediction, percent)))

    def average(self) -> float:
        """ASD: the mean over both surfaces' voxels together (medpy's assd averages the two means instead)."""
        if self.penalty is not None:
            return self.penalty
        return float(np.concatenate([self.to_label, self.to_prediction]).mean())

    def within(self, tolerance: float) -> float:
        """NSD: the share of both surfaces' voxels within `tolerance` of the other surface, each voxel alike."""
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be >= 0, got {tolerance}")
        if self.penalty is not None:
            return 1.0 if self.penalty == 0 else 0.0
        near = np.count_nonzero(self.to_label <= tolerance) + np.count_nonzero(self.to_prediction <= tolerance)
        return near / (self.to_label.size + self.to_prediction.size)


def surface_distances(
    prediction: ArrayLike, label: ArrayLike, spacing: Sequence[float] | NDArray[np.floating] | None = None
) -> SurfaceDistances:
    """Distances between two masks, by one distance map a mask over the box that holds both.

    Args:
        prediction: bool or 0/1, any shape of at least one dimension.
        label: same shape.
        spacing: length of a voxel along each axis; None is 1.

    Raises:
        ValueError: shapes differ, or the spacing is not one positive number an axis.
    """
    a, b, steps = _checked(prediction, label, spacing)
    none = np.zeros(0)
    if not (a.any() and b.any()):
        return SurfaceDistances(
            penalty := 0.0 if a.any() == b.any() else _diagonal(a.shape, steps), none, none, penalty
        )
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    a, b = a[box], b[box]
    surface_a, surface_b = _surface(a), _surface(b)
    # Outside a mask the nearest of its voxels is on its surface, so one map serves the surfaces and the voxel sets.
    from_a = ndimage.distance_transform_edt(~surface_a, sampling=steps)
    from_b = ndimage.distance_transform_edt(~surface_b, sampling=steps)
    assert isinstance(from_a, np.ndarray) and isinstance(from_b, np.ndarray)
    directed = (from_b[a & ~b].max(initial=0.0), from_a[b & ~a].max(initial=0.0))
    return SurfaceDistances(float(max(directed)), from_b[surface_a], from_a[surface_b])


def dice(prediction: ArrayLike, label: ArrayLike) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two masks of the same shape; 1 where both are empty."""
    a, b, _ = _checked(prediction, label, None)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def hausdorff(
    prediction: ArrayLike, label: ArrayLike, spacing: Sequence[float] | NDArray[np.floating] | None = None
) -> float:
    """Symmetric Hausdorff distance of the voxel sets; arguments as `surface_distances`."""
    return surface_distances(prediction, label, spacing).hausdorff


def hd95(
    prediction: ArrayLike,
    label: ArrayLike,
    spacing: Sequence[float] | NDArray[np.floating] | None = None,
    *,
    pooled: bool = False,
) -> float:
    """95th percentile of the surface distances; arguments as `surface_distances`, convention as `percentile`."""
    return surface_distances(prediction, label, spacing).percentile(95.0, pooled=pooled)


def asd(
    prediction: ArrayLike, label: ArrayLike, spacing: Sequence[float] | NDArray[np.floating] | None = None
) -> float:
    """Average symmetric surface distance; arguments as `surface_distances`."""
    return surface_distances(prediction, label, spacing).average()


def nsd(
    prediction: ArrayLike,
    label: ArrayLike,
    tolerance: float,
    spacing: Sequence[float] | NDArray[np.floating] | None = None,
) -> float:
    """Normalised surface Dice at `tolerance`, in units of `spacing`; arguments as `surface_distances`."""
    return surface_distances(prediction, label, spacing).within(tolerance)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of the mask with a face neighbour outside it."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start, stop in ((0, -2), (2, mask.shape[axis] + 2)):
            shifted: list[slice] = [slice(1, -1)] * mask.ndim
            shifted[axis] = slice(start, stop)
            inside &= padded[tuple(shifted)]
    return mask & ~inside


def _diagonal(shape: tuple[int, ...], steps: Sequence[float]) -> float:
    return math.hypot(*(size * step for size, step in zip(shape, steps, strict=True)))


def _checked(
    prediction: ArrayLike, label: ArrayLike, spacing: Sequence[float] | NDArray[np.floating] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[float, ...]]:
    a, b = np.asarray(prediction).astype(bool), np.asarray(label).astype(bool)
    if a.shape != b.shape or a.ndim < 1:
        raise ValueError(f"two masks of one shape are needed, got {a.shape} and {b.shape}")
    steps = (1.0,) * a.ndim if spacing is None else tuple(float(step) for step in spacing)
    if len(steps) != a.ndim or not all(math.isfinite(step) and step > 0 for step in steps):
        raise ValueError(f"spacing must be {a.ndim} positive numbers, got {spacing}")
    return a, b, steps
