"""Shapes from drawn masks: a signed distance by the Euclidean distance transform, read between the pixels."""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np

from domains.pde.geometry import polygons
from domains.pde.geometry.shape import UNIT_SQUARE, Bounds, Shape

_RIM = 2
"""Pixels of outside around the image, so that a mask that reaches the edge of the image ends there."""


def from_mask(
    image: np.ndarray,
    bounds: Bounds = UNIT_SQUARE,
    *,
    origin: Literal["upper", "lower"] = "upper",
    name: str = "mask",
) -> Shape:
    """The region that a mask image covers when it is laid over a box.

    The boundary runs between the pixels. The signed distance is the distance between pixel centres minus half a pixel,
    interpolated bilinearly; for a mask drawn of a smooth shape it is within half a pixel of that shape's distance
    (about a quarter in the root mean square), and within one pixel at sharp corners. Far outside the box it is a lower
    bound. What a solver makes of the mask has an error of first order in the pixel, so draw on many pixels.

    Args:
        image: (height, width) bool, True inside.
        bounds: lower and upper corner ((x, y), (x, y)) of the outer edges of the image; its pixels must be square.
        origin: "upper" for images, whose row 0 is at the top (greatest y); "lower" for fields with y ascending.

    Errors: ValueError for another shape or dtype, an empty mask, a box without area, pixels that are not square.
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.dtype != np.bool_:
        raise ValueError(f"{name}: the mask must be (height, width) of bool, got {image.shape} of {image.dtype}")
    if not image.any():
        raise ValueError(f"{name}: the mask is empty: no pixel is inside")
    if origin not in ("upper", "lower"):
        raise ValueError(f"{name}: origin must be 'upper' or 'lower', got {origin!r}")
    lower, upper = np.asarray(bounds, dtype=np.float64)
    extent = upper - lower
    if lower.shape != (2,) or not (np.isfinite(extent).all() and (extent > 0).all()):
        raise ValueError(f"{name}: the box must have a lower and an upper corner (x, y), got {bounds}")
    pixel = extent / image.shape[::-1]
    if abs(pixel[0] - pixel[1]) > 0.01 * pixel.max():
        raise ValueError(
            f"{name}: pixels must be square: {image.shape[1]} x {image.shape[0]} pixels on a box of "
            f"{extent[0]:g} x {extent[1]:g}; pad or crop the picture to the proportions of the box"
        )
    rows = image[::-1] if origin == "upper" else image
    field = _pixel_distance(np.pad(rows, _RIM)) * float(pixel.mean())
    corner = lower + (0.5 - _RIM) * pixel
    rings = _contours(field, corner, pixel)
    return Shape(
        name,
        partial(_interpolated, field=field, corner=corner, pixel=pixel),
        polygons.bounds(rings),
        partial(polygons.along_outline, rings),
    )


def _pixel_distance(inside: np.ndarray) -> np.ndarray:
    """Signed distance of the pixel centres in pixels, positive inside."""
    from scipy.ndimage import distance_transform_edt

    to_outside = np.asarray(distance_transform_edt(inside))
    to_inside = np.asarray(distance_transform_edt(~inside))
    return np.where(inside, to_outside - 0.5, 0.5 - to_inside)


def _interpolated(points: np.ndarray, field: np.ndarray, corner: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    last = corner + pixel * (np.array(field.shape[::-1]) - 1)
    within = np.clip(points, corner, last)
    column, row = ((within - corner) / pixel).T
    return map_coordinates(field, [row, column], order=1, mode="nearest") - np.hypot(*(points - within).T)


def _contours(field: np.ndarray, corner: np.ndarray, pixel: np.ndarray) -> polygons.Rings:
    """The zero contours of the field as rings (k, 2) of (x, y)."""
    from skimage.measure import find_contours

    return tuple(corner + pixel * contour[:-1, ::-1] for contour in find_contours(field, 0.0))
