"""Sizes of a region of a mask: its diameters, and the ellipse of the same moments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_STRIP = 1 << 20
"""Pixels that are counted at a time, which takes eight bytes a pixel."""

SPECK = 0.01
"""Share of an area that its further pieces together must have to be told of."""


@dataclass(frozen=True)
class Patch:
    """A part of a picture's mask: what is True lies within it.

    Attributes:
        mask: bool (H, W).
        row, column: its first pixel in the picture.
    """

    mask: np.ndarray
    row: int = 0
    column: int = 0

    def touches_border(self, shape: tuple[int, int]) -> bool:
        """Whether a tight patch reaches the border of a picture of (height, width)."""
        height, width = self.mask.shape
        return min(self.row, self.column) == 0 or self.row + height == shape[0] or self.column + width == shape[1]


@dataclass(frozen=True)
class Ellipse:
    """An ellipse by its two full axes, ``major >= minor``, in any one unit."""

    major: float
    minor: float

    @property
    def perimeter(self) -> float:
        """Ramanujan's second approximation, off by less than 1e-9 where the minor axis is over half of the major.

        ``pi (a + b) (1 + 3 h / (10 + sqrt(4 - 3 h)))`` with the half axes a, b and ``h = ((a - b) / (a + b))^2``
        (S. Ramanujan, Modular equations and approximations to pi, Quart. J. Math. 45, 1914, eq. 49).
        """
        a, b = self.major / 2, self.minor / 2
        h = ((a - b) / (a + b)) ** 2
        return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def tight(patch: Patch) -> Patch:
    """A patch without the empty lines around what is True, of which there must be something."""
    rows, columns = np.flatnonzero(patch.mask.any(axis=1)), np.flatnonzero(patch.mask.any(axis=0))
    inner = patch.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Patch(inner, patch.row + int(rows[0]), patch.column + int(columns[0]))


def largest_piece(patch: Patch) -> tuple[Patch, float]:
    """The largest of the pieces whose pixels meet at edges or corners, the first of equal ones; tight.

    Args:
        patch: tight, with at least one True pixel.

    Returns:
        The piece, and the share of the whole area that the other pieces have.
    """
    labels, count = _labelled(patch.mask, corners=True)
    if count == 1:
        return patch, 0.0
    rows = max(1, _STRIP // labels.shape[1])
    strips = (labels[start : start + rows].ravel() for start in range(0, len(labels), rows))
    sizes = sum(np.bincount(strip, minlength=count + 1) for strip in strips)[1:]  # pyright: ignore[reportIndexIssue]
    best = int(sizes.argmax())
    piece = tight(Patch(labels == best + 1, patch.row, patch.column))
    return piece, 1 - float(sizes[best] / sizes.sum())


def outline(piece: np.ndarray) -> np.ndarray:
    """Corners (N, 2) of the convex hull of a piece, as (row, column) in pixels.

    The outline runs half way between the pixels of the piece and those beside it, so the hull is that of the middles of
    the outer edges of the first and last pixel of each row and column.

    Args:
        piece: bool (H, W) with a True pixel in each row and column.
    """
    from scipy.spatial import ConvexHull

    points = []
    for mask in (piece, piece.T):
        lines = np.arange(len(mask))
        for edge in (mask.argmax(axis=1) - 0.5, mask.shape[1] - 0.5 - mask[:, ::-1].argmax(axis=1)):
            points.append(np.stack([lines, edge] if mask is piece else [edge, lines], axis=1))
    found = np.concatenate(points)
    return found[ConvexHull(found).vertices]


def diameters(corners: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float]:
    """Long and short axis: the greatest diameter (Feret's), and the extent at right angles to it.

    The extent is the distance of the two lines along the greatest diameter between which the piece just fits.

    Args:
        corners: (N, 2), the `outline` of a piece.
        spacing: size of a pixel (row, column), in the unit of the result.
    """
    places = corners * spacing
    distances = ((places[:, None] - places[None]) ** 2).sum(-1)
    start, end = np.unravel_index(distances.argmax(), distances.shape)
    long = math.sqrt(distances[start, end])
    along = (places[end] - places[start]) / long
    return long, float(np.ptp(places @ np.array([-along[1], along[0]])))


def covariance(piece: np.ndarray) -> np.ndarray:
    """Covariance (2, 2) of the places (row, column) in a piece, its holes filled, in square pixels.

    A pixel counts as the square that it is, which adds 1/12 to both variances (as in scikit-image).

    Args:
        piece: bool (H, W) with at least one True pixel.
    """
    background, _ = _labelled(np.pad(~piece, 1, constant_values=True), corners=False)
    filled = background[1:-1, 1:-1] != background[0, 0]
    counts = filled.sum(axis=1, dtype=np.float64), filled.sum(axis=0, dtype=np.float64)
    total = counts[0].sum()
    rows, columns = (np.arange(len(count)) - np.arange(len(count)) @ count / total for count in counts)
    mixed = sum(float(row * columns[line].sum()) for row, line in zip(rows, filled, strict=True)) / total
    across, along = (
        (places**2 @ count) / total + 1 / 12 for places, count in zip((rows, columns), counts, strict=True)
    )
    return np.array([[across, mixed], [mixed, along]])


def fitted_ellipse(covariances: np.ndarray, spacing: tuple[float, float]) -> Ellipse:
    """The ellipse with the second central moments of a piece: its axes are ``4 sqrt(eigenvalues)``.

    Args:
        covariances: (2, 2), the `covariance` of a piece.
        spacing: size of a pixel (row, column), in the unit of the axes.
    """
    minor, major = 4 * np.sqrt(np.linalg.eigvalsh(covariances * np.outer(spacing, spacing)))
    return Ellipse(float(major), float(minor))


def _labelled(mask: np.ndarray, *, corners: bool) -> tuple[np.ndarray, int]:
    """The pieces of a bool mask by number from 1, int32 (H, W), and how many they are."""
    labels = np.empty(mask.shape, np.int32)
    structure = np.ones((3, 3)) if corners else None
    count = ndimage.label(mask, structure=structure, output=labels)
    assert isinstance(count, int)
    return labels, count
