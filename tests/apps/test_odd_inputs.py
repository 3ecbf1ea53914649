"""What lies in real folders, through the command: pipes, reports on a hospital's CD, lying headers, odd formats."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from apps import cli

TASK = "IUGC"
UIDS = {
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "SR": "1.2.840.10008.5.1.4.1.1.88.11",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "KO": "1.2.840.10008.5.1.4.1.1.88.59",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "DIRECTORY": "1.2.840.10008.1.3.10",
    "PDF": "1.2.840.10008.5.1.4.1.1.104.1",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of one task, trained for one epoch on four rows."""
    folder = tmp_path_factory.mktemp("odd")
    rows = ["--rows-per-task", 4, "--rows-per-class", 0, "--validation", 0, "--task", TASK, "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        for arguments in (
            ["sample", folder / "data", *rows],
            ["train", folder / "data", "-o", folder / "run", "--preset", "tiny", "--set", "epochs=1", "--quiet"],
        ):
            patch.setattr(sys, "argv", ["polyhead", "ultrasound", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0
    return folder / "run"


def picture(path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (40, 50), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def dicom(path: Path, kind: str, *, frames: int | None = None, held: int = 1, preamble: bool = True) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(UIDS[kind]), generate_uid()
    data = Dataset()
    if kind != "DIRECTORY":
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.Modality = {"PDF": "DOC"}.get(kind, kind)
    if kind in ("US", "SEG"):
        pixels = np.random.default_rng(0).integers(0, 255, (held, 20, 30), np.uint8)
        data.Rows, data.Columns, data.SamplesPerPixel = 20, 30, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        if frames is not None:
            data.NumberOfFrames = frames
        data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if preamble:
        data.file_meta = meta
        data.save_as(path, enforce_file_format=True)
    else:
        data.save_as(path, implicit_vr=False, little_endian=True)


@pytest.fixture
def predict(polyhead, run, tmp_path):
    """Predicts a source: exit status, rows by id, what the batch says of itself, stderr."""

    def predicted(source: Path | str, *options: object):
        out = tmp_path / "out"
        command = ["ultrasound", "predict", run, source, "-o", out, "--backend", "plain", "--save", "masks", *options]
        status, _, err = polyhead(*command)
        rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
        facts = json.loads((out / "batch.json").read_text())
        return status, {row["id"]: row for row in rows}, facts, err

    return predicted


@pytest.mark.timeout(120)
def test_a_folder_of_odd_things(predict, tmp_path, caplog):
    study = tmp_path / "study"
    picture(study / "a.png")
    picture(study / "logs" / "b.png")
    picture(study / "back\\slash.png")
    picture(study / os.fsdecode(b"latin-\xe9.png"))
    picture(study / "w.webp", lossless=True)
    picture(study / "j.jp2")
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (10, 90, 200)]
    frames[0].save(study / "anim.gif", save_all=True, append_images=frames[1:])
    frames[0].save(study / "pages.jpg", format="TIFF", save_all=True, append_images=frames[1:2])
    dicom(study / "bare", "US", preamble=False)
    for name in ("clip.mp4", "clip.avi", "scan.nii.gz", "scan.mha", "README.md"):
        (study / name).write_bytes(b"no picture at all")
    os.mkfifo(study / "pipe.png")
    (study / "zero.png").symlink_to("/dev/zero")
    (study / "gone.png").symlink_to("nowhere.png")
    (study / "loop").symlink_to(".")
    start = time.monotonic()
    status, rows, facts, err = predict(study)
    assert time.monotonic() - start < 60
    ok = {"a", "input-logs/b", "back_slash", os.fsdecode(b"latin-\xe9"), "w", "j", "bare"}
    ok |= {f"anim/frame_{k:03d}" for k in range(3)} | {f"pages/frame_{k:03d}" for k in range(2)}
    codes = {name: row["code"] for name, row in rows.items()}
    assert {name for name, code in codes.items() if code is None} == ok, codes
    assert {name: code for name, code in codes.items() if code} == {
        "pipe": "not-a-file", "zero": "not-a-file", "gone": codes["gone"]
    }  # fmt: skip
    assert codes["gone"].replace("_", "-") == "missing-file"
    assert status == 3 and "12 ok, 3 invalid input" in err
    passed = {name: each["count"] for name, each in facts["info"]["passed_over"]["files"].items()}
    assert passed == {".mp4": 1, ".avi": 1, ".nii.gz": 1, ".mha": 1, ".md": 1}
    assert any(line.startswith("passed over 5 files: ") and ".nii.gz (scan.nii.gz)" in line for line in caplog.messages)


def test_what_a_hospital_writes_on_a_cd(predict, tmp_path):
    cd = tmp_path / "cd"
    dicom(cd / "DICOM" / "IM0", "US")
    dicom(cd / "DICOMDIR", "DIRECTORY")
    for kind in ("SR", "PR", "KO", "SEG", "PDF"):
        dicom(cd / "DICOM" / f"{kind}0", kind)
    (cd / "autorun.inf").write_text("[autorun]")
    status, rows, facts, err = predict(cd)
    assert status == 0 and "1 ok, 6 passed over" in err
    others = {name: row for name, row in rows.items() if row["status"] != "ok"}
    assert {row["status"] for row in others.values()} == {"passed_over"}
    assert {row["code"] for row in others.values()} == {"no-picture"}
    assert "Basic Text SR, which holds no picture" in others["DICOM/SR0"]["reason"]
    assert "Media Storage Directory" in others["DICOMDIR"]["reason"]
    assert facts["counts"] == {"ok": 1, "passed_over": 6}
    # Again: nothing to do, nothing failed. Named by the user it is no input, and says why.
    assert predict(cd)[0] == 0
    status, rows, _, _ = predict(cd / "DICOM" / "SR0", "--overwrite")
    assert status == 4 and rows["SR0"]["code"] == "no-picture" and rows["SR0"]["status"] == "invalid_input"
    (cd / "DICOM" / "IM0").unlink()
    assert predict(cd, "--overwrite")[0] == 4


def animation(path: Path, *, announced: int) -> None:
    """An animated PNG of three frames, whose chunk acTL says otherwise."""
    frames = [Image.fromarray(np.full((20, 30), value, np.uint8)) for value in (10, 90, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data, chunk = path.read_bytes(), b"acTL" + struct.pack(">II", announced, 0)
    place = data.index(b"acTL")
    path.write_bytes(data[:place] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[place + 16 :])


@pytest.mark.timeout(120)
def test_frames_that_a_header_announces(predict, tmp_path):
    study = tmp_path / "study"
    dicom(study / "bomb.dcm", "US", frames=2_000_000_000)
    dicom(study / "five.dcm", "US", frames=5, held=3)
    animation(study / "anim.png", announced=2_000_000_000)
    start = time.monotonic()
    status, rows, _, _ = predict(study)
    assert time.monotonic() - start < 60 and status == 3
    assert {name: row["status"] for name, row in rows.items()} == {
        "bomb/frame_000": "ok",
        "bomb/frames_missing": "invalid_input",
        **{f"five/frame_{k:03d}": "ok" for k in range(3)},
        "five/frames_missing": "invalid_input",
        **{f"anim/frame_{k:03d}": "ok" for k in range(3)},
        "anim/frames_missing": "invalid_input",
    }
    said = "bomb.dcm announces 2,000,000,000 frames and holds 1; the others are missing"
    assert (rows["bomb/frames_missing"]["code"], rows["bomb/frames_missing"]["reason"]) == ("frames-missing", said)


def test_the_limit_of_reading_is_told(polyhead):
    for application in ("ultrasound", "pde", "genomics"):
        status, out, _ = polyhead(application, "predict", "--help")
        assert status == 0 and "by default 300 for reading" in " ".join(out.replace("│", " ").split())
