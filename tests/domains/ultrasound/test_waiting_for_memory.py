"""Pictures wait for memory where others of them will be let go, and only there."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from domains.medical.intake.picture import BYTES_A_PIXEL, SHARE_OF_MEMORY
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.predicting import predict
from domains.medical.ultrasound.predicting.decode import Answers
from domains.medical.ultrasound.presets import resolve
from domains.medical.ultrasound.saved import describe
from polyhead.batch.case import Case
from polyhead.batch.one import ask
from polyhead.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    config = resolve("tiny", {"network.encoder": "residual-tiny", "image_size": 64, "pyramid_channels": 32})
    specs = task_specs({"cls": ("classification", 2)}, config)
    torch.manual_seed(0)
    with Run.begin(tmp_path_factory.mktemp("runs") / "run", describe(config, specs)) as begun:
        begun.save_weights(build_model(specs, config.network).state_dict())
        begun.finish({})
    return begun.path


@pytest.fixture
def cases(monkeypatch, tmp_path) -> list[Case]:
    """Three pictures of one size, of which the memory of the machine holds one at a time."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(predict, "total_memory", lambda: pixels.size * BYTES_A_PIXEL / SHARE_OF_MEMORY)
    return [Case(str(index), tmp_path / "a.png", ("cls",)) for index in range(3)]


def test_pictures_that_are_asked_together_do_not_wait_for_one_another(run, cases):
    """A page reads all of them before any is answered, and holds what it shows."""
    answered = []

    def answer() -> None:
        answered.extend(ask(predict.UltrasoundPredictor(run, "cpu", backend="plain"), cases))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    thread.join(30)
    assert [type(each) for each in answered] == [Answers] * 3


def test_a_worker_reads_no_more_pictures_than_memory_holds(run, cases):
    predictor = predict.load_predictor(run=str(run), device="cpu", backend="plain")
    held = [predictor.read(cases[0])]
    read = threading.Event()

    def read_another() -> None:
        predictor.read(cases[1])
        read.set()

    threading.Thread(target=read_another, daemon=True).start()
    assert not read.wait(0.5)
    held.clear()
    assert read.wait(30)
