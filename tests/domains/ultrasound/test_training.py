"""Training on a small simulated set: what moves, what is scored, what is refused, and how a run goes on."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from domains.medical.ultrasound.data.fm_uia import read_tables, tasks_of, write_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning import labelled
from domains.medical.ultrasound.learning.losses import LOSSES
from domains.medical.ultrasound.learning.training import fingerprint, task_loss, train, validator
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.presets import PRESETS, UltrasoundConfig, resolve
from domains.medical.ultrasound.saved import load_run
from domains.medical.ultrasound.simulator.write import sample
from polyhead.runs.run import Run
from polyhead.training.session import Session

TASKS = ("carotid_artery", "liver_lesion_2cls", "thyroid_nodule_det", "FUGC")
KINDS = ("segmentation", "classification", "detection", "keypoints")


def config(preset: str = "tiny", **changes) -> UltrasoundConfig:
    values = {"network.encoder": "residual-tiny", "image_size": 64, "pyramid_channels": 32, "training.device": "cpu"}
    return resolve(preset, {**values, "epochs": 2, "batch_size": 2, "warmup_steps": 0, "validate_every": 1, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "set"
    sample(root, rows_per_task=5, validation=2, size=(64, 96), tasks=TASKS, seed=1, workers=2)
    return root


def run_training(
    data: Path,
    out: Path,
    settings: UltrasoundConfig,
    *,
    resume: bool = False,
    on_step: Callable[[int], None] | None = None,
    **options,
):
    said: list[str] = []
    result = train(data, out, settings, session=Session(resume, say=said.append, on_step=on_step), **options)
    return result, said


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A run on the set with one row that names no file."""
    copy = tmp_path_factory.mktemp("copy") / "set"
    shutil.copytree(data, copy)
    table = next((copy / "csv_files").glob("Seg-*.csv"))
    lines = table.read_text(encoding="utf-8").splitlines()
    lines.append(lines[1].replace(".png", "_gone.png").replace(".jpg", "_gone.jpg").replace(".bmp", "_gone.bmp"))
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = copy.parent / "run"
    result, said = run_training(copy, out, config())
    assert result.stopped == "finished" and result.epoch == 2
    assert any("1 problems" in line and "gone" in line for line in said)
    return out


def test_the_run_says_what_it_is_of(trained):
    run = Run.open(trained)
    assert (run.info.application, run.info.system, run.info.preset) == ("ultrasound", "mh-mtl", "tiny")
    assert run.info.finished and list(run.info.task_set) == sorted(TASKS)
    assert run.info.data["rows"] == 20 and len(run.info.data["fingerprint"]) == 64
    assert run.info.configuration == config().model_dump(mode="json")
    assert {task: spec.kind for task, spec in run.info.task_set.items()} == dict(zip(TASKS, KINDS, strict=True))
    metrics = run.info.metrics["metrics"]
    assert set(metrics) == set(TASKS) and set(run.info.metrics["scores"]) == set(TASKS)
    assert all(0 <= score <= 1 for score in run.info.metrics["scores"].values())


def test_metrics_of_every_step_and_every_validation_are_kept(trained):
    lines = Run.open(trained).metrics()
    training = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in training] == list(range(1, len(training) + 1))
    assert all(len(line["losses"]) == 1 for line in training)
    validation = [line for line in lines if line["split"] == "validation"]
    assert [line["epoch"] for line in validation] == [1, 2]
    seen = {task for line in training for task in line["losses"]}
    assert seen == set(TASKS)


def test_a_broken_row_is_a_line_of_the_problems_and_is_replaced_by_no_other(trained):
    with (trained / "problems.csv").open(encoding="utf-8", newline="") as file:
        problems = list(csv.DictReader(file))
    assert len(problems) == 1
    found = problems[0]
    assert (found["file"], found["line"]) == ("Seg-Two_2.Common_Carotid_Artery.csv", "7")
    assert found["code"] == "missing-file" and "_gone" in found["reason"]


def test_the_saved_run_answers_like_the_trained_model(trained):
    model, settings = load_run(trained)
    assert settings == config() and not model.training
    again, _ = load_run(trained)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for task in TASKS:
            assert torch.equal(model(images, task), again(images, task))


def test_a_finished_run_is_not_trained_again(trained):
    before = {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()}
    copy = trained.parent / "set"
    result, _ = run_training(copy, trained, config(), resume=True)
    assert result.stopped == "finished" and result.seconds == 0
    assert {path.name: path.read_bytes() for path in trained.iterdir() if path.is_file()} == before
    with pytest.raises(ValueError, match="holds a run already"):
        run_training(copy, trained, config())
    with pytest.raises(ValueError, match=r"cannot be resumed.*learning_rate"):
        run_training(copy, trained, config(learning_rate=0.5), resume=True)


def test_an_interrupted_training_ends_in_the_same_weights(data, tmp_path):
    class Stop(Exception):
        pass

    def stop(step: int) -> None:
        if step == 5:
            raise Stop

    settings = config(augmentation="geometric")
    run_training(data, tmp_path / "whole", settings)
    with pytest.raises(Stop):
        run_training(data, tmp_path / "torn", config(augmentation="geometric", snapshot_every=2), on_step=stop)
    assert not Run.open(tmp_path / "torn").info.finished
    result, _ = run_training(data, tmp_path / "torn", settings, resume=True)
    assert result.stopped == "finished"
    whole, torn = (Run.open(tmp_path / name).load_weights() for name in ("whole", "torn"))
    assert whole.keys() == torn.keys() and all(torch.equal(whole[name], torn[name]) for name in whole)


def test_a_task_all_of_whose_rows_are_broken_is_told(data, tmp_path):
    rows = [replace(row, image_path=str(row.image), mask_path=str(row.mask)) for row in read_tables(data).rows]
    rows = [replace(row, image_path="../none.png") if row.task == "FUGC" else row for row in rows]
    write_tables(tmp_path / "data", rows)
    settings = config(epochs=1, steps_per_epoch=1)
    for tasks in (None, ["FUGC", "carotid_artery"]):
        with pytest.raises(ValueError, match=r"the task FUGC would be lost: 5 rows .*Reg-\S+:2: .*none\.png"):
            run_training(tmp_path / "data", tmp_path / "run", settings, tasks=tasks)
    assert not (tmp_path / "run").exists()
    _, said = run_training(tmp_path / "data", tmp_path / "run", settings, allow_lost_tasks=True)
    assert any("FUGC would be lost" in line for line in said)
    assert "FUGC" not in Run.open(tmp_path / "run").info.task_set


def test_strict_makes_a_problem_an_error_and_no_run(trained, tmp_path):
    with pytest.raises(ValueError, match="gone"):
        run_training(trained.parent / "set", tmp_path / "run", config(), strict=True)
    assert not (tmp_path / "run").exists()


def test_some_tasks_only(data, tmp_path):
    settings = config(epochs=1, steps_per_epoch=1)
    run_training(data, tmp_path / "run", settings, tasks=["FUGC", "carotid_artery"])
    assert list(Run.open(tmp_path / "run").info.task_set) == ["FUGC", "carotid_artery"]
    with pytest.raises(ValueError, match=r"no rows of nose; it has .*FUGC"):
        run_training(data, tmp_path / "other", settings, tasks=["nose"])


def test_a_task_that_nobody_knew_before(data, tmp_path):
    rows = [row for row in read_tables(data).rows if row.task == "liver_lesion_2cls"]
    new = [replace(row, task="spleen (new).3", outputs=3) for row in rows]
    write_tables(tmp_path / "data", [replace(row, image_path=str(row.image)) for row in [*rows, *new]])
    run_training(tmp_path / "data", tmp_path / "run", config(epochs=1, steps_per_epoch=2))
    model, _ = load_run(tmp_path / "run")
    assert model(torch.randn(1, 3, 64, 64), "spleen (new).3").shape == (1, 3)


def test_a_second_folder_validates_and_its_leaks_are_problems(data, tmp_path):
    settings = config(epochs=1, steps_per_epoch=1)
    run_training(data, tmp_path / "run", settings, validation_data=data / "val")
    info = Run.open(tmp_path / "run").info
    assert info.data["rows"] == 20 and info.data["split"]["settings"]["by"] == "folder"
    with pytest.raises(ValueError, match="leaked"):
        run_training(data, tmp_path / "other", settings, validation_data=data, strict=True)


def test_a_task_without_validation_rows_is_told_before_training(data, tmp_path):
    rows = [row for row in read_tables(data / "val").rows if row.task != "FUGC"]
    write_tables(tmp_path / "val", [replace(row, image_path=str(row.image), mask_path=str(row.mask)) for row in rows])
    steps: list[int] = []
    with pytest.raises(ValueError, match="FUGC"):
        settings = config(epochs=1, steps_per_epoch=1)
        run_training(data, tmp_path / "run", settings, validation_data=tmp_path / "val", on_step=steps.append)
    assert steps == [] and not (tmp_path / "run").exists()


def test_validation_rows_of_other_tasks_are_refused(data, tmp_path):
    with pytest.raises(ValueError, match="liver_lesion_2cls"):
        rows = [row for row in read_tables(data).rows if row.task != "liver_lesion_2cls"]
        write_tables(tmp_path / "d", [replace(row, image_path=str(row.image), mask_path=str(row.mask)) for row in rows])
        run_training(tmp_path / "d", tmp_path / "run", config(), validation_data=data / "val")
    assert not (tmp_path / "run").exists()


def test_without_a_validation_share_the_last_weights_are_kept(data, tmp_path):
    settings = config(epochs=1, steps_per_epoch=1, validation_fraction=0.0)
    result, _ = run_training(data, tmp_path / "run", settings)
    assert result.stopped == "finished" and Run.open(tmp_path / "run").has_weights
    assert result.metrics.get("score") is None


def test_tables_without_a_usable_row_are_one_line(tmp_path):
    folder = tmp_path / "csv_files"
    folder.mkdir()
    header = "image_path,task_id,task_name,num_classes,mask\n"
    for line in ("../x.png,a,classification,zero,1\n", "../x.png,a,classification,2,1\n"):
        (folder / "a.csv").write_text(header + line, encoding="utf-8")
        with pytest.raises(ValueError, match=r"a\.csv:2") as caught:
            run_training(tmp_path, tmp_path / "run", config())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preset", ["mh-mtl", "mh-mtl-plus"])
def test_one_step_moves_what_the_preset_trains_and_no_untouched_head(preset, data, tmp_path):
    """The published training leaves the decoder at its random start; an untouched head does not even decay."""
    settings = config(preset, epochs=1, steps_per_epoch=1, seed=3, validation_fraction=0.0)
    tasks = tasks_of(read_tables(data).rows)
    torch.manual_seed(3)
    before = build_model(task_specs(tasks, settings), settings.network).state_dict()
    run_training(data, tmp_path / "run", settings)
    run = Run.open(tmp_path / "run")
    after = run.load_weights()
    (touched,) = run.metrics()[0]["losses"]
    model, _ = load_run(tmp_path / "run")

    def moved(prefix: str) -> list[bool]:
        return [not torch.equal(before[name], after[name]) for name in before if name.startswith(prefix)]

    assert all(moved("backbone.encoder."))
    decoder = moved("backbone.decoder.")
    if preset == "mh-mtl":
        assert not any(decoder)
    elif model.tasks[touched].reads == "fpn":
        assert all(decoder)
    for key in model.heads:
        mine = model.heads[key] is model.head(touched)
        assert all(moved(f"heads.{key}.")) if mine else not any(moved(f"heads.{key}."))


def test_the_published_network_takes_a_step(data, tmp_path):
    settings = resolve(
        "mh-mtl", {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "image_size": 64, "device": "cpu"}
    )
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"validation_fraction": 0.0})})
    run_training(data, tmp_path / "run", settings, tasks=["carotid_artery"])
    after = Run.open(tmp_path / "run").load_weights()
    torch.manual_seed(42)
    before = build_model(task_specs({"carotid_artery": ("segmentation", 2)}, settings), settings.network).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("backbone.decoder.") for name in changed)
    # The classifier's last convolution is kept for checkpoints and never runs.
    still = {name for name in before if name.startswith("backbone.encoder.")} - changed
    assert still and all(".top_" in name for name in still)
    assert {name for name in before if name.startswith("heads.")} <= changed


def test_losses_are_those_of_the_preset():
    tasks = {kind: (kind, 1 if kind == "detection" else 2) for kind in KINDS}
    for preset, names in (
        ("mh-mtl", ("dice", "cross-entropy", "grid", "mse")),
        ("mh-mtl-plus", ("dice-ce", "cross-entropy", "center", "heatmap")),
    ):
        specs = task_specs(tasks, PRESETS[preset])
        found = [task_loss(specs[kind], PRESETS[preset]) for kind in KINDS]
        assert found == [LOSSES[name] for name in names]


class Perfect(nn.Module):
    """Answers each task with the same raw output for every image."""

    def __init__(self, raw: torch.Tensor):
        super().__init__()
        self.raw = raw

    def forward(self, feature):
        return self.raw.expand(len(feature), *self.raw.shape[1:])


def test_scores_of_the_validator_by_hand(data):
    """Constant answers, scored against targets that are read here once more."""
    settings = config("mh-mtl")
    rows = read_tables(data).rows
    model = build_model(task_specs(tasks_of(rows), settings), settings.network).eval()
    mask = torch.zeros(1, 2, 64, 64)
    mask[:, 1, :, :32] = 1.0  # the left half
    boxes = torch.zeros(1, 5, 16, 16)
    boxes[0, :4] = torch.tensor([0.25, 0.25, 0.75, 0.75])[:, None, None]
    answers = {
        "carotid_artery": mask,
        "liver_lesion_2cls": torch.tensor([[0.0, 1.0]]),
        "thyroid_nodule_det": boxes,
        "FUGC": torch.tensor([[0.5, 0.5, 0.5, 0.5]]),
    }
    for key in list(model.heads):
        task = next(task for task in answers if model.heads[key] is model.head(task))
        model.heads[key] = Perfect(answers[task])
    with torch.no_grad():
        found = validator(rows, settings)(model)
    assert set(found.scores) == set(found.metrics) == set(TASKS)

    by_task = {task: [row for row in rows if row.task == task] for task in TASKS}
    from PIL import Image

    def shape(row) -> np.ndarray:
        with Image.open(row.image) as picture:
            return np.array(picture.size)

    dice = []
    for row in by_task["carotid_artery"]:
        with Image.open(row.mask) as picture:
            truth = np.asarray(picture.resize((64, 64), Image.Resampling.NEAREST)) == 1
        left = np.arange(64)[None].repeat(64, 0) < 32
        dice.append(2 * (truth & left).sum() / (truth.sum() + left.sum()))
    assert found.scores["carotid_artery"] == pytest.approx(np.mean(dice))

    labels = [row.label for row in by_task["liver_lesion_2cls"]]
    accuracy = labels.count(1) / len(labels)
    assert 0 < accuracy < 1
    assert found.metrics["liver_lesion_2cls"]["Accuracy"] == pytest.approx(accuracy)
    assert found.scores["liver_lesion_2cls"] == pytest.approx(accuracy / (1 + accuracy))  # (0 + 2a / (1 + a)) / 2

    overlaps = []
    for row in by_task["thyroid_nodule_det"]:
        x0, y0, x1, y1 = np.array(row.box) / np.tile(shape(row), 2)
        inner = max(0, min(x1, 0.75) - max(x0, 0.25)) * max(0, min(y1, 0.75) - max(y0, 0.25))
        overlaps.append(inner / ((x1 - x0) * (y1 - y0) + 0.25 - inner))
    assert found.scores["thyroid_nodule_det"] == pytest.approx(np.mean(overlaps), abs=1e-5)

    errors = [math.hypot(*(np.array(point) / shape(row) - 0.5)) for row in by_task["FUGC"] for point in row.points]
    assert found.metrics["FUGC"]["MRE_of_side"] == pytest.approx(np.mean(errors), abs=1e-5)
    assert found.scores["FUGC"] == pytest.approx(max(0, 1 - 4 * np.mean(errors)), abs=1e-4)


def test_the_fingerprint_knows_labels_and_not_the_order_or_the_place(data, tmp_path):
    rows = read_tables(data).rows
    shutil.copytree(data, tmp_path / "moved")
    assert fingerprint(rows) == fingerprint(rows[::-1]) == fingerprint(read_tables(tmp_path / "moved").rows)
    index = next(k for k, row in enumerate(rows) if row.label is not None)
    rows[index] = replace(rows[index], label=1 - (rows[index].label or 0))
    assert fingerprint(rows) != fingerprint(read_tables(data).rows)


def test_the_published_settings():
    training = PRESETS["mh-mtl"].training
    assert (training.epochs, training.batch_size, training.sampler) == (50, 20, "uniform")
    assert (training.learning_rate, training.weight_decay, training.min_learning_rate) == (1e-4, 0.01, 1e-6)
    assert (training.schedule, training.clip_norm, training.ema_decay) == ("cosine-epoch", None, None)
    assert not PRESETS["mh-mtl"].train_decoder and PRESETS["mh-mtl-plus"].train_decoder
    for preset in PRESETS:
        json.dumps(PRESETS[preset].model_dump(mode="json"), allow_nan=False)


def test_settings_are_changed_by_name_and_wrong_names_name_near_ones():
    changed = resolve("tiny", {"epochs": "3", "network.image_size": 96, "head_lr_scale": 2})
    assert (changed.training.epochs, changed.network.image_size, changed.head_lr_scale) == (3, 96, 2.0)
    assert PRESETS["tiny"].training.epochs != 3
    with pytest.raises(ValueError, match="learning_rate"):
        resolve("tiny", {"lerning_rate": 1})
    with pytest.raises(ValueError, match="tiny"):
        resolve("tiney")
    with pytest.raises(ValueError, match=r"network\.image_size.*100; training\.epochs.*'many'") as caught:
        resolve("tiny", {"image_size": 100, "epochs": "many"})
    assert "\n" not in str(caught.value)


def test_an_image_that_vanishes_at_the_networks_size_is_a_problem_not_a_crash(tmp_path: Path):
    path = tmp_path / "strip.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 3000, 3), dtype=np.uint8)).save(path)
    row = Row("breast_2cls", "classification", 2, path, "../strip.png", label=0, table="Cls.csv", line=7)
    kept, problems = labelled._that_fit([row], resolve("tiny").network)
    assert kept == [] and [(p.code, p.where) for p in problems] == [("extreme-aspect", "Cls.csv:7")]
    assert labelled._that_fit([row], resolve("mh-mtl").network) == ([row], [])
