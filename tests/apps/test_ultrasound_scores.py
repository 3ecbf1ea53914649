"""Scores by the user's door: the true rule and the public scorer's, rows with faults, tasks that would be lost."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.splits import Split
from polyhead.runs.run import Run, RunInfo

COMMON = "image_path,task_id,task_name,num_classes"
HEIGHT, WIDTH = 48, 64
DISC = ((np.indices((HEIGHT, WIDTH)) - [[[20]], [[24]]]) ** 2).sum(0) < 120


def root(path: Path, *tables: str, images: int = 4) -> Path:
    """A data root with tables of the given text, and images 0.png to 3.png."""
    (path / "csv_files").mkdir(parents=True)
    (path / "img").mkdir()
    (path / "mask").mkdir()
    for index, text in enumerate(tables):
        (path / "csv_files" / f"t{index}.csv").write_text(text)
    generator = np.random.default_rng(0)
    for index in range(images):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
        Image.fromarray(pixels).save(path / "img" / f"{index}.png")
    return path


def table(kind: str, columns: str, rows: list[str], task: str = "t", classes: int = 2) -> str:
    lines = [f"../img/{index}.png,{task},{kind},{classes},{row}" for index, row in enumerate(rows)]
    return "\n".join([f"{COMMON},{columns}", *lines]) + "\n"


def masks(path: Path, values: list[np.ndarray], palette: bool = False, folder: str = "mask") -> None:
    (path / folder).mkdir(parents=True, exist_ok=True)
    for index, each in enumerate(values):
        image = Image.fromarray(each)
        if palette:
            image = Image.frombytes("P", (each.shape[1], each.shape[0]), each.tobytes())
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(path / folder / f"{index}.png")


@pytest.fixture
def scores(polyhead):
    """Evaluates a root with the predictions in it: the values by metric, and the codes of the problems."""

    def run(predictions: Path, data: Path, *flags: str) -> tuple[dict[str, float], list[str], dict]:
        out = data / "report"
        arguments = ("ultrasound", "evaluate", predictions, data, "-o", out, "--resamples", "50", "--json", *flags)
        status, printed, err = polyhead(*arguments)
        assert status == 0, err
        found = json.loads(printed)
        values = {score["metric"]: score["value"] for task in found["tasks"] for score in task["scores"]}
        return values, [problem["code"] for problem in found["problems"]], found

    return run


def classes(path: Path, predicted: list) -> Path:
    entries = [
        {"image_path": f"../img/{index}.png", "task_id": "t", "predicted_class": each, "predicted_probs": [0.5, 0.5]}
        for index, each in enumerate(predicted)
    ]
    (path / "classification_predictions.json").write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("strange", [7, 2, -1, 7.0])
def test_a_class_that_does_not_exist_is_wrong(scores, tmp_path, strange):
    """scikit-learn, which the public scorer calls, takes it as a class more: F1 is (1 + 2/3 + 0) / 3."""
    from sklearn.metrics import f1_score, matthews_corrcoef

    label = [0, 1, 0, 1]
    data = classes(root(tmp_path / "d", table("classification", "mask", list("0101"))), [0, 1, 0, strange])
    values, codes, _ = scores(data, data, "--official")
    assert values["Accuracy"] == 0.75 and codes == ["class-outside"]
    predicted = [0, 1, 0, int(strange)]
    assert values["F1_macro"] == pytest.approx(f1_score(label, predicted, average="macro")) == pytest.approx(5 / 9)
    assert values["F1_weighted"] == pytest.approx(f1_score(label, predicted, average="weighted", zero_division=0))
    assert values["MCC"] == pytest.approx(matthews_corrcoef(label, predicted))
    assert scores(data, data)[0]["Accuracy"] == 0.75


@pytest.mark.parametrize("flags", [(), ("--official",)])
def test_whole_numbers_written_as_floats_are_classes(scores, tmp_path, flags):
    data = classes(root(tmp_path / "d", table("classification", "mask", list("0101"))), [0.0, 1.0, 0.0, 1.0])
    values, codes, _ = scores(data, data, *flags)
    assert values["Accuracy"] == values["F1_macro"] == 1 and not codes


def test_masks_of_sixteen_bits_are_scored_as_opencv_reads_them(scores, tmp_path):
    data = root(tmp_path / "d", table("segmentation", "mask_path", [f"../mask/{index}.png" for index in range(4)]))
    masks(data, [DISC.astype(np.uint8)] * 4)
    masks(data, [DISC.astype(np.uint16)] * 4, folder="p/mask")
    values, codes, _ = scores(data / "p", data, "--official")
    assert values["DSC"] == 0 and values["HD"] == 80 and "prediction-missing" not in codes
    assert scores(data / "p", data)[0]["DSC"] == 1


@pytest.mark.parametrize("kind", ["palette", "0/255", "jpeg", "16-bit"])
def test_the_truth_scores_one_in_whatever_spelling(scores, tmp_path, kind):
    data = root(tmp_path / "d", table("segmentation", "mask_path", [f"../mask/{index}.png" for index in range(4)]))
    ids = [DISC.astype(np.uint8) * (index > 0) for index in range(4)]
    masks(data, ids, palette=kind == "palette")
    if kind == "16-bit":
        masks(data, [np.where(each, 65535, 0).astype(np.uint16) for each in ids])
    if kind in ("0/255", "jpeg"):
        masks(data, [255 * each for each in ids])
    if kind == "jpeg":
        for index, each in enumerate(ids):
            Image.fromarray(255 * each).save(data / "mask" / f"{index}.png", format="JPEG", quality=75)
    masks(data, ids, folder="p/mask")
    values, codes, found = scores(data / "p", data)
    assert values["DSC"] == 1 and values["HD"] == 0 and codes == []
    notes = found["tasks"][0]["notes"]
    assert any("0/255 read as 0/1 in 3 masks" in note for note in notes) == (kind != "palette")
    values, codes, _ = scores(data, data)  # the labels as predictions
    assert values["DSC"] == 1


def test_a_predicted_mask_of_another_size_is_resized_as_opencv_does(scores, tmp_path):
    """DSC by hand from floor(i * (1 / (new / old))); the rule floor(i * old / new) gives another one."""
    text = table("segmentation", "mask_path", ["../mask/0.png"])
    data = root(tmp_path / "d", text, images=1)
    generator = np.random.default_rng(3)
    small = (generator.random((100, 128)) < 0.5).astype(np.uint8)
    lines = [[min(int(i * (1 / (new / old))), old - 1) for i in range(new)] for old, new in ((100, 398), (128, 446))]
    large = small[lines[0]][:, lines[1]]
    other = small[np.arange(398) * 100 // 398][:, np.arange(446) * 128 // 446]
    assert (large != other).any()
    masks(data, [large])
    Image.fromarray(np.zeros((398, 446), np.uint8)).save(data / "img" / "0.png")
    masks(data, [small], folder="p/mask")
    for flags in ((), ("--official",)):
        assert scores(data / "p", data, *flags)[0]["DSC"] == 1


def test_a_row_with_a_fault_is_left_out_and_the_others_are_scored(scores, tmp_path):
    points = ['"[10, 20]","[40, 30]"'] * 3 + ['"[10, 20]",']
    boxes = ["1,2,30,40", "1,2,30,40", "30,2,1,40", "1,2,30,"]
    data = root(
        tmp_path / "d",
        table("Regression", "point_1_xy,point_2_xy", points),
        table("detection", "x_min,y_min,x_max,y_max", boxes, "u", 1),
        table("classification", "mask", ["0", "1", "5", "x"], "v"),
        table("classification", "mask", ["0"] * 3, "w") + "../img/3.png,w,classification,3,1\n",
    )
    entry = {"predicted_points_pixels": [10, 20, 40, 30], "predicted_points_normalized": [0.1] * 4}
    answers = [{"image_path": f"../img/{index}.png", "task_id": "t", **entry} for index in range(4)]
    (data / "regression_predictions.json").write_text(json.dumps(answers))
    _, codes, found = scores(data, data)
    rows = {task["task"]: task["rows"] for task in found["tasks"]}
    assert rows == {"t": 3, "u": 2, "v": 2, "w": 3}
    assert {"point-count", "bad-box", "missing-label", "class-outside", "bad-row", "conflicting-task"} <= set(codes)
    assert found["tasks"][0]["scores"][0]["value"] == 0
    _, _, official = scores(data, data, "--official")
    # The public scorer takes the empty point as (0, 0), 50 pixels from the predicted one.
    assert official["tasks"][0]["rows"] == 4 and official["tasks"][0]["scores"][0]["value"] == 25 / 4


def test_a_task_is_not_lost_in_silence(polyhead, tmp_path):
    good = table("classification", "mask", list("0101"), "good")
    paths = [f"../mask/{index}.png" for index in range(4)]
    data = root(tmp_path / "d", good, table("segmentation", "mask_path", paths, "lesion"))
    masks(data, [np.where(DISC, 200, 0).astype(np.uint8)] * 4)
    settings = ("--set", "epochs=1", "--set", "encoder=residual-tiny", "--set", "image_size=64", "--batch-size", "2")
    train = ("ultrasound", "train", data, "--preset", "tiny", "--device", "cpu", *settings, "-o")
    status, _, err = polyhead(*train, tmp_path / "run")
    assert status == 2 and "the task lesion would be lost" in err and "../mask/0.png has values such as [200]" in err
    assert not (tmp_path / "run").exists()
    status, _, err = polyhead(*train, tmp_path / "run", "--allow-lost-tasks", "--set", "validation_fraction=0")
    assert status == 0 and "the task lesion would be lost" in err

    masks(data, [np.where(DISC, 255, 0).astype(np.uint8)] * 4)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(data / "img" / "0.png").save(data / "img" / "0.png", exif=exif)
    status, _, err = polyhead(*train, tmp_path / "all", "--set", "validation_fraction=0", "--strict")
    assert status == 0 and "lesion: 0/255 read as 0/1 in 4 masks" in err and "1 of [exif-orientation]" in err
    with (tmp_path / "all" / "problems.csv").open() as file:
        listed = {row["code"]: row for row in csv.DictReader(file)}
    assert set(listed) == {"mask-scaled", "exif-orientation"} and listed["exif-orientation"]["line"] == "2"


def test_scores_on_the_rows_that_chose_the_epoch_say_so(scores, tmp_path):
    data = classes(root(tmp_path / "d", table("classification", "mask", list("0101"))), [0, 1, 0, 1])
    rows = read_tables(data).rows
    info = RunInfo(
        application="ultrasound",
        system="mh-mtl",
        preset="tiny",
        tasks=[],
        configuration={"training": {"epochs": 20, "validate_every": 2}},
        data={"split": Split(tuple(rows[:2]), tuple(rows[2:]), {}).to_json()},
    )
    with Run.begin(tmp_path / "run", info) as run:
        run.finish({"score": 0.5, "epoch": 12, "epochs_done": 20})
    (data / "run.json").write_text(json.dumps({"info": {"run": str(run.path)}}))
    words = "The validation rows among these chose the epoch whose weights were kept, 12 of 20"
    for flags in ((), ("--rows", "all")):
        _, _, found = scores(data, data, *flags)
        assert found["remarks"][0].startswith(words)
        assert words in (data / "report" / "report.html").read_text()
    (data / "run.json").unlink()
    assert scores(data, data)[2]["remarks"] == []
