"""The ultrasound application as the command line, the pages and the packagers see it. Light to import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from polyhead.application import SystemInfo
from polyhead.batch.case import Case, Predictor

KINDS = ("segmentation", "classification", "detection", "keypoints")


class UltrasoundApplication:
    """Segmentation, classification, detection and keypoints of ultrasound images with one network."""

    name = "ultrasound"
    title = "Ultrasound: segment, classify, detect and measure with one network"
    systems: Mapping[str, SystemInfo] = MappingProxyType(
        {
            "mh-mtl": SystemInfo(
                title="MH-MTL: one EfficientNet-B4, a feature pyramid, a head for each task",
                source="arXiv 2602.01055, baseline of the FM_UIA 2026 challenge",
                presets=("mh-mtl", "mh-mtl-plus", "tiny"),
                task_kinds=KINDS,
                notes="mh-mtl follows the published settings, mh-mtl-plus mends their defects, tiny is for tests",
            ),
        }
    )
    data_sets = ("fm-uia", "ultrasound-simulator")

    def model_facts(self, preset: str) -> Mapping[str, int]:
        """Parameters with heads for the simulator's 27 tasks, those of the challenge, and the input's side."""
        import torch

        from domains.medical.ultrasound.network import build_model, task_specs
        from domains.medical.ultrasound.presets import PRESETS
        from domains.medical.ultrasound.simulator.tasks import SHEETS

        config = PRESETS[preset]
        tasks = {name: (sheet.kind, sheet.outputs) for name, sheet in SHEETS.items()}
        with torch.device("meta"):
            model = build_model(task_specs(tasks, config), config.network)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return {"parameters": parameters, "image_size": config.network.image_size}

    def sample(self, out: Path, **options: Any) -> None:
        from domains.medical.ultrasound.simulator import sample

        sample(out, **options)

    def cases(self, source: str | Path, **options: Any) -> Iterator[Case]:
        from domains.medical.ultrasound.sources import cases_from

        yield from cases_from(source, **options)

    def train(self, data: Path, run: Path, config: Any, **options: Any) -> Any:
        from domains.medical.ultrasound.training import train

        return train(data, run, config, **options)

    def predictor(self, run: Path, **options: Any) -> Predictor:
        from domains.medical.ultrasound.predict import UltrasoundPredictor

        return UltrasoundPredictor(run, **options)

    def evaluate(self, predictions: Path, data: Path, **options: Any) -> Any:
        from domains.medical.ultrasound.evaluate import evaluate

        return evaluate(predictions, data, **options)


ULTRASOUND = UltrasoundApplication()
