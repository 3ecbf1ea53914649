"""Variation moves image, mask, box and points together, and is a function of the seed alone."""

import math

import numpy as np
import pytest

from domains.medical.ultrasound.learning.augment import Affine, keeps, photometric, ultrasound_photometric

SIZE = 160


def ellipse(centre: np.ndarray, half: np.ndarray) -> np.ndarray:
    """An upright ellipse (SIZE, SIZE) uint8 of 0 and 1; centre and half axes in fractions."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    return (((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2 < 1).astype(np.uint8)


def centroid(weight: np.ndarray) -> np.ndarray:
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(8))
def test_image_mask_box_and_points_move_together(seed):
    affine = Affine(SIZE, np.random.default_rng(seed), flip=True)
    centre, half = np.array([0.42, 0.55]), np.array([0.2, 0.1])
    blob = ellipse(centre, half)
    moved = affine.image(blob, nearest=True)
    assert moved.shape == (SIZE, SIZE) and set(np.unique(moved)) == {0, 1}
    np.testing.assert_allclose(centroid(moved), affine.points(centre), atol=0.5 / SIZE)
    grey = affine.image(np.stack([blob * 200] * 3, -1))
    assert grey.shape == (SIZE, SIZE, 3) and grey.dtype == np.uint8
    np.testing.assert_allclose(centroid(grey[..., 1].astype(float)), affine.points(centre), atol=0.5 / SIZE)
    rows, columns = np.nonzero(moved)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIZE
    np.testing.assert_allclose(affine.box(np.concatenate([centre - half, centre + half])), seen, atol=1.6 / SIZE)


def test_the_centre_moves_by_the_shift_and_distances_by_one_scale():
    for seed in range(20):
        affine = Affine(SIZE, np.random.default_rng(seed), flip=False)
        assert np.abs(affine.points(np.array([0.5, 0.5])) - 0.5).max() <= 0.06
        square = affine.points(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))
        sides = np.linalg.norm(np.roll(square, -1, axis=0) - square, axis=1)
        np.testing.assert_allclose(sides, sides[0])
        assert math.exp(-0.12) <= sides[0] <= math.exp(0.12)
        assert np.linalg.det(affine.matrix) > 0


def test_mirroring_happens_only_when_allowed_and_then_half_of_the_time():
    signs = [np.sign(np.linalg.det(Affine(SIZE, np.random.default_rng(k), flip=True).matrix)) for k in range(200)]
    assert set(signs) == {-1, 1} and 70 < signs.count(-1) < 130


def test_boxes_are_clipped_to_the_input():
    affine = Affine(SIZE, np.random.default_rng(0), flip=False)
    for box in ([0.0, 0.0, 1.0, 1.0], [0.9, 0.9, 1.0, 1.0], [0.0, 0.4, 0.1, 0.5]):
        moved = affine.box(np.array(box))
        assert (moved >= 0).all() and (moved <= 1).all() and (moved[2:] >= moved[:2]).all()


@pytest.mark.parametrize("vary", [photometric, ultrasound_photometric])
def test_photometric_variation_is_a_function_of_the_seed_and_leaves_its_input(vary):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    kept = image.copy()
    results = [vary(image, np.random.default_rng(seed)) for seed in range(30)]
    again = [vary(image, np.random.default_rng(seed)) for seed in range(30)]
    assert all(np.array_equal(a, b) for a, b in zip(results, again, strict=True))
    assert all(result.dtype == np.uint8 and result.shape == image.shape for result in results)
    assert np.array_equal(image, kept)
    assert len({result.tobytes() for result in results}) > 3


def test_the_baselines_variation_has_its_published_rates_and_strengths():
    image = np.full((16, 16, 3), 128, np.uint8)
    results = [photometric(image, np.random.default_rng(seed)).astype(float) for seed in range(600)]
    noisy = [result for result in results if result.std() > 0]
    shifted = [result for result in results if result.std() == 0 and (result != 128).any()]
    assert 0.06 < len(noisy) / 600 < 0.14  # p = 0.1
    assert 0.13 < len(shifted) / 600 < 0.24  # p = 0.2 where no noise hides it
    assert all(abs(result.mean() - 128) <= 0.2 * 128 + 0.2 * 255 + 1 for result in shifted)
    # Clipping at 0 and 255 narrows the 51 to 112 grey levels of the noise.
    assert all(35 < result.std() < 112 for result in noisy)


def test_black_stays_black_under_changes_of_gain():
    image = np.zeros((8, 8, 3), np.uint8)
    assert all(not ultrasound_photometric(image, np.random.default_rng(seed)).any() for seed in range(10))


def test_grain_is_the_same_in_all_channels():
    image = np.repeat(np.random.default_rng(1).integers(1, 256, (16, 16, 1), dtype=np.uint8), 3, axis=2)
    for seed in range(10):
        varied = ultrasound_photometric(image, np.random.default_rng(seed))
        assert (varied == varied[..., :1]).all()


def test_points_are_kept_if_all_lie_inside():
    assert keeps(np.array([[0.0, 1.0], [0.5, 0.5]]))
    assert not keeps(np.array([[0.5, 0.5], [1.001, 0.2]])) and not keeps(np.array([[-0.01, 0.2]]))
