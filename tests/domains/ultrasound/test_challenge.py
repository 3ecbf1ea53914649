"""The whole-set files of the challenge: every row answered once, names kept to the letter, masks of the right size."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domains.medical.ultrasound.asking.sources import cases_from
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.predicting.challenge import write_challenge
from domains.medical.ultrasound.predicting.decode import Answers, TaskAnswer
from domains.medical.ultrasound.predicting.predictions import read_predictions
from domains.medical.ultrasound.predicting.write import write_answers
from polyhead.batch.case import Case
from polyhead.batch.writer import CaseWriter

ODD = "uterine fibroid\u00a0ultrasound images_871 (1), a+b.png"
SIZES = {ODD: (40, 52), "plain.png": (36, 61), "shared.bmp": (44, 44)}
TASKS = {"seg": ("segmentation", 3), "cls": ("classification", 2), "det": ("detection", 1), "reg": ("keypoints", 2)}


def table(root: Path, name: str, lines: list[str]) -> None:
    (root / "csv_files" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three images, one of them asked for three tasks and under two spellings of its path."""
    root = tmp_path_factory.mktemp("data")
    (root / "csv_files").mkdir()
    (root / "pictures" / "img").mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        Image.new("RGB", (width, height), (90, 40, 10)).save(root / "pictures" / "img" / name)
    there, odd = "../pictures/img", f'"../pictures/img/{ODD}"'
    mask = odd.replace("/img/", "/mask/")
    common = "image_path,task_id,task_name,num_classes"
    seg = [f"{common},mask_path", f"{odd},seg,segmentation,3,{mask}"]
    seg += [f"{there}/plain.png,seg,segmentation,3,../pictures/mask/plain.png"]
    table(root, "Seg-Three_1.a.csv", seg)
    cls = [f"{common},mask", f"{there}/shared.bmp,cls,classification,2,1", f"{odd},cls,classification,2,0"]
    table(root, "Cls-Two_1.b.csv", [*cls, "../pictures/../pictures/img/shared.bmp,cls,classification,2,1"])
    table(root, "Det-One_1.c.csv", [f"{common},x_min,y_min,x_max,y_max", f"{there}/shared.bmp,det,detection,1,1,2,3,4"])
    reg = [f"{common},point_1_xy,point_2_xy", f'{odd},reg,Regression,2,"[1, 2]","[3, 4]"']
    table(root, "Reg-Two_1.d.csv", [*reg, f'{there}/plain.png,unknown,Regression,2,"[1, 2]","[3, 4]"'])
    return root


def answer(case: Case, task: str) -> TaskAnswer:
    height, width = SIZES[case.path.name]
    seed = len(case.path.name)
    if task == "seg":
        return TaskAnswer(
            "segmentation", (), mask=(np.arange(height * width).reshape(height, width) % 3).astype(np.uint8)
        )
    if task == "cls":
        return TaskAnswer("classification", (), probabilities=[1 / seed, 1 - 1 / seed])
    if task == "det":
        return TaskAnswer("detection", (), box=(11.0, 4.0, 33.0, 22.0), score=0.5)
    return TaskAnswer("keypoints", (), points=[(0.0, 10.0), (width / 4, float(height))])


@pytest.fixture(scope="module")
def batch(data, tmp_path_factory) -> tuple[Path, list[Case]]:
    """The results of a batch as a predictor writes them."""
    out = tmp_path_factory.mktemp("out")
    cases = cases_from(data, tasks=TASKS)
    for case in cases:
        tasks = {task: answer(case, task) for task in case.tasks if task in TASKS}
        if tasks:
            writer = CaseWriter(out / case.id)
            image = np.zeros((*SIZES[case.path.name], 3), np.uint8)
            write_answers(Answers(image, None, tasks), writer)
            writer.commit()
    return out, cases


@pytest.fixture(scope="module")
def written(batch, data) -> tuple[Path, list]:
    out, cases = batch
    return out / "fm-uia", write_challenge(out, data, cases, [case.id for case in cases])


def test_every_row_is_answered_exactly_once_in_the_order_of_the_tables(written, data):
    folder, missing = written
    assert [(row.task, row.image_path) for row in missing] == [("unknown", "../pictures/img/plain.png")]
    entries = [
        (entry["task_id"], entry["image_path"])
        for name in ("classification", "detection", "regression")
        for entry in json.loads((folder / f"{name}_predictions.json").read_text(encoding="utf-8"))
    ]
    rows = [row for row in read_tables(data).rows if row.task != "unknown"]
    assert entries == [(row.task, row.image_path) for row in rows if row.kind != "segmentation"]
    masks = {str(path.relative_to(folder)) for path in folder.rglob("*.png")}
    assert masks == {f"pictures/mask/{ODD}", "pictures/mask/plain.png"}
    assert max(Counter(entries).values()) == 1 and len(entries) + len(masks) == len(rows) == 7


def test_an_image_under_two_spellings_is_answered_under_both(written):
    folder, _ = written
    found = json.loads((folder / "classification_predictions.json").read_text(encoding="utf-8"))
    shared = [entry for entry in found if entry["image_path"].endswith("shared.bmp")]
    assert len(shared) == 2 and shared[0]["predicted_probs"] == shared[1]["predicted_probs"] == [0.1, 0.9]
    assert shared[0]["predicted_class"] == 1


def test_masks_have_the_size_and_values_of_their_image(written):
    folder, _ = written
    for name in (ODD, "plain.png"):
        with Image.open(folder / "pictures" / "mask" / name) as mask:
            assert mask.mode == "L" and mask.size == SIZES[name][::-1]
            height, width = SIZES[name]
            assert np.array_equal(np.asarray(mask), np.arange(height * width).reshape(height, width) % 3)


def test_boxes_and_points_are_given_in_pixels_and_in_fractions(written):
    folder, _ = written
    box = json.loads((folder / "detection_predictions.json").read_text(encoding="utf-8"))[0]
    assert box["bbox_pixels"] == pytest.approx([11, 4, 33, 22])
    assert box["bbox_normalized"] == pytest.approx([0.25, 4 / 44, 0.75, 0.5])
    points = json.loads((folder / "regression_predictions.json").read_text(encoding="utf-8"))[0]
    assert points["image_path"] == f"../pictures/img/{ODD}"
    assert points["predicted_points_pixels"] == pytest.approx([0, 10, 13, 40])
    assert points["predicted_points_normalized"] == pytest.approx([0, 0.25, 0.25, 1])


def test_the_scorers_reader_finds_every_answer(written, data):
    rows = [row for row in read_tables(data).rows if row.task != "unknown"]
    predictions = read_predictions(written[0], rows)
    assert predictions.problems == []
    assert all(predictions.answer(row)[0] is not None for row in rows)


def test_rows_of_failed_cases_are_missing_and_named(batch, data):
    out, cases = batch
    done = [case.id for case in cases if case.path.name != ODD]
    missing = write_challenge(out, data, cases, done)
    assert Counter(row.task for row in missing) == {"seg": 1, "cls": 1, "reg": 1, "unknown": 1}
    found = json.loads((out / "fm-uia" / "classification_predictions.json").read_text(encoding="utf-8"))
    assert len(found) == 2
    # Nothing of the whole batch before stays to answer in their place.
    assert not (out / "fm-uia" / "pictures" / "mask" / ODD).exists()
    assert not (out / "fm-uia" / "regression_predictions.json").exists()
    write_challenge(out, data, cases, [case.id for case in cases])
    assert (out / "fm-uia" / "regression_predictions.json").exists()
