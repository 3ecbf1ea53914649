"""Drawing on images: blending by its formula, outlines by distance, boxes and points where they were asked for."""

import numpy as np
import pytest
from scipy import ndimage

from domains.medical.export import overlay


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_blend_is_the_weighted_mean_inside_and_the_image_outside(image):
    mask = np.zeros((60, 80), np.uint8)
    mask[10:20, 10:30], mask[30:40, 40:60] = 1, 2
    drawn = overlay.blend(image, mask, {1: (200, 100, 0)}, 0.25)
    expected = np.rint(0.75 * image[12, 15].astype(float) + 0.25 * np.array([200, 100, 0]))
    assert np.array_equal(drawn[12, 15], expected)
    assert np.array_equal(drawn[mask != 1], image[mask != 1])


def test_blend_ends_at_the_image_and_at_the_colour(image):
    mask = np.ones((60, 80), np.uint8)
    assert np.array_equal(overlay.blend(image, mask, {1: (1, 2, 3)}, 0.0), image)
    assert (overlay.blend(image, mask, {1: (1, 2, 3)}, 1.0) == (1, 2, 3)).all()


def test_the_given_image_is_never_changed(image):
    before = image.copy()
    mask = np.ones((60, 80), np.uint8)
    overlay.blend(image, mask, {1: (1, 2, 3)}, 1.0)
    overlay.contours(image, mask, {1: (1, 2, 3)})
    overlay.boxes(image, [(1, 1, 20, 20)], ["a"])
    overlay.points(image, [(5, 5)], ["a"])
    assert np.array_equal(image, before)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_outline_is_the_pixels_within_the_city_block_distance_of_the_outside(width):
    region = np.random.default_rng(1).random((40, 50)) < 0.97
    padded = np.pad(region, 1)
    distance = ndimage.distance_transform_cdt(padded, metric="taxicab")[1:-1, 1:-1]
    assert np.array_equal(overlay.outline(region, width), region & (distance <= width))


def test_contours_stay_on_the_class_and_leave_its_inside(image):
    mask = np.zeros((60, 80), np.uint8)
    mask[10:50, 10:70] = 3
    drawn = overlay.contours(image, mask, {3: (9, 8, 7)}, width=2)
    changed = (drawn != image).any(axis=2)
    assert not changed[mask != 3].any()
    assert not changed[12:48, 12:68].any()
    assert (drawn[10, 10:70] == (9, 8, 7)).all()


def test_a_box_touches_its_corners_and_nothing_far_from_its_border(image):
    drawn = overlay.boxes(image, [(10, 20, 50, 55)], paint=(255, 0, 255), width=1)
    for x, y in ((10, 20), (50, 20), (10, 55), (50, 55)):
        assert tuple(drawn[y, x]) == (255, 0, 255)
    assert np.array_equal(drawn[22:53, 12:48], image[22:53, 12:48])


def test_points_are_drawn_where_they_are_and_their_labels_stay_inside(image):
    drawn = overlay.points(image, [(40.0, 30.0), (79.0, 59.0)], ["1", "2"], paint=(0, 255, 0))
    assert tuple(drawn[30, 40]) == (0, 255, 0)
    assert drawn.shape == image.shape


def test_joined_points_have_a_line_between_them(image):
    drawn = overlay.points(np.zeros((60, 80, 3), np.uint8), [(10, 30), (70, 30)], paint=(0, 255, 0), joined=True)
    assert (drawn[30, 10:71, 1] == 255).all()


def test_colours_are_distinct_and_letters_on_them_are_legible():
    assert len(set(overlay.PALETTE)) == len(overlay.PALETTE)
    for paint in overlay.PALETTE:
        lighter, darker = sorted([overlay.luminance(paint), overlay.luminance(overlay.contrasting(paint))])[::-1]
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    assert overlay.luminance((255, 255, 255)) == pytest.approx(1.0)
    assert overlay.class_colours(3) == {1: overlay.PALETTE[0], 2: overlay.PALETTE[1]}
    assert overlay.colour(len(overlay.PALETTE)) == overlay.PALETTE[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda im: overlay.blend(im, np.zeros((3, 3), np.uint8), {}, 0.5), "must agree"),
        (lambda im: overlay.blend(im, np.zeros((60, 80), np.uint8), {}, 1.5), "opacity"),
        (lambda im: overlay.blend(im[..., 0], np.zeros((60, 80), np.uint8), {}, 0.5), "uint8"),
        (lambda im: overlay.boxes(im, [(10, 10, 5, 20)]), "inverted"),
        (lambda im: overlay.outline(im[..., 0] > 0, 0), "at least 1"),
    ],
)
def test_wrong_input_gets_one_clear_line(image, call, words):
    with pytest.raises(ValueError, match=words):
        call(image)
