"""What is odd about an input reaches whoever reads the results: table, page, terminal and the facts of the batch."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from polyhead.batch.parts import Rows
from polyhead.system.spreadsheet import genuine

TASKS = {"=1+1": ("classification", 3), "IUGC": ("keypoints", 3)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the tiny preset with weights as they are before training, one of whose tasks has a hostile name."""
    import torch

    from domains.medical.ultrasound.networks.network import build_model, task_specs
    from domains.medical.ultrasound.presets import PRESETS
    from polyhead.runs.run import Run, RunInfo

    torch.manual_seed(0)
    config = PRESETS["tiny"]
    tasks = task_specs(TASKS, config)
    made = {"system": config.system, "preset": config.preset, "tasks": tasks.to_json()}
    info = RunInfo(application="ultrasound", configuration=config.model_dump(mode="json"), **made)
    begun = Run.begin(tmp_path_factory.mktemp("run") / "run", info)
    begun.save_weights(build_model(tasks, config.network).state_dict())
    begun.finish({})
    return begun.path


def slice_of_a_body(path) -> None:
    """A CT slice as DICOM."""
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.Modality, made.Rows, made.Columns, made.PixelSpacing = "CT", 48, 64, [0.5, 0.25]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = np.arange(48 * 64, dtype=np.uint8).tobytes()
    made.save_as(path, enforce_file_format=True)


def test_warnings_spacing_and_names(polyhead, run, tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    study.mkdir()
    Image.new("RGB", (64, 48)).save(study / "@A1.png")
    (study / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    slice_of_a_body(study / "slice.dcm")
    status, said, err = polyhead("ultrasound", "predict", run, study, "-o", out, "--backend", "plain")
    assert (status, said) == (3, f"{out / 'summary.html'}\n"), err
    assert "3 cases: 2 ok, 1 invalid input in" in err and "3/3 cases" not in err
    assert "; 1 failed, 2 with warnings\nwarnings: " in err
    assert "1 constant-image" in err and "1 not-ultrasound" in err

    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        table = {genuine(line["id"]): line for line in csv.DictReader(file)}
    assert table["@A1"]["id"] == "'@A1" and table["@A1"]["warnings"] == "constant-image"
    assert "not-ultrasound" in table["slice"]["warnings"].split("; ")
    assert not any(cell.startswith(("=", "@", "+")) for line in table.values() for cell in (*line, *line.values()))
    records = {row["id"]: row["record"] for row in Rows(out / "results.jsonl", 3)}
    spacing = records["slice"]["spacing_mm"]
    assert table["slice"]["spacing_mm"] == ("; ".join(map(str, spacing)) if spacing else "")
    shares = records["@A1"]["tasks"]["=1+1"]
    assert shares["answer"].endswith(f"{shares['probability']:.2f}") and 1 / 3 <= shares["probability"] <= 1

    page = (out / "summary.html").read_text(encoding="utf-8")
    assert "<b>2</b> with warnings" in page and "<b>1</b> not-ultrasound" in page and "<h1>3 cases</h1>" in page
    assert '<th scope=col class="task">=1+1</th>' in page and 'href="%40A1/"' in page
    facts = [json.loads(path.read_bytes()) for path in out.glob("*.json")]
    assert facts[0]["warnings"]["cases"] == 2 and facts[0]["warnings"]["kinds"]["not-ultrasound"] == 1
