"""Surface metrics against brute force over all voxels, closed forms, and the conventions for empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist, directed_hausdorff

from domains.medical.surface import asd, dice, hausdorff, hd95, nsd, surface_distances


def random_pairs(seed: int = 0, count: int = 40):
    rng = np.random.default_rng(seed)
    for index in range(count):
        dimensions = 2 + index % 2
        shape = tuple(rng.integers(3, 14 - 4 * (dimensions - 2), size=dimensions))
        spacing = rng.uniform(0.4, 3.0, size=dimensions)
        density = rng.choice([0.08, 0.5, 0.95])
        a, b = rng.random(shape) < density, rng.random(shape) < density
        if a.any() and b.any():
            yield a, b, spacing


def surface_points(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    return np.argwhere(mask & ~ndimage.binary_erosion(mask, cross, border_value=0)) * spacing


def disc(center: tuple[float, float], radius: float, size: int = 120) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2


def test_hausdorff_equals_brute_force_over_all_voxels():
    for a, b, spacing in random_pairs():
        left, right = np.argwhere(a) * spacing, np.argwhere(b) * spacing
        expected = max(directed_hausdorff(left, right)[0], directed_hausdorff(right, left)[0])
        assert hausdorff(a, b, spacing) == pytest.approx(expected)


def test_surface_metrics_equal_brute_force_over_surface_voxels():
    for a, b, spacing in random_pairs(seed=1):
        distances = cdist(surface_points(a, spacing), surface_points(b, spacing))
        forth, back = distances.min(axis=1), distances.min(axis=0)
        both = np.concatenate([forth, back])
        assert hd95(a, b, spacing) == pytest.approx(max(np.percentile(forth, 95), np.percentile(back, 95)))
        assert hd95(a, b, spacing, pooled=True) == pytest.approx(np.percentile(both, 95))
        assert asd(a, b, spacing) == pytest.approx(both.mean())
        assert nsd(a, b, 1.0, spacing) == pytest.approx((both <= 1.0 + 1e-12).mean())


def test_a_shifted_square():
    a, b = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    a[10:20, 10:20] = True
    b[10:20, 13:23] = True
    assert dice(a, b) == pytest.approx(0.7)
    assert hausdorff(a, b) == 3
    assert hausdorff(a, b, spacing=(1.0, 0.5)) == 1.5
    assert nsd(a, b, 3) == 1
    assert nsd(a, b, 0) < 1


def test_two_discs():
    inner, outer = disc((60, 60), 20), disc((60, 60), 30)
    assert dice(inner, outer) == pytest.approx(2 * 20**2 / (20**2 + 30**2), rel=0.01)
    for metric in (hausdorff, hd95, asd):
        assert metric(inner, outer) == pytest.approx(10, abs=0.8)
    apart = disc((45, 60), 10), disc((75, 60), 10)
    assert dice(*apart) == 0
    assert hausdorff(*apart) == 30


def test_a_hole_tells_voxel_sets_from_surfaces():
    solid, ring = disc((60, 60), 30), disc((60, 60), 30) & ~disc((60, 60), 20)
    # The centre of the solid disc is 20 away from the ring, but no surface voxel of the solid disc is away at all.
    assert hausdorff(solid, ring) == pytest.approx(20, abs=1)
    distances = surface_distances(solid, ring)
    assert distances.to_label.max() == 0
    assert distances.to_prediction.max() == pytest.approx(10, abs=1)


def test_metrics_are_symmetric_and_zero_on_equal_masks():
    for a, b, spacing in random_pairs(seed=2, count=10):
        for metric in (hausdorff, hd95, asd):
            assert metric(a, b, spacing) == pytest.approx(metric(b, a, spacing))
            assert metric(a, a, spacing) == 0
        assert dice(a, a) == nsd(a, a, 0, spacing) == 1


def test_distances_do_not_depend_on_empty_space_around():
    a, b, spacing = next(random_pairs(seed=3))
    wide_a, wide_b = np.pad(a, 5), np.pad(b, 5)
    assert hausdorff(wide_a, wide_b, spacing) == hausdorff(a, b, spacing)
    assert asd(wide_a, wide_b, spacing) == asd(a, b, spacing)


def test_empty_masks():
    empty, full = np.zeros((30, 40), bool), np.ones((30, 40), bool)
    assert (dice(empty, empty), hausdorff(empty, empty), hd95(empty, empty), asd(empty, empty)) == (1, 0, 0, 0)
    assert nsd(empty, empty, 1) == 1
    for a, b in ((empty, full), (full, empty)):
        assert dice(a, b) == 0
        assert hausdorff(a, b) == hd95(a, b) == asd(a, b) == 50
        assert hausdorff(a, b, spacing=(0.1, 0.1)) == pytest.approx(5)
        assert nsd(a, b, 1000) == 0


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, math.nan)])
def test_bad_spacing(spacing):
    with pytest.raises(ValueError, match="spacing must be 2 positive numbers"):
        hausdorff(np.ones((3, 3)), np.ones((3, 3)), spacing)


def test_bad_shapes_and_tolerance():
    with pytest.raises(ValueError, match="one shape"):
        dice(np.ones((3, 3)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="tolerance"):
        nsd(np.ones((3, 3)), np.ones((3, 3)), -1)
