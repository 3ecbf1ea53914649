"""From what a person writes down to a field on disk: every kind of input, every refusal, and what the files hold."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from operator_toys import darcy_data, plate_data
from PIL import Image

from domains.pde.asking.cases import Asker
from domains.pde.asking.outlines import unfamiliar
from domains.pde.asking.reference import solve
from domains.pde.asking.sources import cases_from
from domains.pde.data.samples import Quantity
from domains.pde.data.store import write_data
from domains.pde.learning.training import train
from domains.pde.predicting.figures import Canvas, Panel, draw, limits, triple
from domains.pde.predicting.predict import PDEPredictor
from domains.pde.predicting.write import summarise
from domains.pde.presets import resolve
from domains.pde.uncertainty.calibrate import calibrate_run
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.path_lists import write_path_list
from polyhead.batch.writer import CaseWriter
from polyhead.system.files import TEMPORARY

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data files and barely trained runs of Darcy flow and the plate."""
    folder = tmp_path_factory.mktemp("place")
    sets = {"darcy": darcy_data(samples=20), "plate": plate_data()}
    for name, data in sets.items():
        write_data(data, folder / "data" / f"{name}.h5")
        config = resolve(f"tiny-{name}", {"epochs": 1, "steps_per_epoch": 3, "points": 32})
        if name == "darcy":
            config = resolve("tiny-darcy", {"epochs": 1, "steps_per_epoch": 3, "image_size": None, "channels": (8, 16)})
        train({name: data}, folder / name, config)
    return folder


@pytest.fixture(scope="module")
def darcy(place):
    return PDEPredictor(place / "darcy", device="cpu")


@pytest.fixture(scope="module")
def plate(place):
    return PDEPredictor(place / "plate", device="cpu")


def ask(predictor, folder, name="q.json", asker=None, **request):
    """The question of a parameter file."""
    (folder / name).write_text(json.dumps(request))
    (case,) = cases_from(folder / name)
    return (asker or predictor.asker).question(case)


def test_a_data_folder_gives_the_samples_of_a_split(place):
    cases = cases_from(place / "data", split="test")
    assert [case.id for case in cases][:2] == ["darcy/circle/00024", "darcy/circle/00029"]
    assert len(cases) == 4 + 4 + 6
    assert len(cases_from(place / "data" / "plate.h5", split="all")) == 30
    assert {case.tasks for case in cases_from(place / "data", split="train", tasks=["plate"])} == {("plate",)}
    with pytest.raises(ValueError, match="nothing to do: found no samples of the split 'test'"):
        cases_from(place / "data", split="test", tasks=["none"])
    with pytest.raises(ValueError, match="unknown split 'tests'"):
        cases_from(place / "data", split="tests")


def test_files_that_a_request_refers_to_are_no_cases(tmp_path):
    Image.new("L", (8, 8), 255).save(tmp_path / "m.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "alone.png")
    (tmp_path / "p.csv").write_text("x,y\n0.5,0.5\n")
    (tmp_path / "a.json").write_text(json.dumps({"geometry": {"mask": "m.png"}, "points": "p.csv"}))
    (tmp_path / "t.csv").write_text("task,rate\na,1\nb,2\n")
    cases = {case.id: case for case in cases_from(tmp_path)}
    assert list(cases) == ["a", "alone", "t/00001", "t/00002"]
    assert cases["a"].files == tuple(tmp_path / name for name in ("a.json", "p.csv", "m.png"))
    (tmp_path / "m.png").unlink()
    assert next(case for case in cases_from(tmp_path) if case.id == "a").files == (
        tmp_path / "a.json",
        tmp_path / "p.csv",
    )
    with pytest.raises(ValueError, match="there is no file, folder or glob match"):
        cases_from(tmp_path / "gone")


def test_files_that_a_table_refers_to_are_no_cases(tmp_path):
    for name in ("m.png", "n.png"):
        Image.new("L", (8, 8), 255).save(tmp_path / name)
    (tmp_path / "t.csv").write_text(f"task,mask,field\na, m.png ,default\nb,,0.5\nc,{'x' * 300},\0\nd\n")
    cases = {case.id: case.files for case in cases_from(tmp_path)}
    lines = {"t/00001": (tmp_path / "t.csv", tmp_path / "m.png"), "t/00002": (), "t/00003": (), "t/00004": ()}
    assert cases == {"n": (), **lines}
    assert {case.id for case in cases_from(tmp_path / "*.png")} == {"m", "n"}


def test_a_list_of_failures_gives_the_same_cases(place, tmp_path):
    (tmp_path / "t.csv").write_text("task,rate\na,1\nb,2\n")
    chosen = [cases_from(place / "data")[1], cases_from(tmp_path / "t.csv")[1]]
    (tmp_path / "failed.txt").write_bytes(write_path_list([(case.id, str(case.path), "why") for case in chosen]))
    again = {case.id: case.options for case in cases_from(tmp_path / "failed.txt")}
    assert again == {case.id: case.options for case in chosen}


def test_points_are_x_before_y_and_a_heading_rules(darcy, tmp_path):
    question = ask(darcy, tmp_path, task="darcy/circle", field="default", points=[[0.2, 0.7], [0.5, 0.5], [0.01, 0.01]])
    np.testing.assert_array_equal(question.points, [[0.7, 0.2], [0.5, 0.5], [0.01, 0.01]])
    np.testing.assert_allclose(
        question.distance, [0.5 - np.hypot(0.3, 0.2), 0.5, 0.5 - np.hypot(0.49, 0.49)], atol=1e-7
    )
    assert question.mask.tolist() == [True, True, False]
    assert question.warnings == ("1 of 3 points lie outside the geometry: they hold 0, mask false",)
    (tmp_path / "p.csv").write_text("y,x\n0.7,0.2\n")
    named = ask(darcy, tmp_path, task="darcy/circle", field="default", points="p.csv")
    np.testing.assert_array_equal(named.points, [[0.7, 0.2]])


def test_a_resolution_is_in_the_order_of_the_names_of_the_axes(darcy, tmp_path):
    question = ask(darcy, tmp_path, task="darcy/square", field=[[0, 1], [2, 3.0]], resolution=[5, 9])
    assert question.grid_shape == (9, 5) and question.functions.shape == (1, 2, 2)
    assert question.points[1].tolist() == [0.0, 0.25]  # the second node lies further along x
    assert question.sensor_mask is not None and question.sensor_mask.shape == (17, 17)
    assert not question.sensor_mask[0].any() and question.sensor_mask[1:-1, 1:-1].all()


def test_masks_polygons_and_meshes_are_geometries(darcy, tmp_path):
    import meshio

    drawn = np.zeros((40, 40), bool)
    drawn[:20, :10] = True  # the upper left of the picture is at small x and large y
    Image.fromarray((drawn * 255).astype(np.uint8)).save(tmp_path / "m.png")
    where = [[0.1, 0.9], [0.9, 0.9], [0.1, 0.1]]
    masked = ask(darcy, tmp_path, task="darcy/square", field="default", geometry={"mask": "m.png"}, points=where)
    assert masked.mask.tolist() == [True, False, False]
    corner = {"polygon": [[0, 0.5], [0.25, 0.5], [0.25, 1], [0, 1]]}
    same = ask(darcy, tmp_path, task="darcy/square", field="default", geometry=corner, points=where)
    assert same.mask.tolist() == masked.mask.tolist()
    nodes = np.array([[0.2, 0.2, 0], [0.8, 0.2, 0], [0.5, 0.8, 0], [0.5, 0.4, 0]])
    meshio.write(tmp_path / "t.vtu", meshio.Mesh(nodes, [("triangle", np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3]]))]))
    asker = Asker(darcy.problems, field="default")
    (case,) = cases_from(tmp_path / "t.vtu")
    mesh = asker.question(case)
    np.testing.assert_allclose(mesh.points, nodes[:, [1, 0]])
    assert mesh.mask.tolist() == [False, False, False, True] and mesh.cells["triangle"].shape == (3, 3)
    assert mesh.task == "darcy/square" and "no task was named" in mesh.warnings[0]


def test_a_table_has_a_case_a_line(plate, tmp_path):
    (tmp_path / "t.csv").write_text("holes,hole position\n3,1.25\n4,\n")
    first, second = cases_from(tmp_path / "t.csv")
    question = plate.asker.question(first)
    assert question.task == "plate" and question.parameters.tolist() == [3, 1.25]
    x, y, z = question.points.T
    hole = np.hypot(x - 1.25, y) < 0.19
    assert hole.any() and not question.mask[hole].any()
    assert question.mask[(np.abs(x) < 0.5) & (np.abs(y) < 0.5) & (z < 0.9)].all()
    with pytest.raises(InvalidInput, match="the parameter 'hole position' is missing; give hole position in m"):
        plate.asker.question(second)


def test_arrays_hold_a_request(darcy, tmp_path):
    np.savez(tmp_path / "a.npz", task="darcy/circle", field=np.full((5, 5), 0.25))
    (case,) = cases_from(tmp_path / "a.npz")
    question = darcy.asker.question(case)
    assert question.task == "darcy/circle" and question.geometry == "circle" and (question.functions == 0.25).all()


SQUARE = {"task": "darcy/square", "field": "default"}


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"field": "default"}, "missing-key", "no task is named"),
        ({"task": "darcy/squre", "field": "default"}, "unknown-task", "no task 'darcy/squre'; known: darcy/square"),
        (SQUARE | {"feild": 1}, "unknown-key", "unknown key 'feild'; known: field"),
        ({"task": "darcy/square"}, "missing-key", "`field` is missing: log conductivity on 17 x 17 sensors"),
        (SQUARE | {"field": [1, 2, 3]}, "sensors", "3 values, the model takes 17 x 17"),
        (SQUARE | {"field": [[1, 2], [3]]}, "bad-array", "numbers in rows of one length"),
        (SQUARE | {"field": [[1, None], [3, 4]]}, "not-finite", "first at index 1"),
        (SQUARE | {"field": "gone.npy"}, "bad-array", "'gone.npy' cannot be read"),
        (SQUARE | {"field": 50}, "unphysical", "is it the conductivity itself?"),
        (SQUARE | {"parameters": {"rate": 1}}, "unknown-parameter", "unknown parameter 'rate'; known: none"),
        (SQUARE | {"points": [[0.5, 1.5]]}, "points-outside", "1 of 1 points lie outside, first y = 1.5, x = 0.5"),
        (SQUARE | {"points": [[0.5]]}, "points", "points of shape 1 x 1 for the axes x, y"),
        (SQUARE | {"points": "gone.csv"}, "points", "'gone.csv' cannot be read"),
        (SQUARE | {"resolution": [5, 1]}, "resolution", "take at least 2 points an axis"),
        (SQUARE | {"resolution": [9999, 9999]}, "resolution", "at most 20,000,000"),
        (SQUARE | {"resolution": [5, 5], "points": [[0.5, 0.5]]}, "points", "both given"),
        (SQUARE | {"geometry": {"shape": "circel"}}, "bad-shape", "unknown shape 'circel'; known: circle"),
        (SQUARE | {"geometry": {"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}}, "bad-polygon", "intersects itself"),
        (
            SQUARE | {"geometry": {"polygon": [[0, 0], [2, 0], [0, 1]]}},
            "geometry-outside",
            "must lie in (0, 0) to (1, 1)",
        ),
        (SQUARE | {"geometry": {"mask": "empty.png"}}, "bad-mask", "the mask is empty"),
        (SQUARE | {"geometry": {"mask": "q.json"}}, "bad-mask", "cannot be read as an image"),
        (SQUARE | {"geometry": {"mesh": "q.json"}}, "bad-mesh", "cannot be read as a mesh"),
        (SQUARE | {"geometry": {"mesh": "a", "mask": "b"}}, "geometry", "needs one entry"),
        (SQUARE | {"geometry": {"shape": "circle"}, "points": [[0.01, 0.01]]}, "empty-geometry", "none of 1 points"),
    ],
)
def test_bad_requests_are_told_in_one_line(darcy, tmp_path, request_, code, words):
    Image.new("L", (8, 8), 0).save(tmp_path / "empty.png")
    with pytest.raises(InvalidInput) as told:
        ask(darcy, tmp_path, **request_)
    assert told.value.code == code and words in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"holes": 2.5, "hole position": 1}, "holes must be a whole number"),
        ({"holes": 30, "hole position": 0.5}, "overlap"),
        ({"holes": 3, "hole position": 5}, "must lie between 0.2 and 1.8 m"),
        ({"holes": "many", "hole position": 1}, "holes must be a number, got 'many'"),
        ([3, 1], "holds no `name: value` pairs; known: holes, hole position in m"),
    ],
)
def test_parameters_that_cannot_be_are_refused(plate, tmp_path, parameters, words):
    with pytest.raises(InvalidInput) as told:
        ask(plate, tmp_path, task="plate", parameters=parameters)
    assert words in str(told.value)


def test_a_broken_file_is_refused(darcy, tmp_path):
    for name, text, code in (("a.json", "{", "unreadable"), ("b.yaml", "just words", "not-a-request")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidInput) as told:
            darcy.asker.question(Case("a", tmp_path / name, (), {"kind": "request"}))
        assert told.value.code == code
    (tmp_path / "t.csv").write_text("holes\n")
    (case,) = cases_from(tmp_path / "t.csv")
    with pytest.raises(InvalidInput, match="has no line below its heading"):
        darcy.asker.question(case)


def test_a_damaged_data_file_is_a_case_that_fails_and_stops_no_other(darcy, place, tmp_path, caplog):
    shutil.copy(place / "data" / "darcy.h5", tmp_path)
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    shutil.copy(place / "data" / "darcy.h5", tmp_path / f"{TEMPORARY}darcy.h5")  # one that is being written
    broken, *whole = cases_from(tmp_path)
    assert broken.id == "broken.h5" and len(whole) == len(cases_from(place / "data" / "darcy.h5")) > 0
    assert [case.id for case in cases_from(tmp_path / "broken.h5")] == ["broken.h5"]
    assert not caplog.messages
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / f"{TEMPORARY}darcy.h5").write_bytes(b"")
    (tmp_path / "questions" / "a.json").write_text("{}")
    assert [case.id for case in cases_from(tmp_path / "questions")] == ["a"]
    assert len(cases_from(tmp_path)) == len(whole) + 1
    assert caplog.messages[-1].endswith("not read beside them: questions/a.json; name a file itself to have it read")
    with pytest.raises(
        InvalidInput, match=r"broken\.h5: damaged .*make it again with `polyhead pde sample`, or copy it"
    ):
        darcy.asker.question(broken)
    (tmp_path / "failed.txt").write_text("broken.h5\n")
    assert [case.id for case in cases_from(tmp_path / "failed.txt")] == ["broken.h5"]


def test_tables_of_spreadsheets_and_links_that_lead_nowhere(darcy, tmp_path):
    (tmp_path / "t.csv").write_text("\ufefftask;field;shape\r\ndarcy/circle;default;circle\r\n", newline="")
    (tmp_path / "a.json").symlink_to("gone.json")
    link, row = cases_from(tmp_path)
    assert darcy.asker.question(row).geometry == "circle"
    with pytest.raises(InvalidInput, match="cannot be opened: No such file or directory"):
        darcy.asker.question(link)


def test_a_batch_of_mixed_questions_answers_as_one_by_one(darcy, place, tmp_path):
    samples = [darcy.read(case) for case in cases_from(place / "data" / "darcy.h5")]
    questions = [*samples, ask(darcy, tmp_path, task="darcy/circle", field=0.5, resolution=[7, 9])]
    together = darcy.predict(questions)
    for question, answer in zip(questions, together, strict=True):
        (alone,) = darcy.predict([question])
        np.testing.assert_allclose(answer.field, alone.field, rtol=1e-3, atol=1e-5)
        assert (answer.field[~question.mask] == 0).all()
    raw = darcy.operator.answer(
        samples[0].task,
        samples[0].parameters[None],
        samples[0].functions[None],
        samples[0].points,
        distance=samples[0].distance[None],
        sensor_mask=samples[0].sensor_mask[None],
        sensor_distance=samples[0].sensor_distance[None],
    )
    np.testing.assert_allclose(together[0].field[samples[0].mask], raw[0][samples[0].mask], rtol=1e-3, atol=1e-5)


def test_the_solver_agrees_with_the_closed_form_of_a_disc(darcy, tmp_path):
    question = ask(darcy, tmp_path, task="darcy/circle", field=np.log(2.0), resolution=[41, 41])
    solved = solve(question, darcy.problems["darcy/circle"])
    y, x = question.points.T
    exact = np.where(question.mask, (0.25 - (x - 0.5) ** 2 - (y - 0.5) ** 2) / 8, 0)
    assert solved is not None
    np.testing.assert_allclose(solved, exact, atol=1e-3 * exact.max())
    scattered = ask(darcy, tmp_path, task="darcy/circle", field=np.log(2.0), points=[[0.5, 0.5], [0.3, 0.6]])
    between = solve(scattered, darcy.problems["darcy/circle"])
    np.testing.assert_allclose(between, [0.25 / 8, (0.25 - 0.05) / 8], rtol=2e-3)


def test_the_solver_answers_where_it_is_asked_to(place, tmp_path):
    predictor = PDEPredictor(place / "darcy", device="cpu", solver=True)
    (answer,) = predictor.predict([ask(predictor, tmp_path, task="darcy/circle", field="default")])
    facts = summarise(answer)
    assert facts["error"]["against"] == "solver" and facts["error"]["relative_l2"] > 0
    assert facts["seconds"]["solver"] > 0
    with pytest.raises(ValueError, match="the run has no task 'plate'; it has: darcy/square, darcy/circle"):
        PDEPredictor(place / "darcy", tasks=["plate"])


def test_the_files_of_a_case_hold_the_field(plate, place, tmp_path):
    case = cases_from(place / "data" / "plate.h5")[0]
    (answer,) = plate.predict([plate.read(case)])
    writer = CaseWriter(tmp_path / "case")
    record = plate.write(case, answer, writer)
    assert set(writer.commit()) == {"field.npz", "field.vtu", "plot.png", "result.json", "thumbnail.jpg"}
    with np.load(tmp_path / "case" / "field.npz") as arrays:
        np.testing.assert_array_equal(arrays["field"], answer.field)
        np.testing.assert_array_equal(arrays["reference"], plate_data().solution[4])
        assert arrays["axes"].tolist() == ["x", "y", "z"] and arrays["quantity"].tolist() == ["temperature", "K"]
    found = json.loads((tmp_path / "case" / "result.json").read_text())
    inside, true = answer.field[answer.question.mask], plate_data().solution[4][answer.question.mask]
    assert found["error"]["relative_l2"] == pytest.approx(np.linalg.norm(inside - true) / np.linalg.norm(true))
    assert found["minimum"] == inside.min() and found["parameters"] == {"holes": 2, "hole position": 1.6}
    assert record["source"] == {"problem": "plate", "row": 4, "fingerprint": plate_data().fingerprint()}
    assert record["answer"].startswith("temperature ") and " K, error " in record["answer"]
    import meshio

    mesh = meshio.read(tmp_path / "case" / "field.vtu")
    np.testing.assert_allclose(mesh.points, answer.question.points)
    np.testing.assert_allclose(mesh.point_data["field"], answer.field)


def test_the_integral_is_that_of_the_trapezoidal_rule(darcy, tmp_path):
    question = ask(darcy, tmp_path, task="darcy/square", field="default", resolution=[11, 21])
    (answer,) = darcy.predict([question])
    y, x = question.points.T
    object.__setattr__(answer, "field", np.where(question.mask, x * y, 0))
    inner_x, inner_y = np.linspace(0, 1, 11)[1:-1], np.linspace(0, 1, 21)[1:-1]
    assert summarise(answer)["integral"] == pytest.approx(inner_x.sum() * inner_y.sum() / 200)


def test_bands_come_with_the_answers_of_a_calibrated_run(place, tmp_path):
    uncalibrated = PDEPredictor(place / "plate", device="cpu")
    made = calibrate_run(uncalibrated, place / "data" / "plate.h5", alpha=0.25)
    assert made["tasks"]["plate"]["rows"] == 4 and made["test"]["plate"]["rows"] == 6
    predictor = PDEPredictor(place / "plate", device="cpu")
    case = cases_from(place / "data" / "plate.h5")[0]
    (answer,) = predictor.predict([predictor.read(case)])
    assert answer.level == 0.75 and answer.half_width is not None and (answer.half_width >= 0).all()
    writer = CaseWriter(tmp_path / "case")
    predictor.write(case, answer, writer)
    assert "plot.png" in writer.commit()
    with np.load(tmp_path / "case" / "field.npz") as arrays:
        np.testing.assert_allclose(arrays["upper"] - arrays["lower"], 2 * answer.half_width)
    (place / "plate" / "calibration.json").unlink()
    with pytest.raises(ValueError, match="too few for a coverage of 99%"):
        calibrate_run(uncalibrated, place / "data" / "plate.h5", alpha=0.01)
    with pytest.raises(ValueError, match="samples that were not trained on: validation or test, got 'train'"):
        calibrate_run(uncalibrated, place / "data" / "plate.h5", split="train")


def test_inputs_outside_of_the_training_range_are_warned_of(plate, tmp_path):
    (answer,) = plate.predict([ask(plate, tmp_path, task="plate", parameters={"holes": 9, "hole position": 1.2})])
    assert answer.warnings == ("holes = 9 is outside the training range 2 to 7",)


def test_geometries_that_were_not_trained_on_are_warned_of(darcy, place, tmp_path):
    """In the answer itself, so that the command line and the page say the same."""
    about = darcy.problems["darcy/square"]
    assert about.geometries == {"darcy/square": ("square",), "darcy/circle": ("circle",)}
    strange = (
        "the geometry star:3 is not the one that the task darcy/square was trained on (square): "
        "compare with the solver before you trust the answer"
    )
    for shape, remarks in (("square", []), ("star:3", [strange])):
        question = ask(darcy, tmp_path, **SQUARE, geometry={"shape": shape})
        (answer,) = darcy.predict([question])
        assert [line for line in answer.warnings if "geometry" in line] == remarks
        assert [line for line in summarise(answer)["warnings"] if "geometry" in line] == remarks
    samples = [darcy.read(case) for case in cases_from(place / "data" / "darcy.h5")]
    assert not any("geometry" in line for answer in darcy.predict(samples) for line in answer.warnings)
    assert unfamiliar("darcy/square", "0", about) is None
    families = replace(about, geometries={"darcy/star": ("star", "ellipse")})
    assert unfamiliar("darcy/star", "ellipse:12", families) is None
    assert "l shape is not one of those that the task darcy/star was trained on (star, ellipse)" in str(
        unfamiliar("darcy/star", "l_shape", families)
    )
    before = replace(about, geometries={})
    assert unfamiliar("darcy/star", "star:12", before) is None
    assert "(circle)" in str(unfamiliar("darcy/circle", "square", before))


@pytest.mark.parametrize("grid", [(6, 5), (30,), (5, 4, 3)])
def test_pictures_are_drawn_of_grids_and_of_scattered_points(grid):
    names = ("t", "x") if len(grid) < 3 else ("x", "y", "z")
    points = np.random.default_rng(0).uniform(size=(30 if len(grid) == 1 else int(np.prod(grid)), len(names)))
    if len(grid) > 1:
        points = np.stack(np.meshgrid(*[np.arange(n) for n in grid], indexing="ij"), axis=-1).reshape(-1, len(grid))
    mask = points[:, 0] > points[:, 0].min()
    canvas = Canvas(points.astype(float), tuple(Quantity(n, "m") for n in names), grid, mask, Quantity("u"))
    picture = Image.open(io.BytesIO(draw(triple(points[:, 0] + 1, points[:, 0]), canvas)))
    single = Image.open(io.BytesIO(draw([Panel("one", points[:, 0])], canvas)))
    assert picture.width > 2.5 * single.width and picture.height == single.height
    with pytest.raises(ValueError, match="cannot be drawn at"):
        draw([Panel("short", np.zeros(3))], canvas)


def test_colour_limits_are_shared_by_what_counts():
    mask = np.array([True, True, False])
    panels = triple(np.array([1.0, 2.0, 99.0]), np.array([0.0, 5.0, -99.0]))
    assert limits(panels, mask) == (0.0, 5.0) and [panel.error for panel in panels] == [False, False, True]
    np.testing.assert_array_equal(panels[2].values[:2], [1.0, 3.0])


def test_an_answer_is_equal_bit_for_bit_alone_and_in_every_batch(place):
    predictor = PDEPredictor(place / "plate", device="cpu")
    items = [predictor.read(case) for case in cases_from(place / "data" / "plate.h5")]
    alone = [predictor.predict([item])[0].field for item in items]
    together = [answer.field for answer in predictor.predict(items[::-1])][::-1]
    assert len(items) > 2 and all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
