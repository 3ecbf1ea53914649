"""Ensembles: their members on disk, the mean and the spread that they answer, and bands scaled by that spread."""

import json

import numpy as np
import pytest
import torch
from operator_toys import darcy_data

from domains.pde.asking.sources import cases_from
from domains.pde.data.store import write_data
from domains.pde.evaluation.evaluate import evaluate
from domains.pde.learning.members import train_members
from domains.pde.predicting.ensemble import load_operator
from domains.pde.predicting.members import ENSEMBLE_FILE, member_runs
from domains.pde.predicting.predict import PDEPredictor
from domains.pde.presets import resolve
from domains.pde.uncertainty.calibrate import CALIBRATION_FILE, calibrate_run, read_calibrations
from domains.pde.uncertainty.residuals import residuals
from polyhead.batch.run import run_batch
from polyhead.batch.worker import PredictorFactory
from polyhead.runs.run import Run
from polyhead.training.session import Session

SETTINGS = {"epochs": 1, "steps_per_epoch": 3, "image_size": None, "channels": (8, 16), "training.seed": 5}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data file, and an ensemble of two barely trained runs on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("place")
    write_data(darcy_data(samples=20), folder / "darcy.h5")
    train_members(folder / "darcy.h5", folder / "runs", resolve("tiny-darcy", SETTINGS), 2)
    yield folder
    torch.set_num_threads(before)


def given(predictor, place, split="test"):
    cases = cases_from(place / "darcy.h5", split=split, tasks=["darcy/circle"])
    return [predictor.read(case) for case in cases]


def test_members_differ_by_their_seeds_alone(place):
    members = member_runs(place / "runs")
    assert [member.name for member in members] == ["member-0", "member-1"]
    infos = [Run.open(member).info for member in members]
    assert [info.configuration["training"].pop("seed") for info in infos] == [5, 6]
    assert infos[0].configuration == infos[1].configuration and all(info.finished for info in infos)
    assert Run.open(members[0]).weights_hash() != Run.open(members[1]).weights_hash()
    assert member_runs(members[0]) == [members[0]]


def test_the_mean_is_answered_with_its_deviation(place):
    predictor = PDEPredictor(place / "runs", device="cpu")
    questions = given(predictor, place)
    alone = [PDEPredictor(member, device="cpu").fields(questions) for member in member_runs(place / "runs")]
    assert [deviation for _, deviation in alone] == [None, None]
    one, two = (field for field, _ in alone)
    mean, deviation = predictor.fields(questions)
    assert deviation is not None and deviation.max() > 0
    assert mean == pytest.approx((one + two) / 2, abs=1e-6)
    assert deviation == pytest.approx(np.abs(one - two) / np.sqrt(2), abs=1e-6)
    operator = load_operator(place / "runs")
    first = questions[0]
    plain = operator.answer(
        first.task, first.parameters[None], first.functions[None], first.points,
        distance=first.distance, sensor_mask=first.sensor_mask, sensor_distance=first.sensor_distance,
    )  # fmt: skip
    assert plain.dtype == np.float32 and np.where(first.mask, plain[0], 0) == pytest.approx(mean[0], abs=1e-5)


def test_bands_are_the_deviation_times_the_conformal_factor(place, tmp_path):
    predictor = PDEPredictor(place / "runs", device="cpu")
    made = calibrate_run(predictor, place / "darcy.h5", alpha=0.3)
    calibration = read_calibrations(place / "runs" / CALIBRATION_FILE)["darcy/circle"]
    assert calibration.scale is None and calibration.floor > 0 and made["test"]["darcy/circle"]["rows"] == 4
    held = residuals(predictor, place / "darcy.h5", "darcy/circle", "validation")
    assert held.deviation is not None
    scores = (np.abs(held.error) / np.maximum(held.deviation, calibration.floor)).max(
        axis=1, where=held.mask, initial=0
    )
    assert any(calibration.quantile == pytest.approx(score, rel=1e-5) for score in scores)

    cases = cases_from(place / "darcy.h5", split="test")
    factory = PredictorFactory(
        "domains.pde.predicting.predict:load_predictor", {"run": str(place / "runs"), "device": "cpu"}
    )
    run_batch(cases, tmp_path / "out", factory, model_hash="x", parameters={})
    (tmp_path / "out" / CALIBRATION_FILE).write_bytes((place / "runs" / CALIBRATION_FILE).read_bytes())
    folder = tmp_path / "out" / next(case.id for case in cases if case.tasks == ("darcy/circle",))
    with np.load(folder / "field.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    width = np.where(found["mask"], calibration.quantile * np.maximum(found["field_std"], calibration.floor), 0)
    assert found["upper"] - found["field"] == pytest.approx(width, rel=1e-9)
    said = json.loads((folder / "result.json").read_text())
    assert said["spread"]["largest_deviation"] == pytest.approx(found["field_std"].max())
    assert "field_std" in (folder / "field.vtu").read_text(errors="ignore")
    report = evaluate(tmp_path / "out", place / "darcy.h5", resamples=10, pictures=False)
    tested = next(task.coverage for task in report.tasks if task.task == "darcy/circle")
    assert tested is not None
    said, expected = tested.to_json(), made["test"]["darcy/circle"]
    assert said.pop("fields") == expected.pop("fields")
    assert said.pop("mean_width") == pytest.approx(expected.pop("mean_width"), rel=1e-4) and said == expected


def test_an_interrupted_ensemble_goes_on(place, tmp_path):
    config, data = resolve("tiny-darcy", SETTINGS), place / "darcy.h5"

    def interrupt(step):
        if Run.open(out / "member-0").info.finished and step == 2:
            raise KeyboardInterrupt

    out, said = tmp_path / "runs", []
    with pytest.raises(ValueError, match="no ensemble to go on with"):
        train_members(data, out, config, 2, session=Session(resume=True))
    with pytest.raises(KeyboardInterrupt):
        train_members(data, out, config, 2, session=Session(on_step=interrupt))
    with pytest.raises(ValueError, match="member-1 is not trained to its end: the same `train` with --resume"):
        load_operator(out)
    with pytest.raises(ValueError, match="holds an ensemble already; resume it, overwrite it"):
        train_members(data, out, config, 2)
    with pytest.raises(ValueError, match="an ensemble of 2 members, not of 3"):
        train_members(data, out, config, 3, session=Session(resume=True))
    created = Run.open(out / "member-0").info.created
    train_members(data, out, config, 2, session=Session(resume=True, say=said.append))
    assert Run.open(out / "member-0").info.created == created and "member 2 of 2, seed 6" in said
    hashes = [[Run.open(member).weights_hash() for member in member_runs(each)] for each in (out, place / "runs")]
    assert hashes[0] == hashes[1]
    (out / CALIBRATION_FILE).write_text("{}")
    (out / "member-1" / "model.safetensors").unlink()
    train_members(data, out, config, 2, session=Session(overwrite=True))
    assert not (out / CALIBRATION_FILE).exists() and len(member_runs(out)) == 2


def test_what_is_no_ensemble_is_told(place, tmp_path):
    config = resolve("tiny-darcy", SETTINGS)
    with pytest.raises(ValueError, match="holds something that is no ensemble"):
        train_members(place / "darcy.h5", place / "runs" / "member-0", config, 2)
    with pytest.raises(ValueError, match="at least two members, got 1"):
        train_members(place / "darcy.h5", tmp_path / "new", config, 1)
    (tmp_path / ENSEMBLE_FILE).write_text('{"members": "two"}')
    with pytest.raises(ValueError, match=r"ensemble\.json is damaged: members: 'two'"):
        load_operator(tmp_path)
