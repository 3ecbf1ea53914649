"""An answer is the same, bit for bit, alone and in every batch: of any length, order and mixture of tasks."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.medical.intake.picture import Image
from domains.medical.ultrasound.networks.input import normalise
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.predicting.decode import Answers
from domains.medical.ultrasound.predicting.predict import UltrasoundItem, UltrasoundPredictor
from domains.medical.ultrasound.presets import resolve
from polyhead.runs.run import Run, RunInfo

TASKS = {"seg": ("segmentation", 3), "cls": ("classification", 4), "det": ("detection", 1), "reg": ("keypoints", 2)}
ASKED = [("seg",), ("cls",), ("cls", "seg"), ("det", "cls"), ("reg",), tuple(TASKS), ("reg", "cls")]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    config = resolve("tiny", {"network.encoder": "residual-tiny", "image_size": 64, "pyramid_channels": 32})
    specs = task_specs(TASKS, config, None)
    torch.manual_seed(5)
    model = build_model(specs, config.network)
    info = RunInfo(
        application="ultrasound",
        system="mh-mtl",
        preset="tiny",
        tasks=specs.to_json(),
        configuration=config.model_dump(mode="json"),
    )
    folder = Run.begin(tmp_path_factory.mktemp("runs") / "run", info)
    folder.save_weights(model.state_dict())
    folder.finish({})
    return folder.path


def items_of(predictor: UltrasoundPredictor, asked: list[tuple[str, ...]]) -> list[UltrasoundItem]:
    numbers = np.random.default_rng(0)
    pictures = [numbers.integers(0, 256, (50 + 3 * k, 80 - k, 3), np.uint8) for k in range(len(asked))]
    return [predictor.prepare(Image(pixels, None, {}), tasks) for pixels, tasks in zip(pictures, asked, strict=True)]


def assert_same(one: Answers, other: Answers) -> None:
    assert one.tasks.keys() == other.tasks.keys()
    for task, answer in one.tasks.items():
        beside = other.tasks[task]
        assert (answer.mask is None) == (beside.mask is None)
        if answer.mask is not None and beside.mask is not None:
            assert np.array_equal(answer.mask, beside.mask)
        for name in ("probabilities", "box", "score", "points", "confidence", "measurements"):
            assert getattr(answer, name) == getattr(beside, name), (task, name)


@pytest.mark.parametrize("backend", ["plain", "openvino"])
def test_answers_are_equal_bit_for_bit_alone_and_in_every_batch(run, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    predictor = UltrasoundPredictor(run, "cpu", backend=backend, cache=False)
    items = items_of(predictor, 3 * ASKED)
    alone = [predictor.predict([item])[0] for item in items]
    draw = random.Random(1)
    for size in (2, 5, len(items)):
        order = draw.sample(range(len(items)), len(items))
        predictor.batch_size = size
        for index, found in zip(order, predictor.predict([items[index] for index in order]), strict=True):
            assert_same(alone[index], found)


def test_answers_are_equal_bit_for_bit_with_any_number_of_threads(run):
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            predictor = UltrasoundPredictor(run, "cpu", backend="plain", cache=False)
            found.append(predictor.predict(items_of(predictor, ASKED)))
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert_same(one, other)


def test_no_picture_gets_the_classes_of_another(run):
    """All ask for classes and only the later ones for a mask, which are encoded first."""
    predictor = UltrasoundPredictor(run, "cpu", backend="plain")
    items = items_of(predictor, [("cls",), ("cls",), ("cls", "seg"), ("cls", "seg")])
    together = predictor.predict(items)
    for item, found in zip(items, together, strict=True):
        with torch.inference_mode():
            logits = predictor.model(normalise(torch.from_numpy(item.input)[None]), "cls")
        expected = torch.softmax(logits.double(), 1)[0].tolist()
        assert found.tasks["cls"].probabilities == pytest.approx(expected, abs=1e-5)
    assert len({tuple(found.tasks["cls"].probabilities or ()) for found in together}) == 4
