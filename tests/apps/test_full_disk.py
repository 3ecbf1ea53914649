"""Commands on a disk that fills up: one line that names the place, nothing half done, and the same command goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

APPS = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def hook(tmp_path_factory) -> Path:
    """A folder whose ``sitecustomize`` fills the disk of every Python that searches it."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.path.append({APPS!r})\nimport full_disk\n")
    return folder


def on_full_disk(hook: Path, place: Path, room: int, *words: object) -> subprocess.CompletedProcess[str]:
    paths = [str(hook), str(Path(__file__).parents[2])]
    surroundings = os.environ | {"FULL_DISK": f"{place}:{room}", "PYTHONPATH": os.pathsep.join(paths)}
    return command(*words, surroundings=surroundings)


def command(*words: object, surroundings: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "apps.cli", *map(str, words)]
    return subprocess.run(line, env=surroundings, capture_output=True, text=True, check=False)


def the_line(done: subprocess.CompletedProcess[str], place: Path) -> str:
    """The only line of the error, after asserting that it names the place and that nothing else is said."""
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert done.returncode == 2, done.stderr
    assert line.startswith(f"error: {place}") and "No space left on device" in line
    assert "internal" not in done.stderr and "Traceback" not in done.stderr
    return line


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "sample"
    words = ("--rows-per-task", "4", "--rows-per-class", "0", "--validation", "0", "--task", "breast_lesion")
    assert command("ultrasound", "sample", folder, *words, "-q").returncode == 0
    return folder


def test_a_batch_stops_with_one_line_and_goes_on(hook, data, tmp_path):
    run, out, pictures = tmp_path / "run", tmp_path / "out", tmp_path / "pictures"
    settings = ("training.epochs=1", "training.steps_per_epoch=1", "network.encoder=residual-tiny", "image_size=64")
    training = [word for setting in settings for word in ("--set", setting)]
    train = ("ultrasound", "train", data, "-o", run, "--preset", "tiny", *training, "-q")
    the_line(on_full_disk(hook, run, 800, *train), run)
    done = command(*train, "--overwrite")
    assert done.returncode == 0, done.stderr
    pictures.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (300, 400, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / f"p{number:02d}.png")
    predict = ("ultrasound", "predict", run, pictures, "-o", out, "--batch-size", "2", "--workers", "1")
    line = the_line(on_full_disk(hook, out, 300_000, *predict), out)
    assert "run the same command again" in line
    held = {path.parent.name for path in out.glob("*/receipt.json")}
    assert 1 <= len(held) < 12 and not list(out.rglob(".polyhead-tmp-*"))
    done = command(*predict)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(row) for row in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["id"]: row["status"] for row in rows} == {
        f"p{number:02d}": "skipped" if f"p{number:02d}" in held else "ok" for number in range(12)
    }


@pytest.mark.parametrize("application", ["ultrasound", "pde", "genomics"])
def test_predict_says_what_save_may_be(application):
    done = command(application, "predict", "run", "input", "-o", "out", "--save", "nonsense")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "'nonsense' is not a product; choose of: " in done.stderr and "thumbnails, all, none" in done.stderr
