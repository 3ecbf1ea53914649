"""The parts of the PDE page that need no browser: requests, tables, plots, units."""

import json
import subprocess
import sys

import numpy as np
import pytest

from apps.pde.page_geometry import corners
from apps.pde.page_input import Asked, usual_field
from apps.pde.page_points import typed_points
from apps.pde.page_results import duration_words, product
from domains.pde.asking.questions import KEYS, read_request
from domains.pde.facts import usual_description
from ui.field_plots import Curve, between_nodes, field_map, level_surface, limits, profile


def test_opening_the_page_imports_neither_torch_nor_jax():
    script = "import sys, apps.pde.page; sys.exit(any(name in sys.modules for name in ('torch', 'jax', 'h5py')))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_parameter_file_of_the_page_is_one_that_predict_reads(tmp_path):
    asked = Asked({"task": "darcy/circle", "geometry": {"shape": "circle"}, "field": "field.npy"}, {"field.npy": b"x"})
    path = asked.spooled(tmp_path)
    assert read_request(path) == dict(asked.request)
    assert (path.parent / "field.npy").read_bytes() == b"x" and set(asked.request) <= set(KEYS)
    assert asked.spooled(tmp_path) == path
    other = Asked(asked.request, {"field.npy": b"y"})
    assert other.signature != asked.signature and other.spooled(tmp_path) != path
    assert json.loads(asked.entries()["request.json"]) == dict(asked.request)


def test_rows_of_the_tables_are_whole_or_named():
    rows = [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": None, "y": None}, {"x": 0.5, "y": 1}]
    assert corners(rows) == [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]
    with pytest.raises(ValueError, match="Row 2 of the table lacks y"):
        corners([rows[0], {"x": 1, "y": float("nan")}])
    with pytest.raises(ValueError, match="at least three corners, the table has 2"):
        corners(rows[:3])
    assert typed_points([{"t": 0.1, "x": 0.5}, {}], ["t", "x"]) == [[0.1, 0.5]]
    with pytest.raises(ValueError, match="Row 1 of the table of points lacks x"):
        typed_points([{"t": 0.1}], ["t", "x"])


def test_fields_are_drawn_as_the_training_data_were():
    about = usual_description("darcy")
    assert usual_field("darcy/circle", about)["kernel"] == "squared_exponential"
    said = {"kernel": "spherical", "range": 0.25, "terms": 100, "standard_deviation": 0.5}
    about.attributes["log_conductivity"] = said
    found = usual_field("darcy/circle", about)
    assert (found["kernel"], found["length"], found["terms"], found["deviation"]) == ("spherical", 0.25, 100, 0.5)


def test_units_and_times_in_words():
    assert product(["K", "m", "1", "m", "m"]) == "K·m³" and product(["1", "1"]) == ""
    assert duration_words(0.0123) == "12.3 ms" and duration_words(75.4) == "75.4 s"


def test_a_map_has_titles_units_limits_and_leaves_out_what_is_outside():
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    assert limits([values, np.array([np.nan, 9.0])]) == (1.0, 9.0) and limits([np.array([np.nan])]) == (0.0, 1.0)
    figure = field_map(
        values,
        np.arange(3),
        np.arange(2),
        names=("x [m]", "y [m]"),
        quantity="T [K]",
        bounds=(0, 9),
        ink="#000000",
        outline=[np.array([[0, 0], [1, 0], [1, 1]])],
    )
    heat, ring = figure.data
    assert (heat.zmin, heat.zmax, heat.colorbar.title.text) == (0, 9, "T [K]")
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("x [m]", "y [m]")
    assert len(ring.x) == 4 and ring.x[-1] == ring.x[0]
    with pytest.raises(ValueError, match="2 rows and 2 columns"):
        field_map(values, np.arange(2), np.arange(2), names=("", ""), quantity="", bounds=(0, 1), ink="")


def test_curves_are_told_apart_by_dashes_and_the_band_lies_around():
    place = np.linspace(0, 1, 5)
    figure = profile(
        place,
        [Curve("Operator", place), Curve("Solver", place**2)],
        names=("x", "u"),
        ink="#000000",
        band=(place - 1, place + 1),
        band_name="90% band",
    )
    low, high, first, second = figure.data
    assert first.line.dash != second.line.dash and (high.name, high.fill) == ("90% band", "tonexty")
    assert np.allclose(np.array(high.y) - np.array(low.y), 2)
    with pytest.raises(ValueError, match="at most 3 curves"):
        profile(place, [Curve("a", place)] * 4, names=("", ""), ink="")


def test_the_surface_of_a_ball_has_its_area_and_a_box_ends_at_the_grid():
    axes = [np.linspace(-1, 1, 41)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    corners, triangles = level_surface(0.8 - np.sqrt(x**2 + y**2 + z**2), axes)
    assert np.allclose(np.linalg.norm(corners, axis=1), 0.8, atol=2e-3)
    first, second, third = (corners[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2
    assert area == pytest.approx(4 * np.pi * 0.8**2, rel=0.01)
    corners, _ = level_surface(np.ones((5, 5, 5)), [np.linspace(0, 1, 5)] * 3)
    assert corners.min() == pytest.approx(0, abs=1e-3) and corners.max() == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="no solid"):
        level_surface(-np.ones((3, 3, 3)), axes)


def test_values_between_nodes_are_linear_and_do_not_see_the_outside():
    axes = [np.linspace(0, 1, 5), np.linspace(0, 2, 5), np.linspace(-1, 0, 3)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = x < 0.8
    values = np.where(inside, 1 + 2 * x - y + 3 * z, np.nan)
    places = np.array([[0.1, 0.3, -0.4], [0.6, 1.9, -0.9]])
    expected = 1 + 2 * places[:, 0] - places[:, 1] + 3 * places[:, 2]
    assert np.allclose(between_nodes(values, inside, axes, places), expected)
    beyond = between_nodes(values, inside, axes, np.array([[1.0, 0.5, 0.0]]))
    assert beyond == pytest.approx(1 + 2 * 0.75 - 0.5)
