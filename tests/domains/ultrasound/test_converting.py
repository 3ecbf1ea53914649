"""Sources of six formats made here, converted through the command line, and read with the project's own readers."""

import base64
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from apps import cli
from domains.medical.intake.masks import read_stored_mask
from domains.medical.ultrasound.converting.detect import detect
from domains.medical.ultrasound.converting.rle import counts_of, decode
from domains.medical.ultrasound.data.checks import check_rows
from domains.medical.ultrasound.data.fm_uia import read_tables

H, W = 64, 80


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["polyhead", "ultrasound", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def picture(path, seed=0, size=(H, W), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def rows_of(root):
    """Rows by task and name of the image; all of them pass the checks of a training."""
    tables = read_tables(root)
    checked = check_rows(tables.rows)
    assert not tables.problems and [str(each) for each in checked.problems if each.code != "same-content"] == []
    return {(row.task, row.image.name): row for row in checked.rows}, tables.labels


def compressed(counts):
    """COCO's string of run lengths, written from its definition."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != -1 if bits & 16 else value != 0
            text += chr((bits | 32 if more else bits) + 48)
    return text


def test_run_lengths_are_columns_of_zeros_first():
    mask = np.zeros((4, 3), bool)
    mask[1:3, 1] = True
    assert np.array_equal(decode([5, 2, 5], 4, 3), mask)
    rng = np.random.default_rng(1)
    for _ in range(20):
        counts = [int(count) for count in rng.integers(0, 3000, rng.integers(1, 30))]
        assert counts_of(compressed(counts)) == counts
    # A string of pycocotools: a square of 3 x 3 from (2, 1) in 6 x 8 pixels.
    square = np.zeros((6, 8), bool)
    square[1:4, 2:5] = True
    assert np.array_equal(decode(compressed([13, 3, 3, 3, 3, 3, 20]), 6, 8), square)
    for wrong in ("\x01", "o", [1, 2], [-1, 13]):
        with pytest.raises(ValueError, match=r"run|breaks"):
            decode(wrong, 4, 3)


def coco(root):
    for number, split in enumerate(("train", "train", "valid")):
        picture(root / split / f"scan {number}.png", number)
    box_runs = [10 * H + 20, 16, H - 16, 16, (W - 12) * H + H - 36]
    shapes = {
        0: [
            {"category_id": 7, "bbox": [10, 20, 30, 12], "segmentation": [[10, 20, 40, 20, 40, 32, 10, 32]]},
            {
                "category_id": 3,
                "bbox": [10, 20, 2, 16],
                "segmentation": {"size": [H, W], "counts": box_runs},
                "keypoints": [11, 21, 2, 0, 0, 0, 12.5, 30, 1],
            },
        ],
        1: [
            {
                "category_id": 3,
                "bbox": [10, 20, 2, 16],
                "segmentation": {"size": [H, W], "counts": compressed(box_runs)},
                "keypoints": [11, 21, 2, 12, 22, 2, 12.5, 30, 1],
            },
        ],
        2: [],
    }
    categories = [
        {"id": 7, "name": "cyst"},
        {"id": 3, "name": "tumour", "keypoints": ["a", "b", "c"]},
    ]
    for split, numbers in (("train", (0, 1)), ("valid", (2,))):
        value = {
            "images": [{"id": n, "file_name": f"scan {n}.png", "height": H, "width": W} for n in numbers],
            "annotations": [
                {"id": 10 * n + k, "image_id": n, **shape} for n in numbers for k, shape in enumerate(shapes[n])
            ],
            "categories": categories,
        }
        (root / split / "_annotations.coco.json").write_text(json.dumps(value))
    return root


def test_coco_gives_masks_boxes_and_points(tmp_path, run):
    source = coco(tmp_path / "coco")
    assert detect(source) == "coco"
    status, out, err = run("convert", source, "-o", tmp_path / "D", "--task", "breast")
    # A point of one picture is not marked: this picture has no row of points, and that is said.
    assert (status, out) == (3, f"{tmp_path / 'D'}\n") and "the point b is not marked" in err
    rows, labels = rows_of(tmp_path / "D")
    assert labels["breast_seg"] == ("background", "cyst", "tumour")
    assert labels["breast_points"] == ("a", "b", "c")
    mask = read_stored_mask(rows["breast_seg", "scan 0.png"].mask).values
    expected = np.zeros((H, W), np.uint8)
    expected[20:32, 10:40] = 1
    expected[20:36, 10:12] = 2
    assert np.array_equal(mask, expected)
    assert rows["breast_det_cyst", "scan 0.png"].box == (10, 20, 40, 32)
    assert rows["breast_det_tumour", "scan 1.png"].box == (10, 20, 12, 36)
    assert rows["breast_points", "scan 1.png"].points == ((11, 21), (12, 22), (12.5, 30))
    assert ("breast_points", "scan 0.png") not in rows
    held_out, _ = rows_of(tmp_path / "D" / "val")
    assert not read_stored_mask(held_out["breast_seg", "scan 2.png"].mask).values.any()
    status, out, err = run("train", tmp_path / "D", "-o", tmp_path / "R", "--preset", "tiny", "--dry-run")
    assert status == 0 and not (tmp_path / "R").exists()


def labelme(root):
    pixels = picture(root / "a.jpg", 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    shapes = [
        {"label": "nodule", "shape_type": "rectangle", "points": [[40, 30], [20, 10]]},
        {"label": "vessel", "shape_type": "circle", "points": [[60, 40], [60, 45]]},
        {"label": "left", "shape_type": "point", "points": [[3.5, 4]]},
        {"label": "right", "shape_type": "point", "points": [[70, 60]]},
    ]
    content = {"version": "5.0", "imageHeight": H, "imageWidth": W, "imageData": None}
    (root / "a.json").write_text(json.dumps(content | {"imagePath": "a.jpg", "shapes": shapes}))
    held = base64.b64encode(buffer.getvalue()).decode()
    more = [{"label": "nodule", "shape_type": "polygon", "points": [[5, 5], [15, 5], [15, 25], [5, 25]]}]
    (root / "b.json").write_text(json.dumps(content | {"imagePath": "..\\b.png", "shapes": more, "imageData": held}))
    (root / "broken.json").write_text('{"shapes": [\n1,,')
    return root


def test_labelme_gives_shapes_and_embedded_pictures(tmp_path, run):
    source = labelme(tmp_path / "labelme")
    assert detect(source) == "labelme"
    status, _, err = run("convert", source, "-o", tmp_path / "D", "--task", "neck")
    assert status == 3 and "broken.json" in err and "it is no JSON: line 2" in err
    rows, labels = rows_of(tmp_path / "D")
    assert rows["neck_det", "a.jpg"].box == (20, 10, 40, 30)
    assert rows["neck_points", "a.jpg"].points == ((3.5, 4), (70, 60)) and labels["neck_points"] == ("left", "right")
    mask = read_stored_mask(rows["neck_seg", "a.jpg"].mask).values
    assert labels["neck_seg"] == ("background", "nodule", "vessel")
    assert (mask == 1).sum() == 20 * 20 and mask[10, 20] == 1 and mask[9, 20] == 0
    assert abs((mask == 2).sum() - np.pi * 25) < 5 and mask[40, 60] == 2
    other = rows["neck_seg", "b.png"]
    assert (read_stored_mask(other.mask).values == 1).sum() == 10 * 20
    with Image.open(other.image) as embedded, Image.open(source / "a.jpg") as file:
        assert embedded.size == file.size


def voc(root):
    for number in (1, 2, 3):
        picture(root / "JPEGImages" / f"v{number}.jpg", number)
    for number, boxes in ((1, [(5, 6, 50, 40)]), (2, [(1, 2, 30, 30), (40, 40, 50, 50)])):
        objects = "".join(
            f"<object><name>cyst</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
            "</object>"
            for a, b, c, d in boxes
        )
        size = f"<size><width>{W}</width><height>{H}</height></size>"
        text = f"<annotation><filename>v{number}.jpg</filename>{size}{objects}"
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"v{number}.xml").write_text(text + "</annotation>")
    (root / "Annotations" / "bomb.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>')
    mask = np.zeros((H, W), np.uint8)
    mask[10:20, 10:30], mask[20, :] = 2, 255
    palette = Image.fromarray(mask, "P")
    palette.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    (root / "SegmentationClass").mkdir()
    palette.save(root / "SegmentationClass" / "v3.png")
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncyst:1,2,3::\nnodule:4,5,6::\n"
    )
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("v1\nv2\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("v3\n")
    return root


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
def test_voc_gives_boxes_and_palette_masks(tmp_path, run):
    source = voc(tmp_path / "voc")
    assert detect(source) == "voc"
    status, _, err = run("convert", source, "-o", tmp_path / "D", "--task", "ovary")
    assert status == 3 and "declares a document type" in err and "2 boxes of cyst, and a row holds one" in err
    rows, labels = rows_of(tmp_path / "D")
    assert {key: row.box for key, row in rows.items()} == {("ovary_det", "v1.jpg"): (5, 6, 50, 40)}
    held_out, labels = rows_of(tmp_path / "D" / "val")
    mask = read_stored_mask(held_out["ovary_seg", "v3.jpg"].mask).values
    assert labels["ovary_seg"] == ("background", "cyst", "nodule")
    assert (mask == 2).sum() == 200 and mask.max() == 2
    for choice, box in (("largest", (1, 2, 30, 30)), ("around", (1, 2, 50, 50))):
        run("convert", source, "-o", tmp_path / choice, "--task", "ovary", "--boxes", choice, "--kind", "detection")
        assert rows_of(tmp_path / choice)[0]["ovary", "v2.jpg"].box == box


def test_yolo_gives_boxes_polygons_and_keypoints(tmp_path, run):
    for number, line in enumerate(("1 0.5 0.5 0.25 0.5", "", "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75", "0 2 2 1 1")):
        picture(tmp_path / "yolo" / "train" / "images" / f"y{number}.png", number)
        labels = tmp_path / "yolo" / "train" / "labels" / f"y{number}.txt"
        labels.parent.mkdir(exist_ok=True)
        labels.write_text(line)
    (tmp_path / "yolo" / "data.yaml").write_text("names: {0: cyst, 1: nodule}\n")
    assert detect(tmp_path / "yolo") == "yolo"
    status, _, err = run("convert", tmp_path / "yolo", "-o", tmp_path / "D", "--task", "t")
    assert status == 3 and "y3.txt:1" in err
    rows, labels = rows_of(tmp_path / "D")
    assert rows["t_det_nodule", "y0.png"].box == (30, 16, 50, 48)
    assert rows["t_det_cyst", "y2.png"].box == (20, 16, 60, 48)
    mask = read_stored_mask(rows["t_seg", "y2.png"].mask).values
    assert mask.sum() == 40 * 32 and labels["t_seg"] == ("background", "cyst")
    assert not read_stored_mask(rows["t_seg", "y1.png"].mask).values.any() and ("t_seg", "y3.png") not in rows

    pose = tmp_path / "pose"
    picture(pose / "images" / "p.png")
    (pose / "labels").mkdir()
    (pose / "labels" / "p.txt").write_text("0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.25 1")
    (pose / "data.yaml").write_text("names: [femur]\nkpt_shape: [2, 3]\n")
    assert run("convert", pose, "-o", tmp_path / "E")[0] == 0
    rows, _ = rows_of(tmp_path / "E")
    assert rows["pose_points", "p.png"].points == ((20, 32), (60, 16))


def test_folders_of_classes_keep_their_splits(tmp_path, run):
    for number, name in enumerate(("train/benign/a.png", "train/malignant/a.png", "test/benign/ü b.png")):
        picture(tmp_path / "cls" / name, number)
    (tmp_path / "cls" / "train" / "benign" / "bad.png").write_bytes(b"")
    status, _, err = run("convert", tmp_path / "cls", "-o", tmp_path / "D", "--link")
    assert status == 3 and "bad.png has no content" in err and "classes: 4 pictures" in err
    tables = read_tables(tmp_path / "D")
    assert [row.label for row in tables.rows] == [0, 1] and tables.labels == {"cls": ("benign", "malignant")}
    assert all(row.image.is_symlink() and row.outputs == 2 for row in tables.rows)
    (row,) = read_tables(tmp_path / "D" / "test").rows
    assert row.image.name == "ü b.png" and row.label == 0 and row.outputs == 2


def save_mask(path, mask, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path, **options)


def test_pictures_with_masks_beside_them_are_merged(tmp_path, run):
    """As BUSI has them."""
    squares = [np.zeros((H, W), np.uint8) for _ in range(2)]
    squares[0][5:15, 5:15], squares[1][30:40, 50:70] = 255, 255
    for name in ("benign/benign (1)", "malignant/malignant (1)"):
        picture(tmp_path / "busi" / f"{name}.png", len(name))
        save_mask(tmp_path / "busi" / f"{name}_mask.png", squares[0])
    save_mask(tmp_path / "busi" / "benign" / "benign (1)_mask_1.png", np.stack([squares[1]] * 3, axis=2))
    assert detect(tmp_path / "busi") == "masks"
    status, _, err = run("convert", tmp_path / "busi", "-o", tmp_path / "D")
    assert status == 0, err
    rows, labels = rows_of(tmp_path / "D")
    mask = read_stored_mask(rows["busi_seg", "benign (1).png"].mask).values
    assert np.array_equal(mask, (np.maximum(*squares) > 0).astype(np.uint8))
    assert rows["busi_cls", "malignant (1).png"].label == 1
    assert labels == {"busi_seg": ("background", "foreground"), "busi_cls": ("benign", "malignant")}


def test_lossy_masks_in_a_folder_of_their_own(tmp_path, run):
    """As TN3K has them; one holds grey levels that are no class ids."""
    mask = np.zeros((H, W), np.uint8)
    mask[16:48, 16:64] = 255
    for split in ("trainval", "test"):
        picture(tmp_path / "tn3k" / f"{split}-image" / "0001.jpg", 3)
        save_mask(tmp_path / "tn3k" / f"{split}-mask" / "0001.jpg", mask, quality=85)
    picture(tmp_path / "tn3k" / "test-image" / "0002.jpg", 4)
    ramp = np.tile(np.arange(W, dtype=np.uint8) * 3, (H, 1))
    save_mask(tmp_path / "tn3k" / "test-mask" / "0002.jpg", ramp)
    status, _, err = run("convert", tmp_path / "tn3k", "-o", tmp_path / "D", "--task", "thyroid")
    assert status == 3 and "0002.jpg has grey levels" in err
    for root in (tmp_path / "D", tmp_path / "D" / "test"):
        rows, _ = rows_of(root)
        assert np.array_equal(read_stored_mask(rows["thyroid", "0001.jpg"].mask).values, mask // 255)


def test_a_picture_that_exif_turns_is_written_upright(tmp_path, run):
    turned = Image.Exif()
    turned[0x0112] = 6
    source = tmp_path / "turned"
    mask = np.zeros((H, W), np.uint8)
    mask[:10, :20] = 1
    for number, stored in enumerate((mask, np.rot90(mask, -1).copy())):
        picture(source / "images" / f"x{number}.jpg", number, exif=turned, quality=95)
        save_mask(source / "masks" / f"x{number}.png", stored)
    assert run("convert", source, "-o", tmp_path / "D")[0] == 0
    rows, _ = rows_of(tmp_path / "D")
    for number in (0, 1):
        row = rows["turned", f"x{number}.png"]
        with Image.open(row.image) as upright:
            assert upright.size == (H, W) and not upright.getexif()
        assert np.array_equal(read_stored_mask(row.mask).values, np.rot90(mask, -1))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["gone", "-o", "D"], 2, "there is no file or folder gone"),
        (["empty", "-o", "D"], 2, "of no format that is known"),
        (["empty", "-o", "D", "--from", "coco"], 4, "nothing in empty can be used as coco"),
        (["cls", "-o", "cls"], 2, "is not empty"),
        (["cls", "-o", "cls/D"], 2, "lies in cls"),
        (["cls", "-o", "note.txt"], 2, "is a file"),
        (["note.txt", "-o", "D"], 2, "of no format that is known"),
        (["broken.json", "-o", "D"], 2, "of no format that is known"),
        (["broken.json", "-o", "D", "--from", "coco"], 4, "it is no JSON: line 1"),
        (["cls", "-o", "D", "--from", "coca"], 2, "Invalid value for '--from'"),
        (["cls", "-o", "D", "--kind", "detection"], 4, "can be used"),
        (["cls", "-o", "D", "--kind", "boxes"], 2, "unknown kind 'boxes'; known: segmentation"),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(tmp_path, run, monkeypatch, words, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "cls" / "one" / "a.png")
    (tmp_path / "note.txt").write_text("note")
    (tmp_path / "broken.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    found, out, err = run("convert", *words, "-q")
    assert (found, out) == (status, "") and said in " ".join(err.split()) and "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before
