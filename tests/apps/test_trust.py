"""What a finished training leaves, and what it does to answers: noise and black frames are flagged and not believed."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ranks_of_cli import as_two

from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.splits import Split
from domains.medical.ultrasound.learning.companions import FEWEST, fit_temperatures, leave_companions, spread
from domains.medical.ultrasound.learning.training import train
from domains.medical.ultrasound.predicting.predict import UltrasoundPredictor
from domains.medical.ultrasound.presets import read_config, resolve
from domains.medical.ultrasound.simulator.write import sample
from domains.medical.ultrasound.uncertainty.trust import Trust, digest
from polyhead.batch.case import Case
from polyhead.runs.identity import CALIBRATION_FILE, LIKENESS_FILE
from polyhead.runs.run import Run
from polyhead.training.session import Session
from polyhead.uncertainty.likeness import Likeness
from polyhead.uncertainty.temperature import apply_temperature, cross_fitted, read_calibrations

TASKS = ("liver_lesion_2cls", "carotid_artery", "thyroid_nodule_det")
SMALL = {
    "network.encoder": "residual-tiny",
    "image_size": 64,
    "pyramid_channels": 32,
    "validation_fraction": 0.4,
    "epochs": 3,
    "warmup_steps": 0,
    "validate_every": 1,
    "training.device": "cpu",
}
FLAGS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")][:-2]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "set"
    sample(root, rows_per_task=26, validation=0, size=(64, 96), tasks=TASKS, seed=1, workers=2)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(data, out, resolve("tiny", SMALL))
    return out


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, data, run) -> Path:
    """Noise, a black and a white frame, and what the training held out."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).integers(0, 256, (80, 90), dtype=np.uint8)
    flat = {"noise": noise, "black": np.zeros((80, 90), np.uint8), "white": np.full((80, 90), 255, np.uint8)}
    for name, pixels in flat.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    held = Split.from_json(Run.open(run).info.data["split"], read_tables(data).rows).validation
    for number, path in enumerate(sorted({row.image for row in held})):
        shutil.copy(path, folder / f"held_{number}{path.suffix}")
    return folder


def without_companions(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    (to / LIKENESS_FILE).unlink()
    (to / CALIBRATION_FILE).unlink()
    return to


def results(out: Path) -> dict[str, dict]:
    return {file.parent.name: json.loads(file.read_text()) for file in out.glob("*/result.json")}


def without_trust(run: Path) -> UltrasoundPredictor:
    predictor = UltrasoundPredictor(run, device="cpu", cache=False)
    predictor.trust = Trust()
    return predictor


def test_noise_is_flagged_and_not_believed(polyhead, run, pictures, tmp_path):
    status, _, err = polyhead("ultrasound", "predict", run, pictures, "-o", tmp_path / "out", "--device", "cpu")
    assert status == 0, err
    after, bare = results(tmp_path / "out"), without_trust(run)
    names = sorted(pictures.iterdir())
    before = dict(
        zip(
            [path.stem for path in names],
            bare.predict([bare.read(Case(path.stem, path)) for path in names]),
            strict=True,
        )
    )
    likeness = Likeness.load(run / LIKENESS_FILE)
    temperature = read_calibrations(run)["liver_lesion_2cls"].temperature
    assert likeness is not None
    for name, result in after.items():
        other = before[name]
        assert other.unlikeness is None and "unlike-training" not in other.warnings
        belief = likeness.belief(result["unlikeness"])
        if result["unlikeness"] != 1:  # the threshold is an image's own
            assert ("unlike-training" in result["warnings"]) == (result["unlikeness"] > 1)
        assert result["unlikeness_percentile"] == pytest.approx(likeness.percentile(result["unlikeness"]), abs=3)
        shares = apply_temperature(np.array(other.tasks["liver_lesion_2cls"].probabilities), temperature)
        told = result["tasks"]["liver_lesion_2cls"]
        np.testing.assert_allclose(told["probabilities"], belief * shares + (1 - belief) / 2, atol=1e-3)
        assert told["class"] == int(np.argmax(other.tasks["liver_lesion_2cls"].probabilities))
        for task in ("carotid_artery", "thyroid_nodule_det"):
            expected = belief * other.tasks[task].confidence
            assert result["tasks"][task]["confidence"] == pytest.approx(expected, abs=1e-3)
        assert result["tasks"]["thyroid_nodule_det"]["score"] == result["tasks"]["thyroid_nodule_det"]["confidence"]
    for name in ("noise", "black", "white"):
        assert after[name]["unlikeness"] > 1 and after[name]["unlikeness_percentile"] == 100
        assert max(after[name]["tasks"]["liver_lesion_2cls"]["probabilities"]) < 0.6
    held = [result["unlikeness"] > 1 for name, result in after.items() if name.startswith("held")]
    assert len(held) >= 20 and sum(held) <= 1
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert float(rows["noise"]["unlikeness"]) == after["noise"]["unlikeness"]


def test_one_pass_of_the_encoder_is_enough_and_every_backend_says_the_same(run, pictures):
    images = [pictures / "noise.png", *sorted(pictures.glob("held*"))[:3]]
    cases = [Case(str(path), path, (task,)) for path, task in zip(images, [*TASKS, TASKS[0]], strict=True)]
    found = {}
    for backend in ("plain", "openvino"):
        predictor = UltrasoundPredictor(run, device="cpu", backend=backend, batch_size=4, cache=False)
        calls: list[int] = []
        encoder = predictor.model.backbone.encoder
        items = [predictor.read(case) for case in cases]
        predictor.predict(items)  # prepares the backend
        hook = encoder.register_forward_hook(lambda _, inputs, output, calls=calls: calls.append(len(inputs[0])))
        found[backend] = [each.unlikeness for each in predictor.predict(items)]
        hook.remove()
        assert sum(calls) == (4 if backend == "plain" else 0)
    single = UltrasoundPredictor(run, device="cpu")
    alone = [single.predict([single.read(case)])[0].unlikeness for case in cases]
    np.testing.assert_allclose(found["plain"], alone, rtol=1e-4)
    np.testing.assert_allclose(found["openvino"], alone, rtol=1e-3)


def test_a_training_that_was_stopped_leaves_the_same(data, run, tmp_path):
    def stop(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    settings = resolve("tiny", {**SMALL, "snapshot_every": 2})
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", settings, session=Session(on_step=stop))
    assert not (tmp_path / "run" / LIKENESS_FILE).exists()
    train(data, tmp_path / "run", settings, session=Session(resume=True))
    for name in ("model.safetensors", LIKENESS_FILE, CALIBRATION_FILE):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name
    # Stopped between the last step and the companions: the same command makes up for it.
    kept = without_companions(tmp_path / "run", tmp_path / "late")
    train(data, kept, settings, session=Session(resume=True))
    assert (kept / LIKENESS_FILE).read_bytes() == (run / LIKENESS_FILE).read_bytes()
    assert (kept / CALIBRATION_FILE).read_bytes() == (run / CALIBRATION_FILE).read_bytes()
    # A new training in the same folder does not keep those of the old one.
    short = resolve("tiny", {**SMALL, "max_minutes": 1e-6})
    train(data, kept, short, session=Session(overwrite=True))
    assert not (kept / LIKENESS_FILE).exists() and not (kept / CALIBRATION_FILE).exists()


def test_two_processes_leave_what_one_makes_of_their_weights(data, tmp_path):
    command = [
        "ultrasound",
        "train",
        data,
        "--preset",
        "tiny",
        *FLAGS,
        "--set",
        "steps_per_epoch=1",
        "--set",
        "epochs=1",
    ]
    command += ["-o", tmp_path / "run"]
    (first, _, err), other = as_two(tmp_path, *command)
    assert first == 0 and other == (0, "", ""), err
    assert err.count("false alarms at most") == 1 and "temperatures of class probabilities: liver_lesion_2cls" in err
    found = Run.open(tmp_path / "run")
    split = Split.from_json(found.info.data["split"], read_tables(data).rows)
    again = Run.open(without_companions(found.path, tmp_path / "again"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of the two had
    try:
        leave_companions(again, split.train, split.validation, read_config(found.info.configuration))
    finally:
        torch.set_num_threads(threads)
    for name in (LIKENESS_FILE, CALIBRATION_FILE):
        assert (again.path / name).read_bytes() == (found.path / name).read_bytes()


def test_the_rows_that_calibrated_are_named_and_few_rows_calibrate_nothing(data, run):
    split = Split.from_json(Run.open(run).info.data["split"], read_tables(data).rows)
    said = json.loads((run / CALIBRATION_FILE).read_text())
    mine = [digest(row.image_path) for row in split.validation if row.task == "liver_lesion_2cls"]
    assert sorted(said["images"]["liver_lesion_2cls"]) == sorted(mine) and said["split"] == "validation"
    shares = np.tile([0.9, 0.1], (FEWEST, 1))
    one = {"few": shares[1:], "one": shares}
    labels = {"few": np.arange(FEWEST - 1) % 2, "one": np.zeros(FEWEST, dtype=int)}
    found, notes = fit_temperatures(one, labels)
    assert found == {} and notes == [
        f"few: not calibrated: {FEWEST - 1} held-out rows of 2 classes say too little of its probabilities",
        f"one: not calibrated: {FEWEST} held-out rows of 1 class say too little of its probabilities",
    ]


def test_rows_are_looked_at_evenly_over_tasks(data):
    rows = read_tables(data).rows
    chosen = spread(
        [row for row in rows if row.task != TASKS[0]] + [row for row in rows if row.task == TASKS[0]][:3], 15
    )
    counts = {task: sum(row.task == task for row in chosen) for task in TASKS}
    assert counts == {TASKS[0]: 3, TASKS[1]: 6, TASKS[2]: 6}
    assert spread(rows, 10_000) and len(spread(rows, 10_000)) == len(rows)


def test_a_damaged_companion_is_one_line(run, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / LIKENESS_FILE).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"likeness\.safetensors is damaged: .*; train again"):
        UltrasoundPredictor(broken, device="cpu")


def test_a_temperature_is_not_measured_on_the_rows_that_made_it(polyhead, run, data, tmp_path):
    out = tmp_path / "out"
    command = (
        "ultrasound",
        "predict",
        run,
        data,
        "-o",
        out,
        "--format",
        "fm-uia",
        "--save",
        "masks",
        "--device",
        "cpu",
    )
    status, _, err = polyhead(*command, "--task", TASKS[0])
    assert status == 0, err
    status, _, err = polyhead("ultrasound", "evaluate", out, data, "--resamples", "50", "-q")
    assert status == 0, err
    (told,) = json.loads((out / "report.json").read_text())["reliability"]
    temperature = read_calibrations(run)[TASKS[0]].temperature
    assert told["task"] == TASKS[0] and told["temperature"] == temperature

    bare = without_trust(run)
    split = Split.from_json(Run.open(run).info.data["split"], read_tables(data).rows)
    rows = [row for row in split.validation if row.task == TASKS[0]]
    answers = bare.predict([bare.read(Case(str(row.image), row.image, (row.task,))) for row in rows])
    shares = np.array([each.tasks[TASKS[0]].probabilities for each in answers])
    labels = np.array([row.label for row in rows])
    assert told["fitted"] == told["rows"] == len(rows) >= FEWEST
    # One image of the held-out ones may be flagged, and be told a little differently.
    before = -np.log(shares[np.arange(len(rows)), labels]).mean()
    assert told["before"]["NLL"]["value"] == pytest.approx(before, rel=0.05)
    order = [[row.image_path for row in rows].index(row.image_path) for row in _in_table_order(data, rows)]
    fitted = cross_fitted(shares[order], labels[order], deviation=0.5)
    crossed = -np.log(fitted[np.arange(len(rows)), labels[order]]).mean()
    assert told["told"]["NLL"]["value"] == pytest.approx(crossed, rel=0.05)
    page = (out / "report.html").read_text()
    assert f"{told['rows']} of {told['rows']} rows fitted its temperature" in page
    assert page.count("share of right answers over confidence") == 2


def _in_table_order(data: Path, rows):
    wanted = {row.image_path for row in rows}
    return [row for row in read_tables(data).rows if row.task == TASKS[0] and row.image_path in wanted]


def test_calibrate_gives_a_run_what_it_lacks(polyhead, run, data, tmp_path):
    bare = without_companions(run, tmp_path / "bare")
    status, out, err = polyhead("ultrasound", "calibrate", bare, data, "--device", "cpu")
    assert (status, out) == (0, f"{bare}\n") and "false alarms at most" in err
    made, own = (Likeness.load(folder / LIKENESS_FILE) for folder in (bare, run))
    assert made is not None and own is not None
    np.testing.assert_allclose(made.held, own.held, rtol=1e-6)  # the same rows on the same sides
    assert read_calibrations(bare)[TASKS[0]].temperature == pytest.approx(
        read_calibrations(run)[TASKS[0]].temperature, rel=1e-6
    )
    info = json.loads((bare / "run.json").read_text())
    (bare / "run.json").write_text(json.dumps(info | {"data": {}}))  # as an imported checkpoint
    (bare / LIKENESS_FILE).unlink()
    assert polyhead("ultrasound", "calibrate", bare, data, "--device", "cpu", "-q")[0] == 0
    assert Likeness.load(bare / LIKENESS_FILE) is not None
    (bare / "run.json").write_text(json.dumps(info | {"finished": False}))
    status, _, err = polyhead("ultrasound", "calibrate", bare, data)
    assert status == 2 and "the training has not finished" in err
    few = tmp_path / "few"
    sample(few, rows_per_task=3, validation=0, size=(64, 80), tasks=TASKS[:1], seed=5)
    status, _, err = polyhead("ultrasound", "calibrate", run, few)
    assert status == 2 and "not trained on; calibration needs at least 20" in err
