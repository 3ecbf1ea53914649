"""Planar shapes: signed distances against brute force, DeepXDE and closed forms; what is refused."""

import numpy as np
import pytest

from domains.pde.deepxde import import_deepxde
from domains.pde.geometry import polygons
from domains.pde.geometry.families import random_ellipse, random_star
from domains.pde.geometry.shape import from_polygon
from domains.pde.geometry.shapes import SHAPES, disc, shape
from polyhead.registry import UnknownName

NAMES = (*SHAPES, "star:0", "star:3", "ellipse:0", "ellipse:1")
AREAS = {
    "square": 1.0,
    "circle": np.pi / 4,
    "triangle": np.sqrt(3) / 4,
    "right_triangle": 0.5,
    "l_shape": 0.75,
    "annulus": np.pi * (0.25 - 0.04),
    "square_with_cross": 1 - (2 * 0.5 * 0.12 - 0.12**2),
    "notched_triangle": np.sqrt(3) / 4 - 0.06 * 0.4,
}


def random_points(count: int = 1500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.2, 1.2, (count, 2))


@pytest.mark.parametrize("name", NAMES)
def test_distance_equals_that_to_a_densely_sampled_boundary(name):
    found = shape(name)
    points = random_points()
    boundary = found.boundary(8000)
    nearest = np.concatenate(
        [np.linalg.norm(part[:, None] - boundary, axis=-1).min(axis=1) for part in np.array_split(points, 15)]
    )
    assert boundary.shape == (8000, 2)
    assert np.abs(found.distance(boundary)).max() < 2e-5
    assert np.abs(np.abs(found.distance(points)) - nearest).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
def test_constructive_geometry_agrees_on_what_is_inside(name):
    found = shape(name)
    points = random_points(4000, seed=1)
    distance = found.distance(points)
    clear = np.abs(distance) > 1e-4
    assert clear.sum() > 3900
    np.testing.assert_array_equal(found.csg().inside(points[clear].astype(np.float32)), distance[clear] > 0)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_tight_and_within_the_unit_square(name):
    found = shape(name)
    boundary = found.boundary(4001)
    np.testing.assert_allclose(boundary.min(axis=0), found.bounds[0], atol=2e-3)
    np.testing.assert_allclose(boundary.max(axis=0), found.bounds[1], atol=2e-3)
    assert np.min(found.bounds) >= 0 and np.max(found.bounds) <= 1


@pytest.mark.parametrize("name", AREAS)
def test_areas(name):
    nodes = (np.arange(400) + 0.5) / 400
    y, x = np.meshgrid(nodes, nodes, indexing="ij")
    inside = shape(name).inside(np.stack([x.ravel(), y.ravel()], axis=1))
    assert inside.mean() == pytest.approx(AREAS[name], abs=2.5e-3)


def test_closed_forms():
    assert disc((1.0, 2.0), 3.0).distance(np.array([[1.0, 2.0], [1.0, 6.0]])) == pytest.approx([3.0, -1.0])
    triangle = shape("triangle")
    centre = np.array([[0.5, np.sqrt(3) / 6]])
    assert triangle.distance(centre) == pytest.approx([np.sqrt(3) / 6])
    # Beside the re-entrant corner of the L, where a minimum of half planes would be wrong.
    inner = np.array([[0.5 - 0.03, 0.5 - 0.04], [0.75, 0.75], [2.0, 1.0]])
    assert shape("l_shape").distance(inner) == pytest.approx([0.05, -0.25, -np.hypot(1.0, 0.5)])
    assert shape("annulus").distance(np.array([[0.5, 0.5], [0.5, 0.85]])) == pytest.approx([-0.2, 0.15])


def test_points_are_x_then_y():
    right = shape("notched_triangle")
    assert right.inside(np.array([[0.9, 0.1]])).all()
    assert not right.inside(np.array([[0.1, 0.9]])).any()


def test_the_boundary_is_not_inside():
    for name in ("square", "triangle", "circle"):
        assert not shape(name).inside(shape(name).boundary(97)).any()


def test_ellipse_on_its_axes():
    found = random_ellipse(4)
    # The outline starts at the end of the major axis.
    tip = found.boundary(4)[0] - 0.5
    major = np.hypot(*tip)
    assert found.distance(0.5 + np.outer([0.9, 1.0, 1.25], tip)) == pytest.approx(
        [0.1 * major, 0.0, -0.25 * major], abs=1e-9
    )


def test_families_follow_their_seed():
    points = random_points(50)
    np.testing.assert_array_equal(random_star(5).distance(points), random_star(5).distance(points))
    assert np.abs(random_star(5).distance(points) - random_star(6).distance(points)).max() > 0.01
    for seed in range(20):
        radius = np.hypot(*(random_star(seed).boundary(300) - 0.5).T)
        assert radius.min() > 0.08 and radius.max() <= 0.48
        assert abs(random_star(seed).distance(np.array([[0.5, 0.5]]))[0]) > 0.05


def test_polygon_with_holes_and_either_orientation():
    corners = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    hole = [(1, 1), (1, 2), (2, 2), (2, 1)]
    points = np.array([[1.5, 1.5], [3.0, 3.0], [1.5, 2.25], [-1.0, 2.0]])
    expected = [-0.5, 1.0, 0.25, -1.0]
    assert from_polygon(corners, holes=[hole]).distance(points) == pytest.approx(expected)
    closed = np.concatenate([corners[::-1], corners[-1:]])
    assert from_polygon(closed, holes=[hole[::-1]]).distance(points) == pytest.approx(expected)
    assert polygons.area(corners) == 16 and polygons.area(corners[::-1]) == -16


def test_many_edges_of_unequal_length():
    # One corner of a square rounded by 90 short edges: the long sides keep the nearest midpoints from deciding.
    angle = np.linspace(0, np.pi / 2, 91)
    rounded = np.concatenate([[(0, 0), (1, 0)], 0.9 + 0.1 * np.stack([np.cos(angle), np.sin(angle)], axis=1), [(0, 1)]])
    points = random_points(300, seed=4)
    by_edge = np.stack(
        [
            np.linalg.norm(
                points - a - np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)[:, None] * (b - a), axis=1
            )
            for a, b in zip(rounded, np.roll(rounded, -1, axis=0), strict=True)
        ]
    ).min(axis=0)
    corner = (points > 0.9).all(axis=1)
    inside = np.where(corner, np.hypot(*(points - 0.9).T) < 0.1, ((points > 0) & (points < 1)).all(axis=1))
    found = from_polygon(rounded).distance(points)
    np.testing.assert_allclose(np.abs(found), by_edge, atol=1e-13)
    clear = by_edge > 1e-4
    np.testing.assert_array_equal(found[clear] > 0, inside[clear])
    assert from_polygon(rounded).distance(np.empty((0, 2))).shape == (0,)


def test_invariance_under_rotation():
    star = random_star(2).boundary(60)
    turn = np.array([[np.cos(1.1), -np.sin(1.1)], [np.sin(1.1), np.cos(1.1)]])
    points = random_points(200, seed=3)
    np.testing.assert_allclose(
        from_polygon(star @ turn.T).distance(points @ turn.T), from_polygon(star).distance(points), atol=1e-12
    )


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([(0, 0), (1, 1), (1, 0), (0, 1.5)], "intersects itself: the edge from"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], "no area"),
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], "intersects itself"),
        ([(0, 0), (2, 0), (1, 0), (1, 1)], "intersects itself"),
        ([(0, 0), (2, 0), (1, 1), (2, 2), (0, 2), (1, 1)], "there twice"),
        ([(0, 0), (1, 0), (2, 0)], "no area"),
        ([(0, 0), (1, 0)], "at least 3 vertices"),
        ([(0, 0), (1, 0), (np.nan, 1)], "vertex 2 is not a finite number"),
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], r"shape \(k, 2\)"),
    ],
)
def test_polygons_that_are_refused(vertices, message):
    with pytest.raises(ValueError, match=message):
        from_polygon(vertices)


@pytest.mark.parametrize(
    "holes",
    [
        [[(3, 3), (5, 3), (3, 5)]],
        [[(1, 1), (2, 1), (1, 2)], [(1, 1), (2, 1), (2, 2)]],
        [[(1, 1), (2, 1), (1, 2)], [(0.5, 0.5), (3, 0.5), (0.5, 3)]],
    ],
)
def test_holes_that_are_refused(holes):
    with pytest.raises(ValueError, match=r"hole \d is not inside the polygon, or it meets another hole"):
        from_polygon([(0, 0), (4, 0), (4, 4), (0, 4)], holes=holes)


def test_names_that_are_refused():
    with pytest.raises(UnknownName, match="unknown shape 'sqare'; known: square"):
        shape("sqare")
    with pytest.raises(ValueError, match="add a seed, for example star:0"):
        shape("star")
    with pytest.raises(ValueError, match="must be a whole number"):
        shape("star:x")
    with pytest.raises(ValueError, match="takes no seed"):
        shape("square:1")
    with pytest.raises(ValueError, match="columns x and y"):
        shape("square").distance(np.zeros(2))
    with pytest.raises(ValueError, match="not a finite number"):
        shape("square").distance(np.array([[0.0, np.inf]]))
    with pytest.raises(ValueError, match="radius must be positive"):
        disc((0, 0), -1)
    with pytest.raises(ValueError, match="must not be negative"):
        random_star(-1)


def test_deepxde_leaves_torch_as_it_was(capsys):
    import torch

    assert import_deepxde().backend.backend_name == "pytorch"
    assert torch.get_default_device().type == "cpu"
    assert capsys.readouterr() == ("", "")


def test_deepxde_on_another_backend_is_one_line(monkeypatch):
    monkeypatch.setattr(import_deepxde().backend, "backend_name", "jax")
    with pytest.raises(ValueError, match="runs on its backend 'jax' here"):
        import_deepxde()
