"""The ultrasound application as the command line, the pages and the packagers see it. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from polyhead.application import Application, SystemInfo

KINDS = ("segmentation", "classification", "detection", "keypoints")


def _model_facts(preset: str) -> Mapping[str, int]:
    """Parameters with heads for the simulator's 27 tasks, those of the challenge, and the input's side."""
    import torch

    from domains.medical.ultrasound.networks.network import build_model, task_specs
    from domains.medical.ultrasound.presets import PRESETS
    from domains.medical.ultrasound.simulator.tasks import SHEETS

    config = PRESETS[preset]
    tasks = {name: (sheet.kind, sheet.outputs) for name, sheet in SHEETS.items()}
    with torch.device("meta"):
        model = build_model(task_specs(tasks, config), config.network)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"parameters": parameters, "image_size": config.network.image_size}


ULTRASOUND = Application(
    name="ultrasound",
    title="Ultrasound: segment, classify, detect and measure with one network",
    systems=MappingProxyType(
        {
            "mh-mtl": SystemInfo(
                title="MH-MTL: one EfficientNet-B4, a feature pyramid, a head for each task",
                source="arXiv 2602.01055, baseline of the FM_UIA 2026 challenge",
                presets=("mh-mtl", "mh-mtl-plus", "tiny"),
                task_kinds=KINDS,
                notes="mh-mtl follows the published settings, mh-mtl-plus mends their defects, tiny is for tests",
            ),
        }
    ),
    data_sets=("fm-uia", "ultrasound-simulator"),
    model_facts=_model_facts,
)
