"""From an image to the network's square and back: exact inverses, letterboxes, extreme shapes."""

import math

import numpy as np
import pytest

from domains.medical.ultrasound.data.geometry import Frame, nearest, resize_image, resize_mask
from polyhead.batch.case import InvalidInput

SIZES = [(256, 256), (336, 544), (275, 670), (1024, 768), (97, 131), (1, 1), (301, 64), (63, 999)]


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_points_go_to_the_input_and_back(height, width, keep_aspect):
    frame = Frame.fit(height, width, 128, keep_aspect=keep_aspect)
    points = np.random.default_rng(0).uniform(0, 1, (3, 4, 2)) * [width, height]
    there = frame.to_input(points)
    np.testing.assert_allclose(frame.to_image(there), points, rtol=1e-12, atol=1e-12)
    corners = frame.to_input(np.array([[0, 0], [width, height]]))
    np.testing.assert_allclose(corners, [[0, 0], [frame.inner_width / 128, frame.inner_height / 128]])
    assert there.min() >= 0 and there.max() <= 1


def test_without_keeping_the_aspect_positions_are_fractions_of_each_side():
    frame = Frame.fit(200, 400, 256, keep_aspect=False)
    assert (frame.inner_height, frame.inner_width) == (256, 256)
    np.testing.assert_allclose(frame.to_input(np.array([100.0, 150.0])), [0.25, 0.75])


def test_keeping_the_aspect_both_sides_have_one_scale():
    frame = Frame.fit(200, 400, 256, keep_aspect=True)
    assert (frame.inner_height, frame.inner_width) == (128, 256)
    np.testing.assert_allclose(frame.to_input(np.array([100.0, 100.0])), [0.25, 0.25])
    tall = Frame.fit(400, 200, 256, keep_aspect=True)
    assert (tall.inner_height, tall.inner_width) == (256, 128)


@pytest.mark.parametrize(("height", "width"), [(100, 60), (60, 100), (37, 37)])
def test_an_image_fills_the_top_left_and_the_rest_is_black(height, width):
    frame = Frame.fit(height, width, 64, keep_aspect=True)
    white = np.full((height, width, 3), 255, np.uint8)
    placed = resize_image(white, frame)
    assert placed.shape == (64, 64, 3) and placed.dtype == np.uint8
    assert (placed[: frame.inner_height, : frame.inner_width] == 255).all()
    assert placed.sum() == 255 * 3 * frame.inner_height * frame.inner_width
    mask = resize_mask(np.full((height, width), 3, np.uint8), frame)
    assert np.array_equal(mask > 0, placed[..., 0] > 0) and set(np.unique(mask)) <= {0, 3}


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize(("height", "width"), [(80, 200), (150, 90), (64, 64)])
def test_pixels_and_points_go_the_same_way(height, width, keep_aspect):
    frame = Frame.fit(height, width, 128, keep_aspect=keep_aspect)
    y, x = np.mgrid[:height, :width]
    centre = np.array([0.3 * width, 0.6 * height])
    blob = ((x + 0.5 - centre[0]) ** 2 + (y + 0.5 - centre[1]) ** 2 < 12**2).astype(np.uint8)
    expected = frame.to_input(centre) * 128
    for small in (resize_mask(blob, frame), resize_image(np.stack([blob * 255] * 3, -1), frame)[..., 0]):
        rows, columns = np.mgrid[:128, :128]
        weight = small / small.sum()
        found = [((columns + 0.5) * weight).sum(), ((rows + 0.5) * weight).sum()]
        np.testing.assert_allclose(found, expected, atol=0.6)


def test_masks_keep_their_class_ids():
    mask = np.random.default_rng(0).integers(0, 5, (90, 70), dtype=np.uint8)
    assert set(np.unique(resize_mask(mask, Frame.fit(90, 70, 64, keep_aspect=False)))) == {0, 1, 2, 3, 4}
    same = Frame.fit(64, 64, 64, keep_aspect=True)
    assert np.array_equal(resize_mask(mask[:64, :64], same), mask[:64, :64])


def test_shapes_whose_short_side_vanishes_are_refused_by_name():
    assert Frame.fit(10, 1280, 128, keep_aspect=True).inner_height == 1
    with pytest.raises(InvalidInput, match=r"extreme-aspect.*1290 x 10 pixels") as caught:
        Frame.fit(10, 1290, 128, keep_aspect=True)
    assert caught.value.remedy
    assert Frame.fit(10, 1290, 128, keep_aspect=False).inner_height == 128
    with pytest.raises(ValueError, match="0 x 5"):
        Frame.fit(0, 5, 128, keep_aspect=True)


def test_nearest_is_the_rule_of_opencv():
    """Expected lines from its arithmetic in plain numbers; 100 to 398 and 128 to 446 are among those that differ."""
    mask = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(nearest(mask, (6, 2)), mask[[0, 0, 1, 1, 2, 2]][:, [0, 2]])
    differing = 0
    for old, new in ((100, 398), (128, 446), (256, 333), (640, 480), (7, 900), (900, 7)):
        inverse = 1.0 / (new / old)
        expected = [min(math.floor(index * inverse), old - 1) for index in range(new)]
        found = nearest(np.arange(old)[None], (1, new))[0].tolist()
        assert found == expected
        differing += expected != [index * old // new for index in range(new)]
    assert differing > 0
