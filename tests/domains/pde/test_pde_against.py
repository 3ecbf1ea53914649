"""Δm against single-task models: known errors give known values, from predictions and from runs."""

import numpy as np
import pytest
import torch
from operator_toys import darcy_data
from rich.console import Console
from test_pde_evaluate import predicted

from domains.pde.asking.sources import cases_from
from domains.pde.data.store import write_data
from domains.pde.evaluation.against import Against, Single
from domains.pde.evaluation.compare import compare
from domains.pde.evaluation.evaluate import evaluate
from domains.pde.evaluation.report import write_report
from domains.pde.learning.training import train
from domains.pde.predicting.predict import PDEPredictor
from domains.pde.presets import resolve


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "darcy.h5"
    write_data(darcy_data(samples=20), path)
    return path


def rows_of(task):
    samples = darcy_data(samples=20)
    return samples.rows(task=task, split="test")


def test_delta_m_of_known_errors(data, tmp_path):
    samples = darcy_data(samples=20)
    report = evaluate(predicted(tmp_path / "multi", samples, factor=1.1), data, resamples=10, pictures=False)
    square = predicted(tmp_path / "square", samples, factor=1.2, rows=rows_of("darcy/square"))
    circle = predicted(tmp_path / "circle", samples, factor=0.92, rows=rows_of("darcy/circle"))
    found = compare(report, [square, circle], data)
    # 10 % against 20 % halves the error; against 8 % it adds a quarter.
    assert found.of("darcy/square") == pytest.approx(-50, abs=1e-3)
    assert found.of("darcy/circle") == pytest.approx(25, abs=1e-3)
    assert found.delta_m == pytest.approx(-12.5, abs=1e-3) and found.missing == ()
    one = compare(report, [square], data)
    assert one.delta_m == pytest.approx(-50, abs=1e-3) and one.missing == ("darcy/circle",)
    with pytest.raises(ValueError, match="both answer darcy/square; give one of them"):
        compare(report, [square, square], data)
    with pytest.raises(ValueError, match="is not a run"):
        compare(report, [tmp_path], data)
    few = predicted(tmp_path / "few", samples, rows=rows_of("darcy/circle")[:2])
    with pytest.raises(ValueError, match="2 samples have no answer; predict them first"):
        compare(report, [few], data)


def test_the_report_says_it(data, tmp_path):
    report = evaluate(predicted(tmp_path / "multi", darcy_data(samples=20)), data, resamples=10, pictures=False)
    assert report.to_json()["against_single_tasks"] is None
    single = {"darcy/square": Single(0.2, "alone")}
    report = report.__class__(
        **{**report.__dict__, "against": Against({"darcy/square": 0.1}, single, ("darcy/circle",))}
    )
    said = report.to_json()["against_single_tasks"]
    assert said["delta_m"] == -50 and said["missing"] == ["darcy/circle"]
    assert said["tasks"]["darcy/square"] == {"multi": 0.1, "single": 0.2, "delta_m": -50, "against": "alone"}
    console = Console(width=200, record=True)
    report.print(console)
    words = console.export_text()
    assert "darcy/square: 10.00 % with the others, 20.00 % alone (alone): Δm -50.0 %" in words
    assert "mean of 1 tasks: Δm -50.0 % of relative L2; below 0 is a gain" in words
    page = write_report(report, tmp_path / "report.html")[0].read_text()
    assert "Against single-task models" in page and "not compared" in page


def test_a_single_task_run_answers_by_itself(data, tmp_path):
    torch.set_num_threads(1)
    settings = {"epochs": 1, "steps_per_epoch": 3, "image_size": None, "channels": (8, 16)}
    train(data, tmp_path / "run", resolve("tiny-darcy", settings), tasks=["darcy/circle"])
    predictor = PDEPredictor(tmp_path / "run", device="cpu")
    questions = [predictor.read(case) for case in cases_from(data, split="test", tasks=["darcy/circle"])]
    field, _ = predictor.fields(questions)
    true = np.array([question.reference for question in questions])
    expected = (np.linalg.norm(field - true, axis=1) / np.linalg.norm(true, axis=1)).mean()
    report = evaluate(predicted(tmp_path / "multi", darcy_data(samples=20)), data, resamples=10, pictures=False)
    found = compare(report, [tmp_path / "run"], data, device="cpu")
    assert found.single["darcy/circle"].value == pytest.approx(expected, rel=1e-5)
    assert found.delta_m == pytest.approx(100 * (0.1 - expected) / expected, rel=1e-4)
    assert found.missing == ("darcy/square",)
