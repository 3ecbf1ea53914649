"""Codecs of pictures: from the data into the run, from the run into the files of predict; nothing stale is left."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from domains.genomics.answers.codecs import CODECS, codec_files, load_codecs
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.answers.vqvae import DIGITS, VqVae, save_vqvae
from domains.genomics.asking.sources import cases_from
from domains.genomics.data.splitting import split_data
from domains.genomics.learning.training import train
from domains.genomics.predicting.asked_run import open_run
from domains.genomics.predicting.predict import GenomicsPredictor
from domains.genomics.predicting.write import NO_CODEC
from domains.genomics.presets import resolve
from domains.genomics.simulator.needle import digits, labels, plant
from polyhead.batch.case import Case
from polyhead.batch.writer import CaseWriter
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.training.session import Session
from polyhead.uncertainty.temperature import write_calibrations

QUICK = {
    "model": {"layers": 1, "width": 32, "heads": 2, "ffn": 64},
    "vocabulary": 64,
    "context": 128,
    "epochs": 1,
    "training.steps_per_epoch": 2,
    "training.batch_size": 4,
    "training.validate_every": 1,
    "training.warmup_steps": 0,
    "validation_rows": 2,
}
OPTIONS = {"codes": DIGITS.codes, "grid": list(DIGITS.grid)}


def drawn_codec(seed: int) -> VqVae:
    """A codec that learned nothing; its pictures are as good as any to be compared."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VqVae(DIGITS).eval()


def needle_table(folder: Path, codec: VqVae | None) -> Path:
    """Eight needles with the codes of their pictures, and the codec where there is one."""
    folder.mkdir()
    made = plant(8, 60, seed=3)
    with (folder / "needles.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["sequence", "task", "label", "split"])
        told = labels(made, drawn_codec(0), digits())
        for place, (needle, codes) in enumerate(zip(made, told, strict=True)):
            table.writerow([needle.sequence, "picture", codes, ("train", "train", "validation", "test")[place % 4]])
    options = OPTIONS if codec is None else OPTIONS | {"codec": "digits"}
    (folder / "tasks.json").write_text(json.dumps({"picture": {"kind": "image", "options": options}}))
    if codec is not None:
        (folder / CODECS).mkdir()
        save_vqvae(codec, folder / CODECS, "digits")
    return folder


def trained(data: Path, run: Path, **more: Any) -> list[str]:
    said: list[str] = []
    train(data, run, resolve("tiny", QUICK), session=Session(say=said.append, **more))
    return said


def answered(run: Path, source: Path, out: Path) -> tuple[list[dict[str, str]], dict[str, object]]:
    """What predict writes of a FASTA file: the rows of its table, and the record of the case."""
    (case,) = cases_from(str(source))
    assert isinstance(case, Case)
    predictor = GenomicsPredictor(run, device="cpu")
    (told,) = predictor.predict([predictor.read(case)])
    out.mkdir()
    writer = CaseWriter(out)
    record = predictor.write(case, told, writer)
    writer.commit()
    with (out / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), record


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "asked.fa"
    path.write_text("".join(f">{place}\n{needle.sequence}\n" for place, needle in enumerate(plant(2, 60, seed=9))))
    return path


def test_a_run_draws_its_answers_without_the_data(tmp_path: Path, fasta: Path) -> None:
    codec = drawn_codec(0)
    data = needle_table(tmp_path / "data", codec)
    assert not any("codec" in line for line in trained(data, tmp_path / "run"))
    shutil.rmtree(data)
    rows, record = answered(tmp_path / "run", fasta, tmp_path / "out")
    assert len(rows) == 2 and record["warnings"] == [] and record["pictures"] == 2
    for number, row in enumerate(rows, 1):
        codes = np.array(row["answer"].split(), dtype=np.int64).reshape(1, *DIGITS.grid)
        expected = np.round(255 * codec.decode(codes)[0]).astype(np.uint8)
        with Image.open(io.BytesIO((tmp_path / "out" / "images" / f"{number:05d}.png").read_bytes())) as image:
            assert image.size == (96, 96)
            assert np.array_equal(np.asarray(image)[::12, ::12], expected)


def test_an_overwritten_run_has_the_codec_of_its_own_data(tmp_path: Path, fasta: Path) -> None:
    other = drawn_codec(1)
    data, plain = needle_table(tmp_path / "data", drawn_codec(0)), needle_table(tmp_path / "plain", None)
    changed, run = needle_table(tmp_path / "changed", other), tmp_path / "run"
    trained(data, run)
    write_calibrations(run, {})
    trained(data, run, resume=True)
    assert (run / CALIBRATION_FILE).is_file(), "nothing was left to train"
    codes = np.arange(16).reshape(1, 4, 4)
    held = load_codecs(run, open_run(run, device="cpu").answers)["picture"]
    assert np.array_equal(held.decode(codes), drawn_codec(0).decode(codes))
    with pytest.raises(ValueError, match=r"cannot be resumed, these differ: data\.codecs\.digits"):
        trained(changed, run, resume=True)
    assert any(CALIBRATION_FILE in line for line in trained(changed, run, overwrite=True))
    assert not (run / CALIBRATION_FILE).exists()
    assert np.array_equal(open_run(run, device="cpu").codecs["picture"].decode(codes), other.decode(codes))
    (said,) = [line for line in trained(plain, run, overwrite=True) if "codec" in line]
    assert said.startswith("the data name no codec of picture") and not (run / CODECS).exists()
    rows, record = answered(run, fasta, tmp_path / "out")
    assert record["warnings"] == [f"picture: {NO_CODEC}"] and record["pictures"] == len(rows) == 2
    grid = np.array(rows[0]["answer"].split(), dtype=np.int64).reshape(4, 4)
    with Image.open(tmp_path / "out" / "images" / "00001.png") as image:
        assert np.array_equal(np.asarray(image)[::24, ::24], np.round(255 * grid / 15).astype(np.uint8))


def test_a_codec_that_is_named_must_be_there_and_fit(tmp_path: Path) -> None:
    data = needle_table(tmp_path / "data", drawn_codec(0))
    settings, weights = codec_files(data, "digits")
    answer = ImageAnswer(16, (4, 4), "digits")
    assert list(load_codecs(data, {"picture": answer, "bare": ImageAnswer(16, (4, 4))})) == ["picture"]
    with pytest.raises(ValueError, match="its answer is a grid of 2 x 8 of 16 codes, its codec digits makes a grid"):
        load_codecs(data, {"picture": ImageAnswer(16, (2, 8), "digits")})
    with pytest.raises(ValueError, match=r"letters, digits, _ and -, got '\.\./digits'"):
        load_codecs(data, {"picture": ImageAnswer(16, (4, 4), "../digits")})
    weights.unlink()
    with pytest.raises(ValueError, match=r"no digits\.safetensors"):
        trained(data, tmp_path / "run")
    settings.unlink()
    with pytest.raises(ValueError, match="'picture' names the codec digits, and there is no codecs/digits"):
        trained(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_split_takes_the_codecs_along(tmp_path: Path) -> None:
    data = needle_table(tmp_path / "data", drawn_codec(0))
    split_data(data, tmp_path / "split", kind="sequence", test=0.25, validation=0.25)
    for old, new in zip(codec_files(data, "digits"), codec_files(tmp_path / "split", "digits"), strict=True):
        assert old.read_bytes() == new.read_bytes()
