"""Scores of predicted fields: known errors come out as they are, what is missing is counted, and the report says so."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from operator_toys import darcy_data, plate_data
from rich.console import Console

from domains.pde.data.store import write_data
from domains.pde.evaluation.evaluate import evaluate, read_field
from domains.pde.evaluation.report import write_report
from domains.pde.learning.curves import write_curves
from domains.pde.learning.transfer import TransferPoint
from domains.pde.uncertainty.bands import calibrate
from polyhead.application import RESEARCH_USE
from polyhead.runs.identity import CALIBRATION_FILE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(darcy_data(samples=20), folder / "darcy.h5")
    write_data(plate_data(), folder / "plate.h5")
    return folder


def predicted(folder, samples, factor=1.1, rows=None, split="test"):
    """Answers that are `factor` times the reference, so that every relative error is |factor - 1|."""
    lines = []
    for row in samples.rows(split=split) if rows is None else rows:
        name = f"{samples.tasks[samples.task[row]]}/{row:05d}"
        (folder / name).mkdir(parents=True)
        np.savez(folder / name / "field.npz", field=factor * samples.solution[row], coordinates=samples.coordinates)
        source = {"problem": samples.problem, "row": int(row), "fingerprint": samples.fingerprint()}
        lines.append({"id": name, "status": "ok", "record": {"source": source}})
    with (folder / "results.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def test_known_errors_come_out_as_they_are(data, tmp_path):
    samples = darcy_data(samples=20)
    report = evaluate(predicted(tmp_path, samples), data / "darcy.h5", resamples=50, pictures=False)
    assert [task.task for task in report.tasks] == ["darcy/square", "darcy/circle"] and report.missing == 0
    square = report.tasks[0]
    assert square.score("relative_l2").interval.value == pytest.approx(0.1, rel=1e-5)
    assert square.score("frobenius").interval.value == pytest.approx(0.1, rel=1e-5)
    assert square.errors == pytest.approx([0.1] * 4, rel=1e-5)
    rows = samples.rows(task="darcy/square", split="test")
    largest = np.abs(0.1 * samples.solution[rows]).max(axis=1).mean()
    assert square.score("max_error").interval.value == pytest.approx(largest, rel=1e-5)
    assert square.score("rmse").metric.unit == "m" and square.score("relative_l2").metric.unit is None


def test_the_mean_field_of_the_training_samples_is_the_baseline(data, tmp_path):
    samples = darcy_data(samples=20)
    report = evaluate(predicted(tmp_path, samples), data / "darcy.h5", resamples=50, pictures=False)
    mean = samples.solution[samples.rows(task="darcy/circle", split="train")].mean(axis=0)
    true = samples.solution[samples.rows(task="darcy/circle", split="test")]
    expected = (np.linalg.norm(mean - true, axis=1) / np.linalg.norm(true, axis=1)).mean()
    score = report.tasks[1].score("relative_l2")
    assert score.baseline == pytest.approx(expected, rel=1e-5)
    assert score.above_baseline is True and expected > 0.2


def test_where_geometries_differ_the_mean_is_over_the_samples_that_have_a_point(data, tmp_path):
    samples = plate_data()
    report = evaluate(predicted(tmp_path, samples), data / "plate.h5", resamples=20, pictures=False)
    train, test = samples.rows(split="train"), samples.rows(split="test")
    errors = []
    for row in test:
        mask = samples.mask[row]
        total, count = samples.solution[train].sum(axis=0), samples.mask[train].sum(axis=0)
        mean = np.where(count > 0, total / np.maximum(count, 1), 0)
        errors.append(
            np.linalg.norm((mean - samples.solution[row])[mask]) / np.linalg.norm(samples.solution[row][mask])
        )
    assert report.tasks[0].score("relative_l2").baseline == pytest.approx(np.mean(errors), rel=1e-5)


def test_what_is_missing_or_unusable_counts_as_zero_and_is_named(data, tmp_path):
    samples = darcy_data(samples=20)
    rows = samples.rows(task="darcy/square", split="test")
    out = predicted(tmp_path, samples, rows=rows[:3])
    (out / f"darcy/square/{rows[0]:05d}/field.npz").write_bytes(b"broken")
    np.savez(out / f"darcy/square/{rows[1]:05d}/field.npz", field=np.ones(3), coordinates=np.ones((3, 2)))
    report = evaluate(out, data, resamples=20, pictures=False)
    (task,) = report.tasks
    assert task.rows == 4 and task.missing == 3
    assert sorted(task.errors) == pytest.approx([0.1, 1, 1, 1], rel=1e-5)
    assert [problem.code for problem in report.problems] == ["unreadable", "other-points", "missing", "not-predicted"]


def test_other_data_than_was_predicted_is_refused(data, tmp_path):
    out = predicted(tmp_path, darcy_data(samples=20, seed=9))
    with pytest.raises(ValueError, match="not the data that was predicted"):
        evaluate(out, data / "darcy.h5")
    with pytest.raises(ValueError, match="holds no answer to a sample of"):
        evaluate(out, data / "plate.h5")
    with pytest.raises(ValueError, match="holds no results"):
        evaluate(data, data)
    with pytest.raises(ValueError, match="unknown split 'all of it'"):
        evaluate(out, data, split="all of it")
    with pytest.raises(ValueError, match=r"field.npz is not there: predict again, with fields in --save"):
        read_field(tmp_path)


def test_bands_are_counted_and_told(data, tmp_path):
    samples = darcy_data(samples=20)
    out = predicted(tmp_path, samples, factor=1.0)
    task = "darcy/circle"
    rows = samples.rows(task=task, split="validation")
    noise = np.random.default_rng(0).normal(size=(len(rows), samples.solution.shape[1]))
    made = calibrate(task, noise, samples.sample_mask(rows), samples.coordinates, alpha=0.4)
    (out / CALIBRATION_FILE).write_text(json.dumps({"tasks": {task: made.to_json()}}))
    report = evaluate(out, data / "darcy.h5", resamples=20, pictures=False)
    assert report.tasks[0].coverage is None
    covered = report.tasks[1].coverage
    assert covered is not None and covered.fields.value == 1.0 and covered.rows == 4
    (out / CALIBRATION_FILE).write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        evaluate(out, data / "darcy.h5")


class Page(HTMLParser):
    """What a page would load, and its text."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.images, self.words = [], 0, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("data:"):
                self.loads.append(value)
            self.images += tag == "img" and name == "src"

    def handle_data(self, data):
        self.words += data


def test_the_report_is_one_page_that_loads_nothing(data, tmp_path):
    samples = plate_data()
    out = predicted(tmp_path / "out", samples)
    report = evaluate(out, data / "plate.h5", resamples=20)
    page, numbers, table = write_report(report, tmp_path / "report.html")
    seen = Page(page.read_text())
    assert seen.loads == [] and seen.images == 2 and RESEARCH_USE in seen.words
    assert "plate, worst sample" in seen.words and "10.00 %" in seen.words
    found = json.loads(numbers.read_text())
    assert found["research_use"] == RESEARCH_USE and found["tasks"][0]["drawn"].keys() == {"median", "worst"}
    assert found["tasks"][0]["scores"][0]["value"] == pytest.approx(0.1, rel=1e-5)
    assert table.read_text().count("\n") == 1 + len(report.tasks[0].scores)
    console = Console(width=120, file=io.StringIO())
    report.print(console)
    assert RESEARCH_USE in console.file.getvalue() and "10.00 %" in console.file.getvalue()


def test_learning_curves_are_drawn_and_kept(tmp_path):
    points = [
        TransferPoint(way, samples, 0, error, error, 1.0)
        for way, samples, error in (("transfer", 10, 0.1), ("transfer", 100, 0.05), ("scratch", 10, 0.4))
    ]
    page = write_curves({"darcy/star": points, "darcy/<b>": points[:1]}, tmp_path / "new" / "curve.html")
    seen = Page(page.read_text())
    assert seen.loads == [] and RESEARCH_USE in seen.words
    assert "10.00 %" in seen.words and "40.00 %" in seen.words and "darcy/<b>" in seen.words
    kept = json.loads(page.with_suffix(".json").read_text())
    assert [point["relative_l2_mean"] for point in kept["tasks"]["darcy/star"]] == [0.1, 0.05, 0.4]
