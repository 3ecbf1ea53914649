"""Labels of segmentation rows: 0/255 as 0/1, several masks of one image, other sizes, or one line with the file."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domains.medical.ultrasound.data.checks import check_rows
from domains.medical.ultrasound.data.masks import merge_masks, read_class_mask
from domains.medical.ultrasound.data.rows import Row
from polyhead.batch.case import InvalidInput

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
DISC = ((Y - 20) ** 2 + (X - 24) ** 2 < 120).astype(np.uint8)
OTHER = ((Y - 36) ** 2 + (X - 50) ** 2 < 60).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def row(data: Path, mask: str, *, classes: int = 2, image: str = "a.png", line: int = 2) -> Row:
    shared = {"mask": data / mask, "mask_path": f"../{mask}", "table": "T.csv", "line": line}
    return Row("lesion", "segmentation", classes, data / image, f"../{image}", **shared)


def encoded(values: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "mask",
    [
        encoded(255 * DISC),
        encoded(np.stack([255 * DISC] * 3, -1)),
        encoded(np.where(DISC, 65535, 0).astype(np.uint16)),
        encoded(np.where(DISC, 248 + X % 8, X % 9).astype(np.uint8)),
        *(encoded(255 * DISC, "JPEG", quality=quality) for quality in (50, 75, 95)),
        encoded(np.stack([255 * DISC] * 3, -1), "JPEG", quality=75),
    ],
)
def test_0_and_255_stand_for_0_and_1_in_a_task_of_two_classes(data, mask):
    (data / "m.png").write_bytes(mask)
    checked = check_rows([row(data, "m.png")])
    assert np.array_equal(read_class_mask(row(data, "m.png")).ids, DISC)
    assert [(note.code, note.where) for note in checked.notes] == [("mask-scaled", "lesion")]
    assert checked.notes[0].reason == "0/255 read as 0/1 in 1 mask, first ../m.png"
    assert len(checked.rows) == 1 and checked.problems == []


@pytest.mark.parametrize(
    ("values", "classes", "words"),
    [
        (np.where(DISC, 255, 0), 3, r"\[255\]"),
        (DISC * 2, 2, r"\[2\]"),
        (np.where(DISC, 128, 0), 2, r"\[128\]"),
        (np.where(DISC, 255, X), 2, "outside"),
        (DISC.astype(np.uint16) * 300, 2, r"\[300\]"),
    ],
)
def test_other_values_are_one_line_that_names_the_file(data, values, classes, words):
    Image.fromarray(values.astype(np.uint16 if values.max() > 255 else np.uint8)).save(data / "m.png")
    (problem,) = check_rows([row(data, "m.png", classes=classes)]).problems
    assert problem.code == "mask-values" and problem.where == "T.csv:2" and "../m.png" in problem.reason
    with pytest.raises(InvalidInput, match=words):
        read_class_mask(row(data, "m.png", classes=classes))


def test_a_class_beside_255_that_nobody_knows_is_never_background(data):
    unknown = np.where(np.roll(DISC, 3, 1) & ~DISC, 255, DISC).astype(np.uint8)
    Image.fromarray(unknown).save(data / "m.png")
    (problem,) = check_rows([row(data, "m.png")]).problems
    assert problem.code == "mask-values" and "../m.png has values such as [255]" in problem.reason


def test_class_ids_in_a_lossy_file_are_refused_and_empty_masks_are_not(data):
    (data / "m.jpg").write_bytes(encoded(np.ones_like(DISC), "JPEG", quality=95))
    (problem,) = check_rows([row(data, "m.jpg")]).problems
    assert problem.code == "mask-lossy" and "../m.jpg" in problem.reason
    (data / "m.jpg").write_bytes(encoded(0 * DISC, "JPEG"))
    assert len(check_rows([row(data, "m.jpg")]).rows) == 1


def test_ids_stay_as_they_are(data):
    Image.fromarray(DISC + 2 * OTHER).save(data / "m.png")
    found = read_class_mask(row(data, "m.png", classes=3), (HEIGHT, WIDTH))
    assert np.array_equal(found.ids, DISC + 2 * OTHER) and found.read_as == ()


def test_several_masks_of_one_image_count_together(data):
    for name, mask in (("x_mask.png", DISC), ("x_mask_1.png", OTHER)):
        Image.fromarray(255 * mask).save(data / name)
    rows = [row(data, "x_mask.png"), row(data, "x_mask_1.png", line=3), row(data, "x_mask.png", image="b.png", line=4)]
    checked = check_rows(rows)
    assert [each.line for each in checked.rows] == [2, 4] and checked.problems == []
    assert np.array_equal(read_class_mask(checked.rows[0]).ids, DISC | OTHER)
    assert {note.code: note.reason for note in checked.notes} == {
        "mask-scaled": "0/255 read as 0/1 in 2 masks, first ../x_mask.png",
        "masks-merged": "several masks of one image merged by union in 1 mask, first ../x_mask.png",
    }
    problems = check_rows([replace(each, outputs=3) for each in rows[:2]]).problems
    assert [problem.code for problem in problems] == ["conflicting-rows"] * 2
    assert "x_mask_1.png" in problems[0].reason and "x_mask.png" in problems[1].reason
    assert merge_masks(rows[::2]) == rows[::2]


def test_a_second_mask_that_no_row_names_is_told(data):
    for name in ("x_mask.png", "x_mask_1.png"):
        Image.fromarray(255 * DISC).save(data / name)
    checked = check_rows([row(data, "x_mask.png")])
    assert [note.code for note in checked.notes] == ["mask-scaled", "mask-unnamed"]
    assert "x_mask_1.png" in checked.notes[1].reason and len(checked.rows) == 1


def test_a_mask_of_another_size_is_resized_where_its_proportions_are_the_images(data):
    Image.fromarray(DISC[::2, ::2]).save(data / "half.png")
    found = read_class_mask(row(data, "half.png"), (HEIGHT, WIDTH))
    assert found.read_as == ("mask-resized",)
    assert np.array_equal(found.ids, DISC[::2, ::2].repeat(2, 0).repeat(2, 1))
    Image.fromarray(DISC[:, :-8]).save(data / "cut.png")
    (problem,) = check_rows([row(data, "cut.png")]).problems
    assert problem.code == "mask-size" and "cut.png has 56 x 48 pixels, its image 64 x 48" in problem.reason


def test_an_image_that_is_turned_is_a_note_and_its_mask_refers_to_what_is_shown(data):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(data / "a.png").save(data / "a.png", exif=exif)
    shown = np.rot90(DISC, -1)
    Image.fromarray(np.ascontiguousarray(shown)).save(data / "shown.png")
    Image.fromarray(DISC).save(data / "stored.png")
    checked = check_rows([row(data, "shown.png")])
    assert [(note.code, note.where) for note in checked.notes] == [("exif-orientation", "T.csv:2")]
    assert checked.rows and not checked.problems
    for decode in (True, False):
        (problem,) = check_rows([row(data, "stored.png")], decode=decode).problems
        assert problem.code == "mask-size" and "EXIF orientation" in problem.reason
