"""The page's plain functions: checks of files, layers, remarks, tables, the zip."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from apps.ultrasound import page_answers, page_input, page_results
from apps.ultrasound.page_input import Check, Input
from apps.ultrasound.page_results import Answered, Model
from domains.medical.export import overlay
from polyhead.application import RESEARCH_USE
from ui.batch_jobs import output_name
from ui.download import zip_of
from ui.run_choice import card_of, score_rows
from ui.viewer import render


def test_each_structure_is_a_layer_with_a_colour_of_its_own(answers):
    layers = page_answers.layers(answers)
    assert [layer.name for layer in layers] == ["breast lesion: lesion", "thyroid nodule det: box", "IUGC: points"]
    assert [layer.colour for layer in layers] == list(overlay.PALETTE[:3])


def test_a_layer_draws_where_its_structure_is_and_nowhere_else(answers):
    image = np.full((96, 128, 3), 100, np.uint8)
    region = page_answers.layers(answers)[0]
    drawn = render(image, [region], [region.name], 0.5)
    assert np.array_equal(drawn != image, np.broadcast_to((answers["breast_lesion"].mask == 1)[..., None], image.shape))
    inside = np.rint(0.5 * 100 + 0.5 * np.array(region.colour))
    assert np.array_equal(drawn[40, 45], inside) and tuple(drawn[20, 45]) == region.colour


def test_remarks_say_why_a_person_should_look_twice(answers):
    shape = (96, 128, 3)
    assert page_answers.remarks(answers["breast_lesion"], shape) == []
    assert page_answers.remarks(answers["breast_3cls"], shape) == ["low confidence (32%)"]
    answers["breast_lesion"].mask[:, 0] = 1
    assert "edge" in page_answers.remarks(answers["breast_lesion"], shape)[0]
    answers["breast_lesion"].mask[:] = 0
    assert page_answers.remarks(answers["breast_lesion"], shape) == ["nothing was found"]
    assert page_answers.finding("x", answers["breast_lesion"]) == "nothing found"
    assert "outside" in page_answers.remarks(answers["IUGC"], (50, 60))[0]
    assert "edge" in page_answers.remarks(answers["thyroid_nodule_det"], (50, 60))[0]


def test_the_zip_holds_pictures_masks_numbers_and_where_they_come_from(answers):
    image = np.zeros((96, 128, 3), np.uint8)

    class Found:
        tasks = answers
        spacing = (0.1, 0.2)

    Found.image = image
    model = Model(Path("/run"), "mh-mtl, preset tiny (first)", "ab" * 32, {})
    checks = [Check("../a.png", Path("a.png"), kind="PNG", size=(96, 128), frames=1)]
    data = zip_of(page_results.files(model, [Answered("../a.png", Found)], checks))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        folder = "001 a.png"
        assert set(names) == {
            f"{folder}/overlay.png",
            f"{folder}/answers.json",
            f"{folder}/breast_lesion.mask.png",
            "measurements.csv",
            "input check.csv",
            "READ ME.txt",
        }
        mask = np.asarray(Image.open(io.BytesIO(archive.read(f"{folder}/breast_lesion.mask.png"))))
        assert np.array_equal(mask, answers["breast_lesion"].mask)
        told = json.loads(archive.read(f"{folder}/answers.json"))
        assert told["research_use"] == RESEARCH_USE and told["spacing_mm"] == [0.1, 0.2]
        assert told["tasks"]["breast_3cls"]["probabilities"] == [0.25, 0.7, 0.05]
        assert told["tasks"]["IUGC"]["points_pixels"][1] == [50.0, 20.0]
        assert b"breast lesion,area lesion,1200.0,px2" in archive.read("measurements.csv")
        assert RESEARCH_USE.encode() in archive.read("READ ME.txt") and b"ab" * 32 in archive.read("READ ME.txt")


def test_tables_do_not_carry_formulas_into_spreadsheets():
    assert page_answers.table_csv([{"a": "=1+1", "b": -2.5}]) == b"a,b\n'=1+1,-2.5\n"
    assert page_answers.table_csv([]) == b""


@pytest.mark.parametrize(
    ("name", "frames", "size"), [("examples_ybr_color.dcm", 30, (240, 320)), ("CT_small.dcm", 1, (128, 128))]
)
def test_dicom_is_checked_with_frames_and_patient_fields(name, frames, size):
    seen = page_input.check(Input("study.dcm", Path(str(get_testdata_file(name)))))
    assert (seen.readable, seen.kind, seen.frames, seen.size) == (True, "DICOM", frames, size)
    assert seen.identity in ("the file names a patient", "fields are empty", "said to be removed")
    assert set(seen.row()) == {
        "File",
        "Can be analysed",
        "Format",
        "Size",
        "Pixel size",
        "Frames",
        "Patient data",
        "Remarks",
    }


def test_the_patients_name_is_noticed_and_never_repeated(tmp_path):
    from pydicom import dcmread

    header = dcmread(str(get_testdata_file("CT_small.dcm")))
    header.PatientName = "Canary^Patient"
    header.save_as(tmp_path / "a.dcm")
    seen = page_input.check(Input("a.dcm", tmp_path / "a.dcm"))
    assert seen.identity == "the file names a patient" and "Canary" not in repr(seen)
    header.PatientIdentityRemoved = "YES"
    header.PatientName = header.PatientID = header.PatientBirthDate = ""
    header.save_as(tmp_path / "b.dcm")
    assert page_input.identity(tmp_path / "b.dcm") == "said to be removed"


def test_a_bad_file_is_named_as_the_user_knows_it(tmp_path):
    path = tmp_path / "spooled-0001.png"
    path.write_bytes(b"")
    seen = page_input.check(Input("mine.png", path))
    assert not seen.readable and "mine.png" in seen.reason and "spooled" not in seen.reason
    good = Check("b.png", path, kind="PNG", size=(10, 20), frames=1)
    assert page_input.verdict([seen, good]) == (
        "1 of 2 files can be analysed. The others are named below with their reasons."
    )
    assert page_input.verdict([good]) == "1 file checked: it can be analysed."


def test_each_choice_of_source_weights_and_tasks_has_a_folder_of_its_own(tmp_path):
    first = output_name(tmp_path / "a" / "study", "ab" * 32, ["x", "y"])
    assert first == output_name(tmp_path / "a" / "study", "ab" * 32, ["y", "x"])
    assert first.startswith("study-")
    others = [
        output_name(tmp_path / "b" / "study", "ab" * 32, ["x", "y"]),
        output_name(tmp_path / "a" / "study", "cd" * 32, ["x", "y"]),
        output_name(tmp_path / "a" / "study", "ab" * 32, ["x"]),
    ]
    assert len({first, *others}) == 4


def test_scores_and_cards_are_found_by_name(tmp_path):
    scores = {"b": {"IoU": 1, "ok": True}, "a_b": {"DSC": 0.51234, "MRE_of_side": 0.1}, "c": {}}
    assert score_rows({"metrics": scores, "score": 1}) == [
        {"Task": "a b", "Scores": "DSC 0.512, MRE of side 0.100"},
        {"Task": "b", "Scores": "IoU 1.000"},
    ]
    assert score_rows({"metrics": 3}) == []
    assert score_rows({}) == []
    (tmp_path / "ultrasound-tiny").mkdir()
    (tmp_path / "ultrasound-tiny" / "card.md").write_text("# T\n")
    assert card_of("ultrasound", "tiny", tmp_path) == tmp_path / "ultrasound-tiny" / "card.md"
    assert card_of("ultrasound", "other", tmp_path) is None
