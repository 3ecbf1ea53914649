"""A folder of predictions scored end to end: known scores, missing and broken predictions, baselines, reports."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from domains.medical.intake.masks import read_stored_mask
from domains.medical.ultrasound.data.rows import Kind, Row
from domains.medical.ultrasound.evaluation.baselines import fit_baselines
from domains.medical.ultrasound.evaluation.evaluate import evaluate
from domains.medical.ultrasound.evaluation.report import Report, _ticks, write_report
from domains.medical.ultrasound.predicting.predictions import (
    FILES,
    Answer,
    BoxAnswer,
    ClassAnswer,
    MaskAnswer,
    PointsAnswer,
    mask_file,
    read_predictions,
    write_predictions,
)
from polyhead.application import RESEARCH_USE

WIDTH, HEIGHT = 40, 30
DIAGONAL = 50.0


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Four images a task: masks of three classes, three classes, a box, two points."""
    data = tmp_path / "data"
    made = []
    for index in range(4):
        name = f"image\u00a0{index}, (a).png"
        image = data / "img" / name
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (WIDTH, HEIGHT), 40 * index).save(image)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[5:15, 5 : 15 + index] = 1
        mask[20:25, 20:30] = 2
        mask_path = f"../Segmentation/mask/{name}"
        file = data / mask_path.removeprefix("../")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(file)
        shared = {"image": image, "image_path": f"../img/{name}", "table": "all.csv", "line": index + 2}
        corner = 2.0 * index
        made += [
            Row("seg", "segmentation", 3, mask=file, mask_path=mask_path, **shared),
            Row("cls", "classification", 3, label=(0, 1, 2, 2)[index], **shared),
            Row("det", "detection", 1, box=(corner, 4.0, corner + 20, 24.0), **shared),
            Row("reg", "keypoints", 2, points=((corner, 3.0), (30.0, corner)), **shared),
        ]
    return made


def truth(row: Row) -> Answer:
    if row.kind == "segmentation":
        assert row.mask is not None
        return MaskAnswer(read_stored_mask(row.mask).values)
    if row.kind == "classification":
        return ClassAnswer(tuple(0.8 if index == row.label else 0.1 for index in range(row.outputs)))
    if row.kind == "detection":
        assert row.box is not None
        return BoxAnswer(row.box, (WIDTH, HEIGHT))
    assert row.points is not None
    return PointsAnswer(row.points, None)


def score(report: Report, task: str, metric: str):
    (found,) = [s for t in report.tasks if t.task == task for s in t.scores if s.metric.name == metric]
    return found


def codes(report: Report) -> set[str]:
    return {problem.code for problem in report.problems}


def change(folder: Path, kind: Kind, index: int, **fields) -> None:
    path = folder / FILES[kind]
    entries = json.loads(path.read_text())
    entries[index].update(fields)
    path.write_text(json.dumps(entries))


def run(folder: Path, rows: Sequence[Row], **options) -> Report:
    return evaluate(folder, folder, rows=rows, **{"resamples": 50, **options})


def test_the_truth_scores_best(tmp_path: Path, rows: list[Row]):
    written = write_predictions(tmp_path / "out" / "fm-uia", rows, map(truth, rows))
    assert len(written) == 4 + 3
    report = run(tmp_path / "out", rows)
    best = {"DSC": 1, "HD": 0, "HD95": 0, "Accuracy": 1, "AUC": 1, "F1_macro": 1, "F1_weighted": 1, "MCC": 1}
    best |= {"IoU": 1, "MRE": 0}
    assert {s.metric.name: s.interval.value for t in report.tasks for s in t.scores} == best
    assert set(report.means) == {
        *("Segmentation_DSC", "Segmentation_HD", "Segmentation_HD95", "Classification_Accuracy", "Classification_AUC"),
        *("Classification_F1_macro", "Classification_F1_weighted", "Classification_MCC", "Detection_IoU"),
        "Regression_MRE",
    }
    assert (report.rows, report.missing, report.problems) == (16, 0, ())
    assert all(s.alternative == s.interval.value for t in report.tasks for s in t.scores)


def test_values_by_hand(tmp_path: Path, rows: list[Row]):
    def shifted(row: Row) -> Answer:
        answer = truth(row)
        if isinstance(answer, MaskAnswer):
            return MaskAnswer(np.where(answer.mask == 2, 0, answer.mask).astype(np.uint8))
        if isinstance(answer, BoxAnswer):
            x_min, y_min, _, y_max = answer.box
            return BoxAnswer((x_min, y_min, x_min + 10, y_max), answer.size)
        if isinstance(answer, PointsAnswer):
            return PointsAnswer(((answer.points[0][0] + 3, answer.points[0][1] + 4), answer.points[1]), answer.size)
        return answer

    write_predictions(tmp_path, rows, map(shifted, rows))
    report = run(tmp_path, rows)
    assert score(report, "seg", "DSC").interval.value == 0.5
    assert score(report, "seg", "HD").interval.value == DIAGONAL / 2
    assert report.tasks[0].per_class["DSC"] == (1, 0)
    assert score(report, "det", "IoU").interval.value == pytest.approx(0.5)
    mre = score(report, "reg", "MRE")
    assert mre.interval.value == pytest.approx(2.5)
    assert math.isnan(mre.interval.low)  # four equal errors tell nothing of their spread


def test_missing_predictions_count_as_the_worst(tmp_path: Path, rows: list[Row]):
    answers = [None if row.line == 5 else truth(row) for row in rows]
    write_predictions(tmp_path, rows, answers)
    report = run(tmp_path, rows)
    assert report.missing == 4
    assert [problem.code for problem in report.problems] == ["prediction-missing"] * 4
    assert "all.csv:5 seg" in str(report.problems[0])
    assert score(report, "seg", "DSC").interval.value == 0.75
    assert score(report, "seg", "HD").interval.value == DIAGONAL / 4
    assert score(report, "det", "IoU").interval.value == 0.75
    assert score(report, "reg", "MRE").interval.value == DIAGONAL / 4
    assert score(report, "cls", "Accuracy").interval.value == 0.75
    # The last row is of class 2 and counts as class 0: areas 2/3 (0 against the rest), 1, and 2/3 (2 against the rest).
    assert score(report, "cls", "AUC").interval.value < 1
    assert score(report, "seg", "DSC").alternative == 1

    official = run(tmp_path, rows, official=True)
    assert official.missing == 4
    for task, metric, best in (("seg", "DSC", 1), ("seg", "HD", 0), ("cls", "AUC", 1), ("det", "IoU", 1)):
        assert score(official, task, metric).interval.value == best
        assert score(official, task, metric).alternative == score(report, task, metric).interval.value


def test_absent_classes(tmp_path: Path, rows: list[Row]):
    wider = [replace(row, outputs=4) if row.task == "cls" else row for row in rows]
    write_predictions(tmp_path, wider, map(truth, wider))
    report, official = run(tmp_path, wider), run(tmp_path, wider, official=True)
    assert score(report, "cls", "AUC").interval.value == 1
    assert any("class 3" in note for task in report.tasks for note in task.notes)
    assert score(official, "cls", "AUC").interval.value == 0
    assert score(official, "cls", "Accuracy").interval.value == 1
    assert official.means["Classification_AUC"].interval.value == 0


def test_a_task_without_any_prediction(tmp_path: Path, rows: list[Row]):
    other = [replace(row, task="seg2", mask_path=f"../Other/{row.line}.png") for row in rows if row.task == "seg"]
    write_predictions(tmp_path, rows, map(truth, rows))
    report = run(tmp_path, [*rows, *other])
    assert score(report, "seg2", "DSC").interval.value == 0
    assert math.isnan(score(report, "seg2", "DSC").alternative)
    assert report.means["Segmentation_DSC"].interval.value == 0.5
    assert report.means["Segmentation_DSC"].alternative == 1
    json.dumps(run(tmp_path, [*rows, *other], official=True).to_json(), allow_nan=False)


def test_broken_entries_are_listed(tmp_path: Path, rows: list[Row]):
    write_predictions(tmp_path, rows, map(truth, rows))
    change(tmp_path, "classification", 0, predicted_probs=[0.5, 0.1, 0.1])
    change(tmp_path, "classification", 1, predicted_probs=[0.5, float("nan"), 0.1])
    change(tmp_path, "classification", 2, predicted_class=3)
    change(tmp_path, "detection", 0, bbox_pixels=[20, 4, 0, 24])
    change(tmp_path, "detection", 1, bbox_pixels=[0, 4, float("inf"), 24])
    change(tmp_path, "detection", 2, bbox_pixels=[0, 4, 60, 24])
    change(tmp_path, "keypoints", 0, predicted_points_pixels=[1, 2, 3])
    change(tmp_path, "keypoints", 1, predicted_points_normalized=[0.5, 0.5, 0.5, 0.5])
    path = tmp_path / FILES["keypoints"]
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([*entries, entries[2], {**entries[2], "image_path": "nowhere.png"}, 7]))
    masks = [tmp_path / mask_file(row) for row in rows if row.task == "seg"]
    Image.fromarray(np.full((HEIGHT, WIDTH), 3, np.uint8)).save(masks[0])
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(masks[1])
    masks[2].write_bytes(b"not an image")
    (masks[0].parent / "stray.png").write_bytes(b"")
    report = run(tmp_path, rows)
    assert codes(report) == {
        *("probabilities-sum", "probabilities-invalid", "class-outside", "box-inverted", "coordinates-invalid"),
        *(
            "coordinates-outside",
            "coordinates-disagree",
            "prediction-duplicate",
            "prediction-extra",
            "prediction-missing",
        ),
        *("entry-not-an-object", "mask-values", "mask-size", "mask-unreadable"),
    }
    missing = {task.task: task.missing for task in report.tasks}
    assert missing == {"seg": 1, "cls": 1, "det": 1, "reg": 1}
    assert score(report, "cls", "Accuracy").interval.value == 0.75
    assert sum(problem.code == "prediction-extra" for problem in report.problems) == 2


def test_broken_files_are_listed(tmp_path: Path, rows: list[Row]):
    write_predictions(tmp_path, rows, map(truth, rows))
    (tmp_path / FILES["classification"]).write_text("[{")
    (tmp_path / FILES["detection"]).write_text("{}")
    (tmp_path / FILES["keypoints"]).unlink()
    report = run(tmp_path, rows)
    assert report.missing == 12
    assert {"predictions-unreadable", "predictions-absent"} <= codes(report)
    with pytest.raises(ValueError, match="holds no predictions"):
        run(tmp_path / "elsewhere", rows)


def test_baselines_stand_beside(tmp_path: Path, rows: list[Row]):
    fitted = fit_baselines(rows)
    assert fitted.values["cls"] == (0.25, 0.25, 0.5)
    assert fitted.values["det"] == pytest.approx((3 / WIDTH, 4 / HEIGHT, 23 / WIDTH, 24 / HEIGHT))
    answers = [fitted.answer(row) for row in rows]
    write_predictions(tmp_path, rows, answers)
    report = run(tmp_path, rows, baselines_from=rows)
    for task in report.tasks:
        assert task.notes == ()
        for found in task.scores:
            assert found.baseline == pytest.approx(found.interval.value), found.metric.name
            assert found.above_baseline is False
    assert score(report, "cls", "AUC").baseline == 0.5
    assert score(report, "cls", "Accuracy").baseline == 0.5
    assert report.tasks[0].baseline == "mean mask" and score(report, "seg", "DSC").baseline > 0.9
    far = [replace(row, mask=None) if row.line < 4 else row for row in rows]
    absent = run(tmp_path, rows, baselines_from=[row for row in far if row.task != "seg"])
    assert any("favours" in note for task in absent.tasks for note in task.notes if task.task == "seg")
    own = run(tmp_path, rows)
    assert all("favours" in task.notes[-1] for task in own.tasks)


def test_the_mean_mask_is_drawn_where_it_does_best(tmp_path: Path):
    """Ten bars that end at different places: one of width w against one of t has DSC 2 min(w, t) / (w + t)."""
    made, widths = [], [16, 20, 24, 28, 32, 36, 40, 44, 48, 52]
    for index, width in enumerate(widths):
        mask = np.zeros((64, 64), np.uint8)
        mask[16:48, :width] = 1
        Image.fromarray(mask).save(tmp_path / f"m{index}.png")
        Image.new("L", (64, 64)).save(tmp_path / f"{index}.png")
        names = {"image_path": f"../{index}.png", "mask_path": f"../m{index}.png", "line": index}
        made.append(Row("bar", "segmentation", 2, tmp_path / f"{index}.png", mask=tmp_path / f"m{index}.png", **names))
    found = fit_baselines(made).mean_masks["bar"]
    assert found is not None and found.empty == 0
    reached = {t: np.mean([2 * min(w, t) / (w + t) for w in widths]) for t in widths}
    assert found.dsc == pytest.approx(max(reached.values()))
    best = max(reached, key=lambda t: reached[t])
    drawn = found.at((64, 64))
    assert drawn[16:48, :best].all() and drawn.sum() == 32 * best
    assert found.at((32, 128)).sum() == pytest.approx(16 * 2 * best, abs=4 * 16)

    seldom = [row if index < 2 else replace(row, mask=tmp_path / "none.png") for index, row in enumerate(made)]
    Image.new("L", (64, 64)).save(tmp_path / "none.png")
    rare = fit_baselines(seldom)
    found = rare.mean_masks["bar"]
    assert found is not None and found.empty == 0.8 > found.dsc
    answer = rare.answer(made[0])
    assert isinstance(answer, MaskAnswer) and not answer.mask.any()


def test_lossless_masks_under_a_lossy_name(tmp_path: Path, rows: list[Row]):
    lossy = [replace(row, mask_path=f"../Segmentation/{row.line}.jpg") for row in rows if row.task == "seg"]
    write_predictions(tmp_path, lossy, map(truth, lossy))
    assert (tmp_path / "Segmentation" / "2.jpg").read_bytes().startswith(b"\x89PNG")
    report = run(tmp_path, lossy)
    assert score(report, "seg", "DSC").interval.value == 1
    Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "Segmentation" / "3.jpg")
    assert "mask-lossy" in codes(run(tmp_path, lossy))


@pytest.mark.parametrize("mask_path", ["../a/../../b.png", "/etc/b.png", "..", "..\\a\\..\\..\\b.png"])
def test_masks_stay_in_their_folder(tmp_path: Path, rows: list[Row], mask_path: str):
    row = replace(rows[0], mask_path=mask_path)
    with pytest.raises(ValueError, match="leaves the folder"):
        write_predictions(tmp_path, [row], [truth(row)])
    for text in ("../../x/y.png", "..\\x\\y.png", "x/y.png"):
        assert mask_file(replace(row, mask_path=text)).as_posix() == "x/y.png"


def test_wrong_answers_are_refused(tmp_path: Path, rows: list[Row]):
    seg, cls, det, reg = rows[:4]
    wrong: list[tuple[Row, Answer, str]] = [
        (seg, ClassAnswer((1.0,)), "MaskAnswer"),
        (seg, MaskAnswer(np.full((HEIGHT, WIDTH), 3, np.uint8)), "below 3"),
        (seg, MaskAnswer(np.zeros((WIDTH, HEIGHT), np.uint8)), "for an image of 30 x 40"),
        (cls, ClassAnswer((0.5, 0.5)), "3 finite probabilities"),
        (det, BoxAnswer((0, 0, math.nan, 1), (WIDTH, HEIGHT)), "4 finite coordinates"),
        (reg, PointsAnswer(((0, 0),), (WIDTH, HEIGHT)), "4 finite coordinates"),
    ]
    for row, answer, message in wrong:
        with pytest.raises(ValueError, match=message):
            write_predictions(tmp_path / "out", [row], [answer])
    assert not list(tmp_path.glob("out/*"))


def test_answers_come_back_as_written(tmp_path: Path, rows: list[Row]):
    write_predictions(tmp_path, rows, map(truth, rows))
    read = read_predictions(tmp_path, rows)
    for row in rows:
        answer, problems = read.answer(row)
        assert problems == []
        expected = truth(row)
        if isinstance(expected, MaskAnswer):
            assert isinstance(answer, MaskAnswer)
            np.testing.assert_array_equal(answer.mask, expected.mask)
        elif isinstance(expected, PointsAnswer):
            assert answer == replace(expected, size=(WIDTH, HEIGHT))
        else:
            assert answer == expected


def test_rows_that_cannot_be_scored(tmp_path: Path, rows: list[Row]):
    write_predictions(tmp_path, rows, map(truth, rows))
    unlabelled = [replace(row, label=None) if row.task == "cls" and row.line == 2 else row for row in rows]
    gone = [
        replace(row, mask=tmp_path / "gone.png") if row.task == "seg" and row.line == 2 else row for row in unlabelled
    ]
    report = run(tmp_path, gone)
    assert codes(report) == {"row-unlabelled", "row-unscorable"}
    assert {task.task: task.rows for task in report.tasks} == {"seg": 3, "cls": 3, "det": 4, "reg": 4}
    with pytest.raises(ValueError, match="no labelled rows"):
        run(tmp_path, [replace(row, box=None) for row in rows if row.task == "det"])
    with pytest.raises(ValueError, match="num_classes 5"):
        run(tmp_path, [*rows, replace(rows[1], outputs=5)])
    odd = [
        *(replace(rows[1], label=9), replace(rows[2], box=(9.0, 4.0, 3.0, 24.0))),
        *(replace(rows[3], points=((1.0, 1.0),)), replace(rows[3], points=((1.0, 1.0), (math.nan, 2.0)))),
    ]
    report = run(tmp_path, [*rows, *odd], baselines_from=[*rows, *odd])
    assert {task.task: task.rows for task in report.tasks} == dict.fromkeys(("seg", "cls", "det", "reg"), 4)
    assert codes(report) == {"class-outside", "bad-box", "point-count", "bad-point"}
    beyond = replace(rows[3], points=((1.0, 1.0), (WIDTH + 2.0, 2.0)))
    report = run(tmp_path, [*rows, beyond])
    assert codes(report) == {"point-outside"} and report.tasks[-1].rows == 5


def test_axes_hold_their_values_between_round_numbers():
    assert _ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert _ticks(-0.12, 1) == pytest.approx([-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1])
    assert _ticks(0, 272.1) == pytest.approx([0, 50, 100, 150, 200, 250, 300])


def test_reports(tmp_path: Path, rows: list[Row]):
    evil = [replace(row, task="<b>det</b>") if row.task == "det" else row for row in rows]
    write_predictions(tmp_path / "out", evil, [None if row.line == 5 else truth(row) for row in evil])
    report = run(tmp_path / "out", evil)
    page, data, table = write_report(report, tmp_path / "reports" / "scores.html")
    text = page.read_text()
    assert RESEARCH_USE in text
    assert "<b>det" not in text
    assert "&lt;b&gt;det" in text
    assert "http" not in text
    assert text.count("<figure>") == 11
    found = json.loads(data.read_text())
    assert found["leaderboard"]["Regression_MRE"]["value"] == DIAGONAL / 4
    assert len(found["problems"]) == found["missing"] == 4
    lines = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(lines) == 10 + 10
    assert lines[0]["task"] == "seg"
    assert float(lines[0]["value"]) == 0.75

    stream = io.StringIO()
    report.print(Console(file=stream, width=140))
    printed = stream.getvalue()
    for words in ("Segmentation_DSC", "missing skipped", "0.750", "4 prediction-missing", "<b>det</b>", RESEARCH_USE):
        assert words in printed
