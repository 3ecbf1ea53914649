"""The PDE page in a simulated browser: input, field, solver, points, warnings, folder jobs."""

import io
import json
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pde_runs import make_run
from PIL import Image
from streamlit.testing.v1 import AppTest

from domains.pde.uncertainty.bands import Calibration, ScaleMap
from polyhead.application import RESEARCH_USE
from polyhead.runs.identity import CALIBRATION_FILE
from ui.jobs import list_jobs


def page():
    from apps.pde.page import render

    render()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with data/ and runs/ of the three problems."""
    folder = tmp_path_factory.mktemp("pde")
    for problem in ("fisher", "darcy", "plate"):
        make_run(problem, folder / "data" / problem, folder / "runs" / problem)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, made):
    """A function that opens the page with the run of one problem."""
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setenv("POLYHEAD_DATA_ROOTS", f"{tmp_path}:{made}")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))

    def opened(problem: str, calibrated: str = "") -> AppTest:
        run = tmp_path / "runs" / problem
        shutil.copytree(made / "runs" / problem, run, ignore=shutil.ignore_patterns("snapshots"))
        if calibrated:
            scale = ScaleMap((0.0, 0.0), (1.0, 1.0), (1, 1), (0.002,))
            known = Calibration(calibrated, alpha=0.1, points=1.0, rows=20, quantile=1.5, scale=scale)
            contents = {"tasks": {calibrated: known.to_json()}}
            (run / CALIBRATION_FILE).write_text(json.dumps(contents))
        app = AppTest.from_function(page, default_timeout=60).run()
        assert not app.exception
        return app

    return opened


def text(app) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "html", "subheader", "code")
    return "\n".join(str(getattr(entry, "value", "") or entry.proto) for kind in kinds for entry in app.get(kind))


def facts(app) -> dict[str, str]:
    """The numbers beside the field."""
    for entry in app.get("html"):
        if "Time of the operator" in entry.proto.body:
            cells = [cell.text or "" for cell in ElementTree.fromstring(entry.proto.body)]
            return dict(zip(cells[::2], cells[1::2], strict=True))
    raise AssertionError("no field is shown")


def table(app, caption: str) -> list[dict[str, str]]:
    for entry in app.get("html"):
        if f"<caption>{caption}" in entry.proto.body:
            tree = ElementTree.fromstring(entry.proto.body)
            names = [cell.text for cell in tree.iter("th")]
            rows = [[cell.text or "" for cell in row.iter("td")] for row in tree.iter("tr")]
            return [dict(zip(names, row, strict=True)) for row in rows if row]
    raise AssertionError(f"no table {caption!r}: {text(app)}")


def figures(app) -> dict[str, dict]:
    """The plots by their words for readers of the screen."""
    return {entry.proto.alt: json.loads(entry.proto.spec) for entry in app.get("plotly_chart")}


def test_without_a_run_the_page_explains_the_demonstration_and_can_start_it(tmp_path, monkeypatch):
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setattr("apps.page_demo.polyhead", lambda *a: [sys.executable, "-c", "print('demo')"])
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception
    assert "polyhead demo pde" in text(app) and RESEARCH_USE in text(app)
    app.button(key="start-demo").click().run()
    (job,) = list_jobs(tmp_path / "runs" / "jobs" / "pde")
    assert job.result == tmp_path / "demo" / "pde" and job.wait(20).state == "done"


def test_a_reaction_is_answered_at_once_and_compared_with_the_solver_on_request(place):
    app = place("fisher")
    assert RESEARCH_USE in text(app) and "mt-deeponet, preset tiny-fisher (fisher)" in text(app)
    before = facts(app)
    assert before["Points"] == "1,280 inside of 1,280" and "Time of the solver" not in before
    app.button(key="solve").click().run()
    assert not app.exception
    after = facts(app)
    assert after["Relative L2 error"].endswith("% against the solver") and "s" in after["Time of the solver"]
    drawn = figures(app)
    (operator,) = [spec for words, spec in drawn.items() if words.startswith("Operator: map")]
    (solver,) = [spec for words, spec in drawn.items() if words.startswith("Solver: map")]
    assert [operator["data"][0][end] for end in ("zmin", "zmax")] == [
        solver["data"][0][end] for end in ("zmin", "zmax")
    ]
    assert operator["layout"]["xaxis"]["title"]["text"] == "x [m]"
    assert operator["layout"]["yaxis"]["title"]["text"] == "t [s]"
    app.slider(key="parameter-fisher/fisher-rate").set_value(0.2).run()
    assert "Time of the solver" not in facts(app)


def test_only_the_source_term_that_has_a_beta_asks_for_it(place):
    app = place("fisher")
    names = [slider.label for slider in app.slider]
    assert "Rate [1/s]" in names and "Beta" not in names
    app.selectbox(key="task").set_value("fisher/zfk").run()
    assert "Beta" in [slider.label for slider in app.slider]
    assert not app.exception


def test_an_input_outside_of_the_training_range_is_said_in_plain_words(place):
    app = place("fisher")
    assert not app.warning
    slider = app.slider(key="parameter-fisher/fisher-rate")
    slider.set_value(slider.max).run()
    (warning,) = app.warning
    assert warning.value.startswith("Rate = ") and "outside the training range" in warning.value


def test_an_uploaded_initial_value_is_what_the_operator_is_asked(place):
    app = place("fisher")
    app.button_group(key="function-fisher/fisher").set_value("Upload").run()
    assert "Upload a file with the initial value" in text(app)
    values = np.linspace(3, 6, 64)
    app.file_uploader(key="function-file-fisher/fisher").upload("u.csv", "\n".join(map(str, values)).encode()).run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    (given,) = [spec for words, spec in figures(app).items() if words.startswith("Input, initial value: from 3 to 6")]
    assert given["data"][0]["name"] == "initial value"
    app.file_uploader(key="function-file-fisher/fisher").set_value(None)
    app.file_uploader(key="function-file-fisher/fisher").upload("u.csv", b"1\n2\nnan\n").run()
    assert [error.value for error in app.error] == [
        "Initial value holds NaN or inf, first at index 2; mend the values."
    ]


def test_a_geometry_by_name_by_seed_and_by_mask(place):
    app = place("darcy")
    assert facts(app)["Points"] == "900 inside of 1,024" and not [w for w in app.warning if "geometry" in w.value]
    app.selectbox(key="shape-darcy/square").set_value("l_shape").run()
    assert any("The geometry l shape is not the one that the task darcy/square" in w.value for w in app.warning)
    app.button_group(key="geometry-darcy/square").set_value("Random").run()
    app.number_input(key="shape-seed-darcy/square").set_value(7).run()
    assert any("star:7" in warning.value for warning in app.warning)
    app.button_group(key="geometry-darcy/square").set_value("Mask or mesh").run()
    image = np.zeros((64, 64), np.uint8)
    image[:32] = 255
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    app.file_uploader(key="geometry-file-darcy/square").upload("upper.png", stream.getvalue(), "image/png").run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    app.button(key="solve").click().run()
    (solver,) = [spec for words, spec in figures(app).items() if words.startswith("Solver: map")]
    outline = solver["data"][1]
    assert min(decoded(outline["y"])) == pytest.approx(0.5, abs=0.02)
    app.file_uploader(key="geometry-file-darcy/square").set_value(None)
    app.file_uploader(key="geometry-file-darcy/square").upload("bad.png", b"no picture", "image/png").run()
    assert "cannot be read as an image" in app.error[0].value and len(app.error) == 1


def decoded(values) -> np.ndarray:
    """The numbers of a plot, which travel as base64."""
    import base64

    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])


def test_the_default_polygon_is_answered(place):
    app = place("darcy")
    app.button_group(key="geometry-darcy/square").set_value("Polygon").run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    assert any("geometry polygon" in warning.value for warning in app.warning)
    # A house of 0.8 x 0.5 with a roof of 0.4, on 31 x 31 cells.
    inside = int(facts(app)["Points"].split()[0])
    assert inside / 31**2 == pytest.approx(0.8 * 0.5 + 0.5 * 0.8 * 0.4, rel=0.05)


def test_values_at_points_come_as_a_table(place):
    app = place("darcy")
    (row,) = table(app, "Values at the points")
    assert (row["x [m]"], row["y [m]"]) == ("0.5", "0.5") and float(row["hydraulic head [m]"]) > 0
    app.file_uploader(key="points-file-darcy").upload("p.csv", b"y,x\n0.25,0.5\n0.5,0.75\n").run()
    rows = table(app, "Values at the points")
    assert [(row["x [m]"], row["y [m]"]) for row in rows] == [("0.5", "0.25"), ("0.75", "0.5")]
    app.file_uploader(key="points-file-darcy").set_value(None)
    app.file_uploader(key="points-file-darcy").upload("p.csv", b"x,y\n0.5,7\n").run()
    (error,) = app.error
    assert error.value.startswith("1 of 1 points lie outside, first y = 7, x = 0.5")


def test_a_calibrated_run_shows_its_band(place):
    app = place("darcy", calibrated="darcy/square")
    assert facts(app)["Band"].startswith("covers the whole true field with probability 90%: ± 0.003 m")
    drawn = figures(app)
    assert any(words.startswith("Half-width of the band: map") for words in drawn)
    (lines,) = [spec for words, spec in drawn.items() if " along x [m] at " in words]
    assert [trace["name"] for trace in lines["data"] if trace.get("showlegend") is not False] == [
        "90% band",
        "Operator",
    ]
    (row,) = table(app, "Values at the points")
    assert "± (band)" in row


def test_a_plate_is_shown_as_a_solid_and_its_overlapping_holes_are_refused(place):
    app = place("plate")
    (solid,) = [spec for words, spec in figures(app).items() if "surface of the solid" in words]
    assert solid["data"][0]["type"] == "mesh3d"
    whole = decoded(solid["data"][0]["y"])
    assert (whole.min(), whole.max()) == pytest.approx((-2, 2), abs=1e-3)
    app.toggle(key="space-open").set_value(True).run()
    (solid,) = [spec for words, spec in figures(app).items() if "surface of the solid" in words]
    assert decoded(solid["data"][0]["y"]).min() == pytest.approx(0, abs=1e-4)
    app.slider(key="parameter-plate-holes").set_value(12)
    app.slider(key="parameter-plate-hole position").set_value(0.55).run()
    (error,) = app.error
    assert error.value == "12 holes of radius 0.2 m overlap at 0.55 m; give values that can be."


def test_a_folder_is_answered_by_a_job_with_the_choices_of_the_page(place, made, tmp_path, monkeypatch):
    monkeypatch.setattr("apps.folder_tab.polyhead", lambda *a: [sys.executable, "-c", "pass", *a])
    app = place("darcy")
    app.text_input(key="batch-path").set_value(str(made / "data" / "darcy")).run()
    app.toggle(key="batch-solve").set_value(True).run()
    assert "6 cases: 6 samples of data files" in text(app)
    app.button(key="start-job").click().run()
    (job,) = list_jobs(tmp_path / "runs" / "jobs" / "pde")
    asked = job.argv[3:]
    assert asked[:4] == ("pde", "predict", str(tmp_path / "runs" / "darcy"), str(made / "data" / "darcy"))
    assert asked[6:] == ("--log-json", "--split", "test", "--solve")
    assert job.wait(20).state == "done"
    app.text_input(key="batch-path").set_value(str(tmp_path / "nothing")).run()
    assert "check the spelling" in text(app)


def test_the_model_is_told_with_its_training_ranges(place):
    shown = text(place("plate"))
    assert "Trained on, Heated plate" in shown and "hole position [m] 0.9 to 1.6" in shown
