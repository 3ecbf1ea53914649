"""Axes and perimeters of masks against closed forms, turned and with pixels that are no squares."""

import math

import numpy as np
import pytest
from scipy.special import ellipe
from skimage.measure import regionprops

from domains.medical.ultrasound.predicting.shapes import (
    Ellipse,
    Patch,
    covariance,
    diameters,
    fitted_ellipse,
    largest_piece,
    outline,
    tight,
)

SHAPES = [
    (a, b, degrees, spacing)
    for a, b in ((40.0, 30.0), (45.0, 20.0))
    for degrees in (0, 33, 90)
    for spacing in ((1.0, 1.0), (0.5, 0.2))
]


def drawn(a: float, b: float, degrees: float, spacing=(1.0, 1.0), size_mm=(100.0, 100.0), centre=None) -> np.ndarray:
    """A mask of pixels whose middles lie in the ellipse of half axes a, b in mm, turned from x towards y."""
    height, width = (math.ceil(side / step) for side, step in zip(size_mm, spacing, strict=True))
    y, x = ((np.indices((height, width)) + 0.5) * np.reshape(spacing, (2, 1, 1))) - np.reshape(
        centre or (size_mm[0] / 2, size_mm[1] / 2), (2, 1, 1)
    )
    turn = math.radians(degrees)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def axes(mask: np.ndarray, spacing) -> tuple[float, float]:
    return diameters(outline(tight(Patch(mask)).mask), spacing)


def perimeter(a: float, b: float) -> float:
    """4 a E(e^2), the complete elliptic integral."""
    return 4 * a * float(ellipe(1 - (b / a) ** 2))


@pytest.mark.parametrize(("a", "b"), [(10, 10), (10, 8), (10, 5), (10, 2)])
def test_ramanujans_perimeter_is_the_elliptic_integral(a, b):
    assert Ellipse(2 * a, 2 * b).perimeter == pytest.approx(perimeter(a, b), rel=1e-9 if b >= 5 else 1e-5)


@pytest.mark.parametrize(("a", "b", "degrees", "spacing"), SHAPES)
def test_the_axes_of_an_ellipse(a, b, degrees, spacing):
    mask = drawn(a, b, degrees, spacing)
    ellipse = fitted_ellipse(covariance(mask), spacing)
    assert (ellipse.major, ellipse.minor) == pytest.approx((2 * a, 2 * b), rel=2e-3)
    assert ellipse.perimeter == pytest.approx(perimeter(a, b), rel=2e-3)
    long, short = axes(mask, spacing)
    assert (long, short) == pytest.approx((2 * a, 2 * b), abs=1.5 * max(spacing))


def test_moments_agree_with_scikit_image():
    mask = drawn(31, 17, 21)
    props = regionprops(mask.astype(int))[0]
    ellipse = fitted_ellipse(covariance(mask), (1.0, 1.0))
    assert ellipse.major == pytest.approx(props.axis_major_length, rel=1e-3)
    assert ellipse.minor == pytest.approx(props.axis_minor_length, rel=1e-3)


def test_an_outline_measures_its_pixels_whole():
    bar = np.ones((1, 7), bool)
    assert axes(bar, (1.0, 1.0)) == pytest.approx((7, 1))
    assert axes(bar.T, (2.0, 1.0)) == pytest.approx((14, 1))
    assert axes(np.ones((1, 1), bool), (0.3, 0.3)) == pytest.approx((0.3, 0.3))


def test_a_ring_has_the_ellipse_of_its_outside():
    full = drawn(40, 30, 20)
    ring = full & ~drawn(36, 26, 20)
    assert fitted_ellipse(covariance(ring), (1.0, 1.0)) == fitted_ellipse(covariance(full), (1.0, 1.0))


def test_the_largest_piece_is_measured_and_the_rest_told():
    mask = drawn(20, 15, 0)
    lone, none = largest_piece(tight(Patch(mask)))
    assert none == 0 and not lone.touches_border((100, 100))
    assert np.array_equal(mask[lone.row : lone.row + len(lone.mask), lone.column : lone.column + 40], lone.mask)
    mask[0:2, 0:3] = True
    whole = tight(Patch(mask))
    piece, rest = largest_piece(whole)
    assert (whole.row, whole.column) == (0, 0) and whole.touches_border((100, 100))
    assert np.array_equal(piece.mask, lone.mask) and (piece.row, piece.column) == (lone.row, lone.column)
    assert rest == pytest.approx(6 / mask.sum()) and not piece.touches_border((100, 100))
    # Pieces that meet at a corner are one.
    assert largest_piece(Patch(np.eye(3, dtype=bool)))[1] == 0


@pytest.mark.parametrize("centre", [(50.0, 10.0), (50.0, 90.0), (12.0, 50.0), (88.0, 50.0)])
def test_a_shape_cut_by_the_border_is_measured_too_small(centre):
    whole, cut = tight(Patch(drawn(40, 30, 0))), tight(Patch(drawn(40, 30, 0, centre=centre)))
    assert cut.touches_border((100, 100)) and not whole.touches_border((100, 100))
    perimeters = [fitted_ellipse(covariance(each.mask), (1.0, 1.0)).perimeter for each in (cut, whole)]
    assert perimeters[0] < perimeters[1]
    assert axes(cut.mask, (1.0, 1.0))[0] <= axes(whole.mask, (1.0, 1.0))[0]
