"""Each fault of a labelled row is one line with a stable code, and only its row is left out."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domains.medical.ultrasound.data.checks import check_rows, content_hashes, leaks, require_none, write_problem_report
from domains.medical.ultrasound.data.rows import Row
from polyhead.evaluation.report import Problem

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    generator = np.random.default_rng(1)
    for name in ("a", "b", "c"):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4:9, 5:20] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def row(data: Path, kind: Any = "classification", name="a.png", line=2, **fields) -> Row:
    if fields.get("mask"):
        fields |= {"mask": data / fields["mask"], "mask_path": f"../{fields['mask']}"}
    defaults = {"task": kind, "outputs": 2, "table": "T.csv", "line": line}
    return Row(kind=kind, image=data / name, image_path=f"../{name}", **defaults | fields)


def code_of(*rows: Row, **options) -> str:
    checked = check_rows(rows, **options)
    (problem,) = checked.problems
    assert "\n" not in str(problem) and problem.remedy
    return problem.code


def test_good_rows_stay_in_order(data):
    rows = [
        row(data, "segmentation", mask="mask.png"),
        row(data, "classification", label=1),
        row(data, "detection", box=(0.0, 0.0, WIDTH, HEIGHT)),
        row(data, "keypoints", points=((0.0, 0.0), (WIDTH, HEIGHT))),
        row(data, "classification", name="b.png", label=0),
    ]
    assert check_rows(rows).rows == rows
    assert check_rows(rows).problems == []
    assert check_rows(rows, decode=False, workers=1, strict=True).rows == rows


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "classification", "label": 2}, "class-outside"),
        ({"kind": "classification", "label": -1}, "class-outside"),
        ({"kind": "classification"}, "missing-label"),
        ({"kind": "detection", "box": (9, 2, 3, 8)}, "bad-box"),
        ({"kind": "detection", "box": (3, 2, 3, 8)}, "bad-box"),
        ({"kind": "detection", "box": (float("nan"), 2, 3, 8)}, "bad-box"),
        ({"kind": "detection", "box": (1, 2, 33, 8)}, "box-outside"),
        ({"kind": "detection", "box": (-0.5, 2, 3, 8)}, "box-outside"),
        ({"kind": "keypoints", "points": ((1, 1),)}, "point-count"),
        ({"kind": "keypoints", "points": ((1, 1), (2, float("inf")))}, "bad-point"),
        ({"kind": "keypoints", "points": ((1, 1), (2, 25))}, "point-outside"),
        ({"kind": "segmentation"}, "missing-mask"),
        ({"kind": "segmentation", "mask": "absent.png"}, "missing-mask"),
        ({"kind": "segmentation", "mask": "a.png"}, "bad-mask"),
        ({"kind": "classification", "label": 1, "name": "absent.png"}, "missing-file"),
    ],
)
def test_a_fault_leaves_its_row_out_and_no_other(data, fields, code):
    bad = row(data, line=7, **fields)
    good = row(data, "classification", name="b.png", label=0, task="other")
    checked = check_rows([good, bad])
    assert checked.rows == [good]
    assert [(problem.code, problem.where) for problem in checked.problems] == [(code, "T.csv:7")]


def test_masks_must_fit_their_image_and_their_classes(data):
    Image.fromarray(np.zeros((WIDTH, HEIGHT), np.uint8)).save(data / "turned.png")
    assert code_of(row(data, "segmentation", mask="turned.png")) == "mask-size"
    Image.fromarray(np.full((HEIGHT, WIDTH), 200, np.uint8)).save(data / "white.png")
    bad = row(data, "segmentation", mask="white.png")
    assert code_of(bad) == "mask-values"
    assert "[200] (100.00% of it) outside [0, 2)" in str(check_rows([bad]).problems[0])
    assert check_rows([bad], masks=False).rows == [bad]
    assert check_rows([replace(bad, outputs=256)]).rows == [replace(bad, outputs=256)]


def test_test_sets_need_no_labels(data):
    rows = [row(data, kind) for kind in ("segmentation", "classification", "detection", "keypoints")]
    assert check_rows(rows, labels=False).rows == rows


def test_truncated_files_are_found_by_decoding(data):
    path = data / "a.png"
    path.write_bytes(path.read_bytes()[:900])
    assert code_of(row(data, label=1)) in {"truncated-image", "unreadable-image"}
    assert check_rows([row(data, label=1)], decode=False).problems == []


def test_duplicates_and_conflicts(data):
    first, again, other = (row(data, label=label, line=line) for label, line in ((1, 2), (1, 3), (0, 4)))
    checked = check_rows([first, again])
    assert checked.rows == [first] and checked.problems[0].where == "T.csv:3"
    assert checked.problems[0].code == "duplicate-row"
    checked = check_rows([first, other])
    assert checked.rows == []
    assert [problem.code for problem in checked.problems] == ["conflicting-rows"] * 2
    assert "T.csv:4" in checked.problems[0].reason and "T.csv:2" in checked.problems[1].reason
    assert check_rows([first, replace(first, task="second")]).problems == []


def test_equal_bytes_under_two_names_are_told_and_stay(data):
    (data / "twin.png").write_bytes((data / "a.png").read_bytes())
    rows = [row(data, label=1), row(data, name="twin.png", label=1, line=3), row(data, name="b.png", label=0, line=4)]
    checked = check_rows(rows)
    assert checked.rows == rows
    assert [(problem.code, problem.where) for problem in checked.problems] == [("same-content", "T.csv:3")]
    assert check_rows(rows, contents=False).problems == []
    assert check_rows([rows[0], replace(rows[1], task="other")]).problems == []
    hashes = content_hashes([data / "a.png", data / "twin.png", data / "mask.png", data / "absent.png"])
    assert hashes[data / "a.png"] == hashes[data / "twin.png"] and data / "mask.png" not in hashes


def test_leaks_by_path_and_by_content(data):
    (data / "twin.png").write_bytes((data / "a.png").read_bytes())
    train = [row(data, label=1), row(data, name="c.png", label=1, line=3)]
    validation = [
        row(data, name="twin.png", label=1, line=5),
        row(data, "detection", name="c.png", line=6),
        row(data, name="b.png", label=0, line=7),
    ]
    found = [(problem.code, problem.where) for problem in leaks(train, validation)]
    assert found == [("leaked-content", "T.csv:5"), ("leaked-image", "T.csv:6")]
    assert [problem.code for problem in leaks(train, validation, contents=False)] == ["leaked-image"]
    assert leaks(train, validation[2:]) == []


def test_strict_says_how_many_and_the_first(data):
    rows = [row(data, name=f"absent {k}.png", label=0, line=k + 2) for k in range(7)]
    with pytest.raises(ValueError, match=r"(?s)^7 problems in the data:.*T\.csv:2: \[missing-file\].*and 2 more$"):
        check_rows(rows, strict=True)
    require_none([])


def test_the_report_is_a_table(tmp_path):
    problems = [Problem("bad-box", "Det, 1.csv:12", 'box "x", inverted', "mend it"), Problem("x", "whole.csv", "y")]
    write_problem_report(tmp_path / "problems.csv", problems)
    with (tmp_path / "problems.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "line", "code", "reason", "remedy"]
    assert rows[1] == ["Det, 1.csv", "12", "bad-box", 'box "x", inverted', "mend it"]
    assert rows[2] == ["whole.csv", "", "x", "y", ""]
