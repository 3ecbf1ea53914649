"""Sizes of a region of a mask: its diameters, and the ellipse of the same moments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SPECK = 0.01
"""Share of an area that its further pieces together must have to be told of."""


@dataclass(frozen=True)
class Piece:
    """The largest connected piece of a mask.

    Attributes:
        mask: bool (H, W), the piece within `rows` and `columns` of the picture.
        corner: (row, column) of its first pixel in the picture.
        rest: share of the whole area that the other pieces have.
        at_border: whether it has a pixel at the border of the picture.
    """

    mask: np.ndarray
    corner: tuple[int, int]
    rest: float
    at_border: bool


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


def largest_piece(mask: np.ndarray) -> Piece:
    """The largest of the pieces whose pixels meet at edges or corners; the first of equal ones.

    Args:
        mask: bool (H, W) with at least one True pixel.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inner = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    labels, count = ndimage.label(inner, structure=np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
    sizes = np.bincount(labels.ravel())[1:]
    best = int(sizes.argmax())
    place = ndimage.find_objects(labels)[best]
    piece = labels[place] == best + 1
    first = (top + place[0].start, left + place[1].start)
    last = (first[0] + piece.shape[0], first[1] + piece.shape[1])
    at_border = min(first) == 0 or last[0] == mask.shape[0] or last[1] == mask.shape[1]
    return Piece(piece, first, 1 - float(sizes[best] / sizes.sum()) if count > 1 else 0.0, at_border)


def diameters(piece: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float]:
    """Long and short axis: the greatest diameter, and the extent at right angles to it.

    The greatest diameter (Feret's) is the longest distance of two points of the outline, which runs half way between
    the pixels of the piece and those beside it. The extent is the distance of the two lines along the greatest diameter
    between which the piece just fits.

    Args:
        piece: bool (H, W) with at least one True pixel.
        spacing: size of a pixel (row, column), in the unit of the result.
    """
    outline = _outline(piece) * spacing
    differences = outline[:, None] - outline[None]
    distances = (differences**2).sum(-1)
    start, end = np.unravel_index(distances.argmax(), distances.shape)
    long = math.sqrt(distances[start, end])
    along = (outline[end] - outline[start]) / long
    across = outline @ np.array([-along[1], along[0]])
    return long, float(np.ptp(across))


def fitted_ellipse(piece: np.ndarray, spacing: tuple[float, float]) -> Ellipse:
    """The ellipse with the second central moments of a piece, its holes filled.

    Its axes are ``4 sqrt(eigenvalues)`` of the covariance of the places in the piece; a pixel counts as a rectangle,
    which adds 1/12 of its side squared (as scikit-image's ``axis_major_length``).

    Args:
        piece: bool (H, W) with at least one True pixel.
        spacing: size of a pixel (row, column), in the unit of the axes.
    """
    filled = ndimage.binary_fill_holes(piece)
    assert filled is not None
    rows, columns = np.nonzero(filled)
    places = np.stack([rows * spacing[0], columns * spacing[1]])
    covariance = np.atleast_2d(np.cov(places, bias=True)) + np.diag(np.square(spacing)) / 12
    minor, major = 4 * np.sqrt(np.linalg.eigvalsh(covariance))
    return Ellipse(float(major), float(minor))


def _outline(piece: np.ndarray) -> np.ndarray:
    """Corners (N, 2) of the convex hull of the middles of the outer pixels' edges, as (row, column)."""
    from scipy.spatial import ConvexHull

    points = []
    for mask, turned in ((piece, False), (piece.T, True)):
        lines = np.flatnonzero(mask.any(axis=1))
        first = mask[lines].argmax(axis=1) - 0.5
        last = mask.shape[1] - 0.5 - mask[lines, ::-1].argmax(axis=1)
        for edge in (first, last):
            points.append(np.stack([edge, lines] if turned else [lines, edge], axis=1))
    found = np.concatenate(points)
    return found[ConvexHull(found).vertices]
