"""A run at work: one answer whatever the batch, files that say what was found, and named refusals."""

import json
import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image as Pillow

from domains.medical.intake.calibration import Calibration, Region
from domains.medical.intake.picture import Image
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.predicting.decode import Answers, TaskAnswer
from domains.medical.ultrasound.predicting.drawing import draw, has_drawing
from domains.medical.ultrasound.predicting.predict import UltrasoundPredictor, load_predictor, normalise
from domains.medical.ultrasound.predicting.write import read_mask, write_answers
from domains.medical.ultrasound.presets import resolve
from domains.medical.ultrasound.saved import APPLICATION, load_run
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.writer import CaseWriter
from polyhead.runs.run import Run, RunInfo

TASKS = {
    "seg": ("segmentation", 3),
    "a.b/c": ("segmentation", 2),
    "cls": ("classification", 4),
    "det": ("detection", 1),
    "reg": ("keypoints", 3),
}
SPACED = Path(pydicom.__file__).parent / "data" / "test_files" / "examples_overlay.dcm"
"""300 x 484 pixels of 0.7231 mm."""


def make_run(path: Path, preset: str = "tiny", tasks=TASKS) -> Path:
    config = resolve(preset, {"network.encoder": "residual-tiny", "image_size": 64, "pyramid_channels": 32})
    specs = task_specs(tasks, config, {"cls": ["cat", "dog", "eel", "fox"]} if "cls" in tasks else None)
    torch.manual_seed(3)
    model = build_model(specs, config.network)
    info = RunInfo(
        application=APPLICATION,
        system=config.system,
        preset=preset,
        tasks=specs.to_json(),
        configuration=config.model_dump(mode="json"),
    )
    run = Run.begin(path, info)
    run.save_weights(model.state_dict())
    run.finish({})
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module")
def predictor(run) -> UltrasoundPredictor:
    return UltrasoundPredictor(run, "cpu", backend="plain", batch_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate([(60, 90), (90, 60), (64, 64), (150, 41), (33, 120), (200, 100), (77, 78)]):
        small = rng.integers(0, 256, (6, 7), dtype=np.uint8)
        Pillow.fromarray(small).resize((width, height), Pillow.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


def cases(folder: Path, asked: list[tuple[str, ...]]) -> list[Case]:
    return [Case(str(index), folder / f"{index}.png", tasks) for index, tasks in enumerate(asked)]


def opened(path: Path) -> tuple[str, np.ndarray]:
    with Pillow.open(path) as picture:
        return picture.mode, np.asarray(picture)


def assert_same(one: TaskAnswer, two: TaskAnswer) -> None:
    assert (one.kind, one.labels) == (two.kind, two.labels)
    for name in ("probabilities", "box", "points", "score", "confidence"):
        first, second = getattr(one, name), getattr(two, name)
        assert (first is None) == (second is None)
        if first is not None:
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=2e-4)
    if one.mask is not None and two.mask is not None:
        # Logits of one image differ by rounding between batch sizes: a pixel on a border may change.
        assert one.mask.shape == two.mask.shape and (one.mask == two.mask).mean() > 0.999


@pytest.mark.parametrize("preset", ["tiny", "mh-mtl"])
def test_a_batch_that_mixes_tasks_answers_like_single_images(preset, run, folder, tmp_path):
    path = run if preset == "tiny" else make_run(tmp_path / "published", preset)
    predictor = UltrasoundPredictor(path, "cpu", backend="plain", batch_size=3)
    asked = [("seg",), ("cls", "reg"), ("det", "a.b/c", "seg"), (), ("reg",), ("a.b/c",), ("cls",)]
    items = [predictor.read(case) for case in cases(folder, asked)]
    together = predictor.predict(items)
    assert [tuple(answers.tasks) for answers in together] == [tasks or tuple(TASKS) for tasks in asked]
    for item, answers in zip(items, together, strict=True):
        alone = predictor.predict([item])[0]
        for task, answer in answers.tasks.items():
            assert_same(answer, alone.tasks[task])
            if answer.mask is not None:
                assert answer.mask.shape == answers.image.shape[:2] == item.image.size
            if preset == "tiny" and answer.points is not None:
                xy = np.array(answer.points)
                assert (xy >= 0).all() and (xy <= [item.image.size[1], item.image.size[0]]).all()


def test_each_image_passes_the_encoder_once(predictor, folder, monkeypatch):
    predictor.predict([predictor.read(Case("0", folder / "0.png"))])
    backbone, seen = predictor._encode, []
    dense, last = backbone.dense, backbone.last
    monkeypatch.setattr(backbone, "dense", lambda pixels: seen.append(("dense", len(pixels))) or dense(pixels))
    monkeypatch.setattr(backbone, "last", lambda pixels: seen.append(("last", len(pixels))) or last(pixels))
    predictor.predict([predictor.read(case) for case in cases(folder, [()] * 4)])
    predictor.predict([predictor.read(case) for case in cases(folder, [("cls",), ("seg", "cls"), ("cls",)])])
    assert seen == [("dense", 3), ("dense", 1), ("dense", 1), ("last", 2)]


@pytest.mark.parametrize("asked", [{"c5": [0, 1, 2, 3]}, {"fpn": [1, 3]}, {"c5": [0, 3], "fpn": [1, 3]}, {"fpn": None}])
def test_features_of_any_rows_are_those_of_the_backbone(predictor, folder, asked):
    items = [predictor.read(case) for case in cases(folder, [()] * 4)]
    pixels = torch.from_numpy(np.stack([item.input for item in items]))
    needed = {name: None if rows is None else torch.tensor(rows) for name, rows in asked.items()}
    predictor.predict(items[:1])
    with torch.inference_mode():
        found = predictor._encode(pixels, needed)
        expected = predictor.model.encode(normalise(pixels), needed)
    assert list(found) == list(expected)
    for name, feature in expected.items():
        torch.testing.assert_close(found[name], feature, rtol=1e-3, atol=1e-4)


def test_backends_agree_on_the_whole_answer(run, predictor, folder):
    items = [predictor.read(case) for case in cases(folder, [()] * 4)]
    quick = UltrasoundPredictor(run, "cpu", backend="openvino", batch_size=3, cache=False)
    for one, two in zip(predictor.predict(items), quick.predict(items), strict=True):
        for task in TASKS:
            assert_same(one.tasks[task], two.tasks[task])
    assert quick._encode is not None and quick._encode.dense.backend == "openvino"
    assert not (run / "backends").exists()


def test_measurements_in_mm_follow_the_spacing_of_the_dicom(predictor):
    answers = predictor.predict([predictor.read(Case("x", SPACED, ("seg", "det", "reg")))])[0]
    assert answers.spacing == pytest.approx((350 / 484, 350 / 484)) and answers.image.shape == (300, 484, 3)
    assert "not-ultrasound" in answers.warnings
    for task, power in (("seg", 2), ("det", 1), ("reg", 1)):
        unit = "px" if power == 1 else "px2"
        values = {
            (entry["name"], entry["unit"]): entry["value"]
            for entry in answers.tasks[task].measurements
            if entry["unit"] in (unit, unit.replace("px", "mm"))
        }
        pairs = [(value, values[name, unit.replace("px", "mm")]) for (name, u), value in values.items() if u == unit]
        assert pairs and len(values) == 2 * len(pairs)
        for pixels, millimetres in pairs:
            assert millimetres == pytest.approx(pixels * (350 / 484) ** power, abs=2e-3)


def test_millimetres_end_where_the_calibrated_region_ends(predictor, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    everywhere, corner = ((0, 0, 89, 59), (0, 0, 3, 3))
    for location, code in ((everywhere, None), (corner, "outside-calibrated-region")):
        calibration = Calibration(None, (Region(location, (0.5, 0.25)),))
        image = Image(pixels, calibration.spacing, {"warnings": ["not-ultrasound"]}, calibration)
        answers = predictor.predict([predictor.prepare(image, ("seg", "det", "reg"))])[0]
        assert answers.warnings == (("not-ultrasound",) if code is None else ("not-ultrasound", code))
        for answer in answers.tasks.values():
            units = {entry["unit"] for entry in answer.measurements}
            assert units and any(unit.startswith("mm") for unit in units) == (code is None)
            assert (code in answer.warnings) == (code is not None)
        record = write_answers(answers, CaseWriter(tmp_path / str(code)))
        assert record["warnings"] == list(answers.warnings)
        row = record["tasks"]["seg"]
        assert any(key.endswith("[mm2]") for key in row) == (code is None)
        assert code is None or code in row["warnings"]


def test_a_picture_without_spacing_is_measured_in_pixels(predictor):
    pixels = np.zeros((40, 50, 3), np.uint8)
    for spacing in (None, (0.5, 0.25)):
        item = predictor.prepare(Image(pixels, spacing), ("reg",))
        units = [entry["unit"] for entry in predictor.predict([item])[0].tasks["reg"].measurements]
        assert units == (["px", "px"] if spacing is None else ["px", "mm", "px", "mm"])


def test_unknown_tasks_are_told_and_only_unknown_tasks_refused(predictor, folder):
    path = folder / "0.png"
    some = predictor.read(Case("x", path, ("nose", "cls", "cls"), {"unknown_tasks": ["ear"]}))
    assert some.tasks == ("cls",) and some.unanswered == ("nose", "ear")
    assert predictor.predict([some])[0].unanswered == ("nose", "ear")
    with pytest.raises(InvalidInput, match=r"unknown-task.*nose.*it has: seg, a\.b/c, cls, det, reg"):
        predictor.read(Case("x", path, ("nose",)))
    with pytest.raises(InvalidInput, match=r"bad-row.*t\.csv:7"):
        predictor.read(Case("x", path, (), {"problem": "t.csv:7: torn"}))
    with pytest.raises(InvalidInput, match="missing-file"):
        predictor.read(Case("x", folder / "none.png", ("cls",)))


def test_an_extreme_shape_is_refused_by_name(predictor, tmp_path):
    Pillow.new("L", (1600, 9)).save(tmp_path / "thin.png")
    with pytest.raises(InvalidInput, match="extreme-aspect"):
        predictor.read(Case("x", tmp_path / "thin.png"))


def test_default_tasks_may_be_some_of_the_models(run, folder):
    predictor = load_predictor(run=str(run), device="cpu", tasks=["reg", "cls"], backend="plain")
    assert predictor.read(Case("x", folder / "0.png")).tasks == ("cls", "reg")
    with pytest.raises(ValueError, match="'nose'"):
        UltrasoundPredictor(run, "cpu", tasks=["nose"])


def test_a_batch_size_below_one_is_refused(run):
    with pytest.raises(ValueError, match="batch_size"):
        UltrasoundPredictor(run, "cpu", batch_size=0)


def test_a_request_that_the_machine_cannot_meet_is_one_line(run, folder, caplog, monkeypatch):
    from polyhead import inference

    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    predictor = UltrasoundPredictor(run, "cpu", backend="plain", precision="bfloat16")
    with caplog.at_level(logging.WARNING):
        predictor.predict([predictor.read(Case("0", folder / "0.png"))])
    assert len(caplog.records) == 1


def test_what_is_no_run_of_ours_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match="not a run"):
        load_run(tmp_path)
    other = Run.begin(tmp_path / "other", Run.open(run).info.model_copy(update={"application": "mri"}))
    with pytest.raises(ValueError, match="'mri'"):
        load_run(other.path)
    newer = Run.begin(tmp_path / "newer", Run.open(run).info.model_copy(update={"configuration": {"colour": 1}}))
    with pytest.raises(ValueError, match=r"newer.*colour"):
        load_run(newer.path)
    fewer = make_run(tmp_path / "fewer", tasks={"cls": ("classification", 4)})
    (fewer / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="do not fit") as caught:
        load_run(fewer)
    assert "\n" not in str(caught.value)


def test_the_files_of_a_case(predictor, folder, tmp_path):
    case = Case("0", folder / "0.png")
    answers = predictor.predict([predictor.read(case)])[0]
    writer = CaseWriter(tmp_path / "0")
    record = predictor.write(case, answers, writer)
    writer.commit()
    result = json.loads((tmp_path / "0" / "result.json").read_text(encoding="utf-8"))
    assert result["research_use"] == RESEARCH_USE
    assert (result["height"], result["width"], result["spacing_mm"]) == (60, 90, None)
    assert result["warnings"] == [] and result["unanswered_tasks"] == []
    assert list(result["tasks"]) == list(TASKS)
    for task in ("seg", "a.b/c"):
        mode, stored = opened(tmp_path / "0" / result["tasks"][task]["mask"])
        assert mode == "L" and np.array_equal(stored, answers.tasks[task].mask)
    sheet = opened(tmp_path / "0" / "overlay.jpg")[1]
    drawn = [task for task in ("seg", "a.b/c", "det", "reg") if has_drawing(answers.tasks[task])]
    assert {"det", "reg"} <= set(drawn) == {task for task, entry in result["tasks"].items() if "overlay" in entry}
    for task in drawn:
        left, top, right, bottom = result["tasks"][task]["overlay_place"]
        tile, expected = sheet[top:bottom, left:right], draw(answers.image, answers.tasks[task])
        assert tile.shape == (60, 90, 3) and np.abs(tile.astype(int) - expected).mean() < 6
    classes = result["tasks"]["cls"]
    best = int(np.argmax(answers.tasks["cls"].probabilities))
    assert classes["class"] == best and classes["label"] == ["cat", "dog", "eel", "fox"][best]
    assert sum(classes["probabilities"]) == pytest.approx(1)
    assert result["tasks"]["det"]["box"] == list(answers.tasks["det"].box)
    assert result["tasks"]["reg"]["points"] == [list(point) for point in answers.tasks["reg"].points]
    named = {"result.json", "thumbnail.jpg"}
    named |= {entry[key] for entry in result["tasks"].values() for key in ("mask", "overlay") if key in entry}
    assert {path.name for path in (tmp_path / "0").iterdir()} == named and len(named) == 2 + 2 + 1
    assert record["thumbnail"] == "thumbnail.jpg" and record["tasks"]["cls"]["label"] == classes["label"]
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("saved", "files"),
    [
        (None, {"seg.png", "overlay.jpg", "thumbnail.jpg"}),
        (("masks", "thumbnails"), {"seg.png", "thumbnail.jpg"}),
        (("overlays",), {"overlay.jpg"}),
        ((), set()),
    ],
)
def test_only_what_is_saved_is_written(saved, files, predictor, folder, tmp_path):
    case = Case("0", folder / "0.png", ("seg", "det"))
    writer = CaseWriter(tmp_path / "0", saved)
    record = predictor.write(case, predictor.predict([predictor.read(case)])[0], writer)
    assert set(writer.commit()) == {"result.json"} | files
    assert ("thumbnail" in record) == ("thumbnail.jpg" in files)
    entry = json.loads((tmp_path / "0" / "result.json").read_text(encoding="utf-8"))["tasks"]["seg"]
    if saved is not None and "masks" not in saved:
        with pytest.raises(ValueError, match="--save"):
            read_mask(tmp_path / "0", entry)


def test_nothing_is_drawn_over_a_picture_without_findings(tmp_path):
    tasks = {f"seg{k}": TaskAnswer("segmentation", (), mask=np.zeros((533, 958), np.uint8)) for k in range(4)}
    tasks["cls"] = TaskAnswer("classification", (), probabilities=[0.5, 0.5])
    writer = CaseWriter(tmp_path / "x")
    write_answers(Answers(np.full((533, 958, 3), 7, np.uint8), None, tasks), writer)
    written = writer.commit()
    assert set(written) == {"seg0.png", "seg1.png", "seg2.png", "seg3.png", "thumbnail.jpg", "result.json"}
    assert max(written[f"seg{k}.png"]["bytes"] for k in range(4)) < 700


def test_many_masks_are_one_archive_and_the_picture_of_answers_one_sheet(tmp_path):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (400, 900, 3), np.uint8)
    tasks = {f"task {k}": TaskAnswer("segmentation", (), mask=_disc(k)) for k in range(12)}
    tasks |= {f"box {k}": TaskAnswer("detection", (), box=(10.0, 20.0, 300.0, 200.0), score=0.5) for k in range(6)}
    writer = CaseWriter(tmp_path / "x")
    write_answers(Answers(image, None, tasks), writer)
    written = writer.commit()
    assert set(written) == {"masks.zip", "overlay.jpg", "thumbnail.jpg", "result.json"}
    entries = json.loads((tmp_path / "x" / "result.json").read_text(encoding="utf-8"))["tasks"]
    for k in range(12):
        assert np.array_equal(read_mask(tmp_path / "x", entries[f"task {k}"]), tasks[f"task {k}"].mask)
    places = [entry["overlay_place"] for entry in entries.values() if "overlay" in entry]
    sheet = opened(tmp_path / "x" / "overlay.jpg")[1]
    covered = np.zeros(sheet.shape[:2], int)
    for left, top, right, bottom in places:
        covered[top:bottom, left:right] += 1
    assert len(places) == 17 and covered.max() == 1 and sheet.shape[1] <= 1600
    assert covered.sum() == sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in places)


def _disc(label: int) -> np.ndarray:
    rows, columns = np.ogrid[:400, :900]
    return ((rows - 200) ** 2 + (columns - 450) ** 2 < 100**2).astype(np.uint8) * label


def test_no_two_tasks_share_a_file(tmp_path):
    names = ["a", "a.overlay", "a/b", "a%2Fb", "..", "result.json", "ä b"]
    mask = np.zeros((8, 8), np.uint8)
    tasks = {name: TaskAnswer("segmentation", (), mask=mask + k) for k, name in enumerate(names)}
    writer = CaseWriter(tmp_path / "x")
    write_answers(Answers(np.zeros((8, 8, 3), np.uint8), None, tasks), writer)
    writer.commit()
    result = json.loads((tmp_path / "x" / "result.json").read_text(encoding="utf-8"))["tasks"]
    for k, name in enumerate(names):
        assert (read_mask(tmp_path / "x", result[name]) == k).all()
    for name in names:
        writer = CaseWriter(tmp_path / "alone")
        write_answers(Answers(np.zeros((8, 8, 3), np.uint8), None, {name: tasks[name]}), writer)
        assert len(set(map(str.casefold, writer.commit()))) >= 3


def test_the_published_boxes_with_swapped_corners_are_drawn(tmp_path):
    answer = TaskAnswer("detection", (), box=(30.0, 35.0, 20.0, 15.0), score=0.5, confidence=0.5)
    writer = CaseWriter(tmp_path / "x")
    write_answers(Answers(np.zeros((50, 50, 3), np.uint8), None, {"det": answer}), writer)
    writer.commit()
    assert opened(tmp_path / "x" / "overlay.jpg")[1][15, 25].max() > 150


def test_images_of_a_batch_that_are_asked_different_tasks_keep_their_own_classes(predictor):
    generator = np.random.default_rng(7)
    images = [Image(generator.integers(0, 256, (50, 60 + 5 * n, 3), dtype=np.uint8), None, {}) for n in range(4)]
    asked = [("cls",), ("cls", "seg"), ("cls",), ("det", "cls")]
    items = [predictor.prepare(image, tasks) for image, tasks in zip(images, asked, strict=True)]
    together = predictor.predict(items)
    for item, answers in zip(items, together, strict=True):
        alone = predictor.predict([item])[0].tasks["cls"].probabilities
        np.testing.assert_allclose(answers.tasks["cls"].probabilities, alone, atol=1e-5)
