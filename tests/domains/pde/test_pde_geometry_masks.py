"""Grids, drawn masks and meshes."""

import meshio
import numpy as np
import pytest

from domains.pde.geometry.masks import from_mask
from domains.pde.geometry.mesh import from_mesh, read_points
from domains.pde.geometry.plate import PlateDesign
from domains.pde.geometry.raster import bounding_square, grid, plate_raster, raster
from domains.pde.geometry.shape import from_polygon
from domains.pde.geometry.shapes import disc, shape


def drawn(name: str, pixels: int) -> np.ndarray:
    """The shape of that name as an image, row 0 at the top."""
    centres = (np.arange(pixels) + 0.5) / pixels
    y, x = np.meshgrid(centres[::-1], centres, indexing="ij")
    return shape(name).inside(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(pixels, pixels)


def test_grid_is_in_c_order_and_ends_on_the_corners():
    nodes = grid(((0.0, 2.0, -1.0), (1.0, 4.0, 1.0)), (3, 2, 5)).reshape(3, 2, 5, 3)
    assert nodes[1, 1, 4].tolist() == [0.5, 4.0, 1.0]
    assert nodes[2, 0, 1].tolist() == [1.0, 2.0, -0.5]


def test_raster_has_the_columns_y_x():
    found = raster(shape("notched_triangle"), (21, 11))
    assert found.grid_shape == (21, 11)
    coordinates = found.coordinates.reshape(21, 11, 2)
    assert coordinates[4, 10].tolist() == [0.2, 1.0]
    mask = found.mask.reshape(21, 11)
    # Low and right is inside, high and left is not: a swap of axes would turn this round.
    assert mask[1, 8] and not mask[16, 1]
    np.testing.assert_allclose(
        found.distance, shape("notched_triangle").distance(found.coordinates[:, ::-1]), atol=1e-7
    )
    assert found.distance.dtype == np.float32
    np.testing.assert_array_equal(raster(shape("square"), (5, 5)).mask.reshape(5, 5)[1:-1, 1:-1], True)
    assert raster(shape("square"), (5, 5)).mask.sum() == 9


def test_bounding_square():
    square = bounding_square(from_polygon([(0, 0), (4, 0), (4, 2)]), margin=0.5)
    assert square == ((-0.5, -1.5), (4.5, 3.5))


@pytest.mark.parametrize("name", ["circle", "l_shape", "star:3", "ellipse:1", "triangle"])
def test_a_drawn_mask_gives_the_shape_back_within_a_pixel(name):
    pixels = 64
    points = np.random.default_rng(0).uniform(0, 1, (3000, 2))
    exact = shape(name).distance(points)
    near = np.abs(exact) < 0.1
    error = (from_mask(drawn(name, pixels)).distance(points) - exact)[near] * pixels
    assert np.sqrt(np.mean(error**2)) < 0.25
    assert np.abs(error).max() < (1.0 if name == "triangle" else 0.5)


def test_a_rectangle_on_pixels_is_exact_at_its_sides():
    image = np.zeros((8, 16), dtype=bool)
    image[1:5, 4:12] = True
    found = from_mask(image, ((0.0, 0.0), (4.0, 2.0)))
    # Rows count from the top: 1 to 5 of 8 are y = 0.75 to 1.75.
    assert found.bounds == ((1.0, 0.75), (3.0, 1.75))
    points = np.array([[2.0, 0.75], [1.0, 1.25], [2.0, 1.625], [1.25, 1.25], [2.0, 0.25]])
    assert found.distance(points) == pytest.approx([0.0, 0.0, 0.125, 0.25, -0.5])
    lower = from_mask(image, ((0.0, 0.0), (4.0, 2.0)), origin="lower")
    assert lower.bounds == ((1.0, 0.25), (3.0, 1.25))
    # The outline cuts the corners' pixels.
    assert np.abs(found.distance(found.boundary(50))).max() < 0.05 * 0.25


def test_a_mask_ends_at_the_edge_of_its_image():
    full = from_mask(np.ones((10, 10), dtype=bool))
    assert full.distance(np.array([[0.0, 0.5], [0.5, 0.5], [1.1, 0.5], [2.0, 0.5]])) == pytest.approx(
        [0.0, 0.45, -0.1, -1.0]
    )
    with pytest.raises(ValueError, match="no constructive description"):
        full.csg()


def test_masks_that_are_refused():
    with pytest.raises(ValueError, match="the mask is empty: no pixel is inside"):
        from_mask(np.zeros((4, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"\(height, width\) of bool, got \(4, 4\) of uint8"):
        from_mask(np.ones((4, 4), dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"pixels must be square: .*; pad or crop the picture to the proportions of the box"
    ):
        from_mask(np.ones((4, 8), dtype=bool))
    with pytest.raises(ValueError, match="lower and an upper corner"):
        from_mask(np.ones((4, 4), dtype=bool), ((1.0, 1.0), (0.0, 0.0)))


def test_grids_that_are_refused():
    with pytest.raises(ValueError, match="no node of the 5 x 5 grid"):
        raster(disc((0.6, 0.6), 0.05), (5, 5))
    with pytest.raises(ValueError, match="no node of the grid"):
        plate_raster(PlateDesign(2, 1.2), (2, 2, 2))
    with pytest.raises(ValueError, match="at least 2 nodes"):
        grid(((0.0,), (1.0,)), (1,))
    with pytest.raises(ValueError, match="as many axes"):
        grid(((0.0, 0.0), (1.0, 1.0)), (2, 2, 2))


def ring_mesh(inner: float, outer: float, around: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) and quadrilaterals of a ring between two regular polygons."""
    angle = 2 * np.pi * np.arange(around) / around
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    points = np.concatenate([radius * circle for radius in (inner, (inner + outer) / 2, outer)])
    i, j = np.arange(around), (np.arange(around) + 1) % around
    quads = np.concatenate([np.stack([i + k, j + k, j + k + around, i + k + around], axis=1) for k in (0, around)])
    return points, quads


@pytest.mark.parametrize("suffix", ["vtu", "vtk", "msh"])
@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
def test_a_ring_of_quadrilaterals_keeps_its_hole(tmp_path, suffix):
    points, quads = ring_mesh(0.5, 1.0)
    meshio.Mesh(points, [("quad", quads)]).write(tmp_path / f"ring.{suffix}")
    mesh = read_points(tmp_path / f"ring.{suffix}")
    assert mesh.name == "ring" and mesh.points.shape == (144, 2)
    np.testing.assert_array_equal(mesh.cells["quad"], quads)
    found = from_mesh(mesh)
    expected = from_polygon(points[96:, :2], holes=[points[:48, :2]])
    asked = np.random.default_rng(0).uniform(-1.1, 1.1, (500, 2))
    np.testing.assert_allclose(found.distance(asked), expected.distance(asked), atol=1e-12)
    clear = np.abs(found.distance(asked)) > 1e-5
    np.testing.assert_array_equal(found.csg().inside(asked[clear].astype(np.float32)), found.inside(asked[clear]))


def test_delaunay_triangles_with_doubled_points(tmp_path):
    from scipy.spatial import Delaunay

    points = np.random.default_rng(1).uniform(0, 1, (60, 2))
    triangles = Delaunay(points).simplices
    # Every triangle with points of its own: equal points must count as one.
    loose = points[triangles].reshape(-1, 2)
    meshio.Mesh(
        np.column_stack([loose, np.zeros(len(loose))]), [("triangle", np.arange(len(loose)).reshape(-1, 3))]
    ).write(tmp_path / "cloud.vtu")
    found = from_mesh(tmp_path / "cloud.vtu")
    asked = np.random.default_rng(2).uniform(-0.1, 1.1, (400, 2))
    np.testing.assert_array_equal(found.inside(asked), Delaunay(points).find_simplex(asked) >= 0)


def test_closed_lines_enclose_a_shape(tmp_path):
    square = np.array([(0, 0, 0), (2, 0, 0), (2, 2, 0), (0, 2, 0)], dtype=float)
    sides = np.array([(0, 1), (1, 2), (2, 3), (3, 0)])
    meshio.Mesh(square, [("line", sides)]).write(tmp_path / "box.vtu")
    assert from_mesh(tmp_path / "box.vtu").distance(np.array([[1.0, 0.5]])) == pytest.approx([0.5])
    meshio.Mesh(square, [("line", sides[:3])]).write(tmp_path / "open.vtu")
    with pytest.raises(ValueError, match=r"open: the boundary does not close at \(0, 0\)"):
        from_mesh(tmp_path / "open.vtu")


def test_meshes_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_points(tmp_path / "missing.vtu")
    (tmp_path / "broken.vtu").write_text("not a mesh")
    with pytest.raises(ValueError, match=r"broken\.vtu: cannot be read as a mesh"):
        read_points(tmp_path / "broken.vtu")
    (tmp_path / "table.unknown").write_text("1,2")
    with pytest.raises(ValueError, match=r"table\.unknown: cannot be read as a mesh"):
        read_points(tmp_path / "table.unknown")
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0.2, 0.7, 0)], dtype=float)
    cases = {
        "points": (corners, [("vertex", np.array([[0], [1]]))], "no triangles, quadrilaterals or lines, only: vertex"),
        "solid": (corners + np.arange(5)[:, None], [("triangle", np.array([(0, 1, 2)]))], "not planar"),
        "fan": (corners, [("triangle", np.array([(0, 1, 2), (0, 1, 3), (0, 1, 4)]))], "3 cells share the edge"),
        "double": (corners, [("triangle", np.array([(0, 1, 2), (0, 1, 2)]))], "no boundary"),
        "nan": (corners * [1, np.nan, 1], [("triangle", np.array([(0, 1, 2)]))], "point 0 is not a finite number"),
        "index": (corners, [("triangle", np.array([(0, 1, 9)]))], r"a triangle has a point that is not there \(of 5\)"),
    }
    for name, (points, cells, message) in cases.items():
        meshio.Mesh(points, cells).write(tmp_path / f"{name}.vtk")
        with pytest.raises(ValueError, match=message):
            from_mesh(tmp_path / f"{name}.vtk")
