"""The 64 plate designs and their signed distance."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from domains.pde.geometry.plate import PLATE_BOUNDS, PlateDesign, hole_distance, plate_designs, plate_distance
from domains.pde.geometry.raster import plate_raster


@pytest.fixture
def published() -> list[tuple[int, float]]:
    folder = Path(os.environ.get("POLYHEAD_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
    path = folder / "pde" / "heated_plate_designs.csv"
    if not path.is_file():
        pytest.skip(f"the list of published designs is not there: {path.name}")
    with path.open(newline="") as file:
        return [(int(row["num_holes"]), float(row["hole_pos"])) for row in csv.DictReader(file)]


def test_designs_are_the_published_ones(published):
    assert [(design.holes, design.position) for design in plate_designs()] == published


def test_split_is_24_to_40_and_covers_every_number_of_holes():
    designs = plate_designs()
    assert len(set(designs)) == 64
    assert sum(design.train for design in designs) == 24
    assert {design.holes for design in designs if design.train} == set(range(2, 10))
    assert {design.position for design in designs if not design.train} == {1.0, 1.1, 1.3, 1.4, 1.5}


def test_distance_by_hand():
    design = PlateDesign(4, 1.2)
    points = np.array(
        [
            [0.0, 0.0, 0.9],  # under the hub's top
            [0.0, 0.0, 0.5],  # middle of the hub
            [1.2, 0.0, 0.1],  # centre of a hole
            [0.0, -1.2, 3.0],  # above a hole
            [1.95, 0.0, 0.125],  # at the rim
            [1.2, 1.2, 0.2],  # under the disc's top, far from holes
            [2.5, 0.0, 0.125],  # outside
            [0.9, 0.9, 0.2],  # beside the hub
        ]
    )
    found = plate_distance(design, points)
    assert found[[0, 1, 2, 4, 5, 6, 7]] == pytest.approx([0.1, 0.5, -0.2, 0.05, 0.05, -0.5, 0.05])
    assert found[3] < 0


def test_distance_inside_is_the_radius_of_the_largest_ball():
    design = PlateDesign(3, 0.9)
    generator = np.random.default_rng(0)
    points = generator.uniform(*PLATE_BOUNDS, (4000, 3))
    distance = plate_distance(design, points)
    points, distance = points[distance > 0][:150], distance[distance > 0][:150]
    # A step in any direction that is shorter than the distance never leaves the plate ...
    directions = generator.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for point, radius in zip(points, distance, strict=True):
        assert (plate_distance(design, point + 0.999 * radius * directions) > 0).all()
    # ... and a step down the gradient of the distance as long as the distance ends on the surface.
    step = 1e-6
    gradient = np.stack(
        [
            (plate_distance(design, points + step * axis) - plate_distance(design, points - step * axis)) / (2 * step)
            for axis in np.eye(3)
        ],
        axis=1,
    )
    smooth = np.abs(np.linalg.norm(gradient, axis=1) - 1) < 1e-4
    assert smooth.mean() > 0.9
    landed = points - distance[:, None] * gradient
    assert np.abs(plate_distance(design, landed)[smooth]).max() < 1e-5


def test_volume_on_a_grid():
    design = PlateDesign(5, 1.3)
    cells = np.stack(
        np.meshgrid(
            *[np.linspace(a, b, n, endpoint=False) for a, b, n in zip(*PLATE_BOUNDS, (100, 100, 40), strict=True)]
        ),
        axis=-1,
    ).reshape(-1, 3) + np.array([0.02, 0.02, 0.0125])
    volume = np.mean(plate_distance(design, cells) > 0) * 16
    exact = np.pi * (4 * 0.25 + 0.75**2 * 0.75 - 5 * 0.04 * 0.25)
    assert volume == pytest.approx(exact, rel=5e-3)


def test_holes_turn_the_plate_into_itself():
    design = PlateDesign(6, 1.1)
    points = np.random.default_rng(1).uniform(*PLATE_BOUNDS, (500, 3))
    angle = 2 * np.pi / 6
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    np.testing.assert_allclose(plate_distance(design, points @ turn.T), plate_distance(design, points), atol=1e-12)
    np.testing.assert_allclose(hole_distance(design, points[:, :2]), hole_distance(design, points))


def test_raster_counts_the_surface_and_keeps_the_axes_x_y_z():
    found = plate_raster(PlateDesign(2, 1.2), (17, 17, 9))
    mask = found.mask.reshape(17, 17, 9)
    assert mask[8, 8].all() and mask[0, 8, 0] and mask[16, 8, 2] and not mask[16, 8, 3]
    coordinates = found.coordinates.reshape(17, 17, 9, 3)
    assert coordinates[16, 8, 2].tolist() == [2.0, 0.0, 0.25]
    # Two holes lie on the x axis, none on the y axis; x = 1.25 is a node.
    assert not mask[13, 8, 0] and mask[8, 13, 0]


@pytest.mark.parametrize(
    ("holes", "position", "message"),
    [
        (0, 1.2, "at least one hole"),
        (3, 1.9, "between 0.2 and 1.8 m, got 1.9"),
        (12, 0.7, "12 holes of radius 0.2 m overlap at 0.7 m"),
        (2, float("nan"), "between 0.2 and 1.8 m"),
    ],
)
def test_designs_that_are_refused(holes, position, message):
    with pytest.raises(ValueError, match=message):
        PlateDesign(holes, position)


def test_points_that_are_refused():
    with pytest.raises(ValueError, match="columns x, y and z"):
        plate_distance(PlateDesign(2, 1.2), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="not a finite number"):
        plate_distance(PlateDesign(2, 1.2), np.full((1, 3), np.nan))
