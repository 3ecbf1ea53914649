"""From a DICOM file to the measures in result.json and summary.csv, by the command line."""

import csv
import json
import math

import numpy as np
import pydicom
import pytest
import torch
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.presets import resolve
from domains.medical.ultrasound.saved import APPLICATION
from polyhead.runs.run import Run, RunInfo

HEIGHT, WIDTH, ROW, COLUMN = 60, 80, 0.5, 0.25


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of random weights that takes the whole picture for a head."""
    tasks = {"fetal_head": ("segmentation", 2), "IUGC": ("keypoints", 3)}
    config = resolve("tiny", {"network.encoder": "residual-tiny", "image_size": 64, "pyramid_channels": 32})
    specs = task_specs(tasks, config, {"fetal_head": ["background", "head"]})
    torch.manual_seed(0)
    weights = build_model(specs, config.network).state_dict()
    (bias,) = (key for key in weights if "fetal_head" in key and key.endswith("bias") and len(weights[key]) == 2)
    weights[bias] = torch.tensor([-100.0, 100.0])
    path = tmp_path_factory.mktemp("measures") / "run"
    info = RunInfo(
        application=APPLICATION,
        system=config.system,
        preset="tiny",
        tasks=specs.to_json(),
        configuration=config.model_dump(mode="json"),
    )
    made = Run.begin(path, info)
    made.save_weights(weights)
    made.finish({})
    return path


def picture(path, *regions: tuple[tuple[int, int, int, int], tuple[float, float]]) -> None:
    """An ultrasound image with calibrated regions: corners, and mm a pixel (row, column)."""
    data, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data.SOPClassUID = uid.UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid.generate_uid()
    data.file_meta, data.Modality, data.PhotometricInterpretation = meta, "US", "MONOCHROME2"
    data.SamplesPerPixel, data.Rows, data.Columns, data.PixelRepresentation = 1, HEIGHT, WIDTH, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    items = []
    for corners, (row, column) in regions:
        item = Dataset()
        item.RegionSpatialFormat = item.RegionDataType = 1
        item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = corners
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
        item.PhysicalDeltaX, item.PhysicalDeltaY = column / 10, row / 10
        items.append(item)
    if items:
        data.SequenceOfUltrasoundRegions = items
    data.PixelData = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH, dtype=np.uint8).tobytes()
    data["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def test_measures_reach_the_results_and_the_table(polyhead, run, tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    whole = (0, 0, WIDTH - 1, HEIGHT - 1)
    picture(study / "whole.dcm", (whole, (ROW, COLUMN)))
    picture(study / "corner.dcm", ((0, 0, 20, 20), (ROW, COLUMN)))
    picture(study / "silly.dcm", (whole, (2000.0, 2000.0)))
    picture(study / "plain.dcm")
    status, _, err = polyhead("ultrasound", "predict", run, study, "-o", out, "--backend", "plain", "--quiet")
    assert status == 0, err
    with (out / "summary.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    head = "tasks.fetal_head."

    # A full rectangle has the ellipse of axes 4 sqrt(side^2 / 12).
    ofd, bpd = sorted((4 * side / math.sqrt(12) for side in (HEIGHT * ROW, WIDTH * COLUMN)), reverse=True)
    h = ((ofd - bpd) / (ofd + bpd)) ** 2
    circumference = math.pi * (ofd + bpd) / 2 * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    expected = {
        "area head [px2]": HEIGHT * WIDTH,
        "area head [mm2]": HEIGHT * ROW * WIDTH * COLUMN,
        "head circumference [mm]": circumference,
        "biparietal diameter [mm]": bpd,
        "occipitofrontal diameter [mm]": ofd,
    }
    for name, value in expected.items():
        assert float(rows["whole"][head + name]) == pytest.approx(value, abs=2e-3), name
    for name, millimetres in (("corner", False), ("silly", False), ("plain", False), ("whole", True)):
        row = rows[name]
        assert row[head + "head circumference [px]"] and row["tasks.IUGC.angle of progression [deg]"]
        assert any(value for key, value in row.items() if "[mm" in key) is millimetres
        assert not any("distance 2-3" in key for key in row)

    told = {name: json.loads((out / name / "result.json").read_text()) for name in rows}
    assert "outside-calibrated-region" in told["corner"]["warnings"]
    assert "outside-calibrated-region" in told["corner"]["tasks"]["fetal_head"]["warnings"]
    assert "implausible-spacing" in told["silly"]["warnings"] and told["silly"]["spacing_mm"] is None
    assert told["plain"]["warnings"] == ["touches-border"] == told["whole"]["warnings"]
    for each in told.values():
        assert "touches-border" in each["tasks"]["fetal_head"]["warnings"]
