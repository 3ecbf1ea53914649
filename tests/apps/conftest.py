"""The command line in this process, a run folder, and a predictor that answers known things without torch."""

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps import cli
from domains.medical.intake.images import read_image
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSpec

TASKS = [
    TaskSpec("breast_lesion", "segmentation", "fpn", 2, ("background", "lesion")),
    TaskSpec("breast_3cls", "classification", "c5", 3, ("benign", "malignant", "normal")),
    TaskSpec("thyroid_nodule_det", "detection", "fpn", 1, ("nodule",)),
    TaskSpec("IUGC", "keypoints", "c5", 3),
]


@dataclass(frozen=True)
class StubAnswer:
    kind: str
    labels: tuple[str, ...]
    mask: np.ndarray | None = None
    probabilities: list[float] | None = None
    box: tuple[float, float, float, float] | None = None
    score: float | None = None
    points: list[tuple[float, float]] | None = None
    confidence: float | None = None
    measurements: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StubAnswers:
    image: np.ndarray
    spacing: tuple[float, float] | None
    tasks: dict[str, StubAnswer]
    warnings: tuple[str, ...] = ()


def stub_answers(image: np.ndarray) -> dict[str, StubAnswer]:
    """Answers to `TASKS`: a square of 40 x 30 pixels, class 1, a box, three points."""
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[20:60, 30:60] = 1
    area = [{"name": "area lesion", "value": 1200.0, "unit": "px2"}]
    return {
        "breast_lesion": StubAnswer("segmentation", TASKS[0].labels, mask=mask, confidence=0.9, measurements=area),
        "breast_3cls": StubAnswer("classification", TASKS[1].labels, probabilities=[0.25, 0.7, 0.05], confidence=0.32),
        "thyroid_nodule_det": StubAnswer(
            "detection", ("nodule",), box=(5.0, 8.0, 70.0, 50.0), score=0.8, confidence=0.8
        ),
        "IUGC": StubAnswer("keypoints", (), points=[(10.0, 10.0), (50.0, 20.0), (80.0, 70.0)]),
    }


class StubPredictor:
    """Answers `stub_answers` for every image that can be read."""

    def __init__(self, run, device="auto", tasks=None):
        self.run = Path(run)

    def read(self, case):
        return case, read_image(case.path, case.options.get("frame"))

    def predict(self, items):
        return [
            StubAnswers(image.pixels, image.spacing, {task: stub_answers(image.pixels)[task] for task in case.tasks})
            for case, image in items
        ]


@pytest.fixture
def polyhead(monkeypatch, capsys):
    """Runs the command in this process: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["polyhead", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return status, said.out, said.err

    return run


@pytest.fixture
def answers():
    return stub_answers(np.zeros((96, 128, 3), np.uint8))


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """A working folder with one usable run, one broken run, and nothing else that the page could find."""
    monkeypatch.setenv("POLYHEAD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("POLYHEAD_DEMO", str(tmp_path / "demo"))
    monkeypatch.setenv("POLYHEAD_DATA_ROOTS", str(tmp_path))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    info = RunInfo(
        application="ultrasound",
        system="mh-mtl",
        preset="tiny",
        tasks=[task.to_json() for task in TASKS],
        metrics={"score": 0.5, "metrics": {"breast_lesion": {"DSC": 0.81234}}},
        created="2026-01-02T03:04:05+00:00",
        finished=True,
    )
    run = Run.begin(tmp_path / "runs" / "first", info)
    (run.path / "model.safetensors").write_bytes(b"weights")
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    return tmp_path


@pytest.fixture
def stub_predictor(monkeypatch):
    """Puts `StubPredictor` where the page looks for the real one."""
    import streamlit as st

    module: Any = types.ModuleType("domains.medical.ultrasound.predicting.predict")
    module.UltrasoundPredictor = StubPredictor
    monkeypatch.setitem(sys.modules, module.__name__, module)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()
