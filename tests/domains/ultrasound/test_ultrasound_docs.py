"""docs/ultrasound.md is true: a root of each kind made of its columns is trained on, and what it names is there."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps import cli
from domains.medical.ultrasound.converting.detect import READERS
from domains.medical.ultrasound.data import checks
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.presets import PRESETS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "ultrasound.md").read_text(encoding="utf-8")


def table(heading):
    """The rows below a heading, by their first cell without its quotes."""
    part = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not row[0].strip().startswith("---")]


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


def test_roots_of_the_documented_columns_are_trained_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "csv_files").mkdir()
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 1
    for number in range(6):
        pixels = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
    rows = table("A data root")
    common = [named(row[0])[0] for row in rows if row[0].startswith("`")]
    assert common == ["image_path", "task_id", "task_name", "num_classes"]
    columns = {row[0]: named(row[1]) for row in rows if row[0] in ("segmentation", "classification", "detection")}
    columns["Regression"] = ["point_1_xy", "point_2_xy"]
    assert "`point_1_xy`, `point_2_xy`, ..." in PAGE and len(columns) == 4
    values = {
        "mask_path": "../{}_mask.png",
        "mask": "{}",
        **dict(zip(columns["detection"], ("10", "12.5", "40", "50"), strict=True)),
        "point_1_xy": "[94.5, 68]".replace("94.5", "9.5").replace("68", "6"),
        "point_2_xy": "[30, 40]",
    }
    outputs = {"segmentation": 2, "classification": 2, "detection": 1, "Regression": 2}
    for kind, own in columns.items():
        with (tmp_path / "csv_files" / f"{kind}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*common, *own])
            for number in range(6):
                labels = [values[name].format(number % 2 if name == "mask" else number) for name in own]
                writer.writerow([f"../{number}.png", f"my_{kind}", kind, outputs[kind], *labels])
    checked = checks.check_rows(read_tables(tmp_path).rows)
    assert len(checked.rows) == 24 and checked.problems == []
    words = ["train", tmp_path, "-o", tmp_path / "R", "--preset", "tiny", "--epochs", 1, "--set", "image_size=64", "-q"]
    monkeypatch.setattr(sys, "argv", ["polyhead", "ultrasound", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "R" / "model.safetensors").is_file()


def test_presets_formats_and_codes_are_those_of_the_code():
    assert {named(row[0])[0] for row in table("Training") if named(row[0])} == set(PRESETS)
    assert {
        named(row[0])[0] for row in table("Other formats") if row[0].startswith("`") and row[0] != "`--from`"
    } == set(READERS)
    told = {code for row in table("Checks") for code in named(row[0])}
    assert {code for code in told if f'"{code}"' not in source()} == set()


def source():
    return "".join(
        file.read_text(encoding="utf-8")
        for folder in ("domains/medical", "polyhead/batch")
        for file in (ROOT / folder).rglob("*.py")
    )


def test_every_command_of_the_page_is_one(capsys, monkeypatch):
    for verb, flags in re.findall(r"(?m)^polyhead ultrasound (\w+)([^#\n]*)", PAGE):
        monkeypatch.setattr(sys, "argv", ["polyhead", "ultrasound", verb, "--help"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().out
        assert ended.value.code == 0
        assert [flag for flag in re.findall(r"--[\w-]+", flags) if flag not in said] == []
