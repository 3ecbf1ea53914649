"""VTK and VTU files read back by meshio: points, cells and values; npz with units."""

import meshio
import numpy as np
import pytest

from domains.pde.data.exporting import write_npz, write_vtk
from polyhead.application import RESEARCH_USE


def grid(*lengths: int) -> np.ndarray:
    axes = [np.linspace(0, k + 1, length) for k, length in enumerate(lengths)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(lengths))


def area(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Signed areas of quads in the plane, by the shoelace formula."""
    x, y = points[cells][..., 0], points[cells][..., 1]
    return 0.5 * (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)


def volume(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Signed volumes of hexahedra with straight edges: the triple product of the edges at the first corner."""
    corner = points[cells]
    edges = corner[:, (1, 3, 4)] - corner[:, :1]
    return np.linalg.det(edges)


@pytest.mark.parametrize("suffix", ["vtu", "vtk"])
def test_plane_grid(tmp_path, suffix):
    coordinates = grid(3, 4)
    values = np.random.default_rng(0).normal(size=12).astype(np.float32)
    path = write_vtk(tmp_path / f"field.{suffix}", coordinates, (3, 4), {"u": values}, axes=("y", "x"))
    mesh = meshio.read(path)
    # The first coordinate is y: ParaView shows it upwards.
    np.testing.assert_allclose(mesh.points, np.pad(coordinates[:, ::-1], ((0, 0), (0, 1))))
    np.testing.assert_array_equal(mesh.point_data["u"], values)
    (cells,) = mesh.cells
    assert cells.type == "quad" and len(cells.data) == 6
    np.testing.assert_allclose(area(mesh.points, cells.data), 1 / 2 * 2 / 3)


@pytest.mark.parametrize("axes", [(), ("x", "y"), ("t", "x")])
def test_quads_turn_counterclockwise_in_any_order(tmp_path, axes):
    mesh = meshio.read(write_vtk(tmp_path / "a.vtu", grid(3, 4), (3, 4), {}, axes=axes))
    np.testing.assert_allclose(mesh.points[:, :2], grid(3, 4))
    np.testing.assert_allclose(area(mesh.points, mesh.cells[0].data), 1 / 2 * 2 / 3)


@pytest.mark.parametrize("axes", [("x", "y", "z"), ("z", "y", "x")])
def test_solid_grid_has_positive_cells(tmp_path, axes):
    coordinates = grid(3, 4, 5)
    values = coordinates @ [1.0, 10.0, 100.0]
    flux = np.stack([values, -values, 0 * values], axis=1)
    path = write_vtk(tmp_path / "plate.vtu", coordinates, (3, 4, 5), {"T": values, "flux": flux}, axes=axes)
    mesh = meshio.read(path)
    assert mesh.cells[0].type == "hexahedron"
    np.testing.assert_allclose(volume(mesh.points, mesh.cells[0].data), 1 / 2 * 2 / 3 * 3 / 4)
    assert len(mesh.cells[0].data) == 2 * 3 * 4
    np.testing.assert_array_equal(mesh.point_data["T"], values)
    np.testing.assert_array_equal(mesh.point_data["flux"], flux)
    weights = {"x": 1.0, "y": 10.0, "z": 100.0} if axes[0] == "x" else {"x": 100.0, "y": 10.0, "z": 1.0}
    np.testing.assert_allclose(mesh.points @ list(weights.values()), values)


def test_cells_outside_are_left_out(tmp_path):
    mask = np.ones((3, 4), bool)
    mask[0, 0] = mask[2, 3] = False
    path = write_vtk(tmp_path / "a.vtu", grid(3, 4), (3, 4), {"u": np.arange(12.0)}, mask=mask.ravel())
    mesh = meshio.read(path)
    used = {tuple(sorted(cell)) for cell in mesh.cells[0].data.tolist()}
    corners = lambda i, j: (4 * i + j, 4 * i + j + 1, 4 * i + j + 4, 4 * i + j + 5)  # noqa: E731
    assert used == {corners(i, j) for i in range(2) for j in range(3)} - {corners(0, 0), corners(1, 2)}
    np.testing.assert_array_equal(mesh.point_data["inside"], mask.ravel())
    assert len(mesh.points) == 12


def test_scattered_points_and_own_cells(tmp_path):
    points = np.random.default_rng(0).uniform(size=(6, 2))
    mesh = meshio.read(write_vtk(tmp_path / "a.vtu", points, (6,), {"u": np.arange(6.0)}))
    assert mesh.cells[0].type == "vertex" and mesh.cells[0].data.ravel().tolist() == list(range(6))
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    mesh = meshio.read(write_vtk(tmp_path / "b.vtk", points, (6,), {}, cells={"triangle": triangles}))
    np.testing.assert_array_equal(mesh.cells_dict["triangle"], triangles)
    line = meshio.read(write_vtk(tmp_path / "c.vtu", points[:, :1], (6,), {"u": np.arange(6.0)}))
    assert line.cells[0].data.tolist() == [[k, k + 1] for k in range(5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "a.vti"}, "written as .vtu or .vtk, not .vti"),
        ({"grid_shape": (5, 5)}, "has not 12 points"),
        ({"fields": {"u": np.zeros(5)}}, r"u must have shape \(12,\)"),
        ({"fields": {"u": np.full(12, np.nan)}}, "u is not finite at point 0"),
        ({"mask": np.ones((3, 4), bool)}, r"mask must have shape \(12,\)"),
        ({"axes": ("x",)}, "1 names for 2 coordinates"),
        ({"cells": {"line": np.array([[0, 12]])}}, "indices in"),
        ({"coordinates": np.zeros((12, 4))}, "must be"),
    ],
)
def test_bad_fields(tmp_path, change, message):
    asked = {"path": "a.vtu", "coordinates": grid(3, 4), "grid_shape": (3, 4), "fields": {}, **change}
    with pytest.raises(ValueError, match=message):
        write_vtk(tmp_path / asked.pop("path"), **asked)
    assert not list(tmp_path.iterdir())


def test_npz(tmp_path):
    values = np.arange(5.0)
    path = write_npz(tmp_path / "new" / "a.npz", {"T": values}, units={"T": "K"})
    with np.load(path) as file:
        np.testing.assert_array_equal(file["T"], values)
        assert str(file["unit_T"]) == "K" and str(file["use"]) == RESEARCH_USE
    for arrays, units, message in (
        ({"use": values}, {}, "'use' is taken"),
        ({"T": values}, {"u": "m"}, "a unit for 'u'"),
        ({"T": np.array([object()])}, {}, "holds objects"),
    ):
        with pytest.raises(ValueError, match=message):
            write_npz(tmp_path / "b.npz", arrays, units=units)
