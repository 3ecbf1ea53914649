"""The simulated data set on disk."""

import csv
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.medical.ultrasound.simulator import sample
from domains.medical.ultrasound.simulator.tasks import SHEETS
from polyhead.application import RESEARCH_USE
from polyhead.system.files import TEMPORARY

SMALL: dict[str, Any] = {"rows_per_task": 6, "validation": 2, "size": (64, 96), "seed": 5}
MIXED = ["breast_lesion", "breast_3cls", "breast_2cls", "uterine_fibroid_det", "IUGC"]


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def rows_of(root, task):
    with (root / "csv_files" / SHEETS[task].table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def opened(path):
    with Image.open(path) as image:
        return image.mode, image.format, np.asarray(image)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    out = tmp_path_factory.mktemp("sample") / "data"
    sample(out, rows_per_task=6, validation=0, size=(64, 96))
    return out


def test_all_27_tables_follow_the_official_layout(everything):
    tables = sorted(path.name for path in (everything / "csv_files").glob("*.csv"))
    assert tables == sorted(sheet.table for sheet in SHEETS.values())
    extra = {
        "segmentation": ["mask_path"],
        "classification": ["mask"],
        "detection": ["x_min", "y_min", "x_max", "y_max"],
    }
    for task, sheet in SHEETS.items():
        rows = rows_of(everything, task)
        assert len(rows) == 6
        points = [f"point_{k + 1}_xy" for k in range(sheet.outputs)]
        assert list(rows[0]) == ["image_path", "task_id", "task_name", "num_classes", *extra.get(sheet.kind, points)]
        for row in rows:
            assert row["task_id"] == task
            assert row["task_name"] == ("Regression" if sheet.kind == "keypoints" else sheet.kind)
            assert int(row["num_classes"]) == sheet.outputs
            assert row["image_path"].startswith("../")
            mode, _, image = opened(everything / "csv_files" / row["image_path"])
            assert mode == "L"
            height, width = image.shape
            assert min(width, height) >= 64
            assert max(width, height) <= 96
            if sheet.kind == "segmentation":
                mode, form, mask = opened(everything / "csv_files" / row["mask_path"])
                assert (mode, form, mask.shape) == ("L", "PNG", image.shape)
                assert mask.max() < sheet.outputs
            elif sheet.kind == "classification":
                assert 0 <= int(row["mask"]) < sheet.outputs
            elif sheet.kind == "detection":
                x0, y0, x1, y1 = (float(row[name]) for name in extra["detection"])
                assert 0 <= x0 < x1 <= width
                assert 0 <= y0 < y1 <= height
            else:
                for name in points:
                    x, y = json.loads(row[name])
                    assert 0 <= x <= width
                    assert 0 <= y <= height


def test_names_and_notes_come_with_the_data(everything):
    names = json.loads((everything / "csv_files" / "labels.json").read_text(encoding="utf-8"))
    assert names == {task: list(sheet.labels) for task, sheet in SHEETS.items()}
    assert RESEARCH_USE in (everything / "README.txt").read_text(encoding="utf-8")
    paths = [row["image_path"] for task in SHEETS for row in rows_of(everything, task)]
    assert {path.rpartition(".")[2] for path in paths} == {"png", "jpg", "bmp"}
    for character in (" ", ",", "(", "+", "\u00a0"):
        assert any(character in path for path in paths), character


def test_some_images_serve_several_tasks(everything):
    lesion, two, three = (
        {row["image_path"]: row for row in rows_of(everything, t)}
        for t in ("breast_lesion", "breast_2cls", "breast_3cls")
    )
    assert len(set(lesion) & set(two) & set(three)) >= 3
    for path in set(two) & set(three):
        assert two[path]["mask"] == three[path]["mask"]
    for path in set(lesion) & set(three):
        _, _, mask = opened(everything / "csv_files" / lesion[path]["mask_path"])
        assert mask.any() == (three[path]["mask"] != "2")
    lung, screen = ([row["image_path"] for row in rows_of(everything, t)] for t in ("lung", "lung_2cls"))
    assert lung == screen


def test_classes_are_balanced(everything):
    for task, sheet in SHEETS.items():
        if sheet.kind == "classification" and sheet.outputs <= 6:
            counts = np.bincount([int(row["mask"]) for row in rows_of(everything, task)], minlength=sheet.outputs)
            assert counts.max() - counts.min() == 0


def test_bytes_depend_on_the_seed_alone(tmp_path):
    sample(tmp_path / "one", **SMALL, tasks=MIXED, workers=1)
    sample(tmp_path / "three", **SMALL, tasks=MIXED, workers=3)
    assert digests(tmp_path / "one") == digests(tmp_path / "three")
    sample(tmp_path / "alone", **SMALL, tasks=["IUGC"])
    table = f"csv_files/{SHEETS['IUGC'].table}"
    assert (tmp_path / "alone" / table).read_bytes() == (tmp_path / "one" / table).read_bytes()
    sample(tmp_path / "other", **{**SMALL, "seed": 6}, tasks=["IUGC"])
    assert (tmp_path / "other" / table).read_bytes() != (tmp_path / "one" / table).read_bytes()
    train, validation = (rows_of(tmp_path / "one" / part, "IUGC") for part in ("", "val"))
    assert (len(train), len(validation)) == (6, 2)
    assert not {row["point_1_xy"] for row in train} & {row["point_1_xy"] for row in validation}


def test_an_interrupted_sample_goes_on_to_the_same_files(tmp_path):
    whole = tmp_path / "whole"
    sample(whole, **SMALL, tasks=MIXED)
    expected = digests(whole)

    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 9:
            raise Stop

    broken = tmp_path / "broken"
    with pytest.raises(Stop):
        sample(broken, **SMALL, tasks=MIXED, progress=stop, workers=1)
    assert len(digests(broken)) < len(expected)
    (broken / f"{TEMPORARY}0-0").write_bytes(b"half a file")
    seen = []
    sample(broken, **SMALL, tasks=MIXED, progress=lambda done, total: seen.append((done, total)))
    assert digests(broken) == expected
    assert [done for done, _ in seen] == list(range(1, seen[0][1] + 1))
    stamps = {path: path.stat().st_mtime_ns for path in broken.rglob("img/*")}
    sample(broken, **SMALL, tasks=MIXED)
    assert {path: path.stat().st_mtime_ns for path in broken.rglob("img/*")} == stamps


def test_other_folders_and_bad_settings_are_refused(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty"):
        sample(taken, **SMALL)
    assert [path.name for path in taken.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="is a file"):
        sample(taken / "thesis.txt", **SMALL)
    ours = tmp_path / "ours"
    sample(ours, rows_per_task=1, validation=0, size=(64, 64), tasks=["IUGC"])
    with pytest.raises(ValueError, match="other settings"):
        sample(ours, rows_per_task=2, validation=0, size=(64, 64), tasks=["IUGC"])
    for wrong in ({"rows_per_task": 0}, {"validation": -1}, {"seed": -1}, {"tasks": []}, {"size": (96, 64)}):
        with pytest.raises(ValueError, match=r"sample needs|size is"):
            sample(tmp_path / "none", **{**SMALL, **wrong})
    with pytest.raises(ValueError, match="no task 'IUGG'"):
        sample(tmp_path / "none", **SMALL, tasks=["IUGG"])
    assert not (tmp_path / "none").exists()
