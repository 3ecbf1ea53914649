"""A run folder as a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from domains.pde.networks.description import Description
from domains.pde.networks.model import build_model
from domains.pde.settings import PdeConfig, read_config
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet

APPLICATION = "pde"


def describe(
    config: PdeConfig, tasks: TaskSet, descriptions: Mapping[str, Description], data: Mapping[str, Any], **more: Any
) -> RunInfo:
    """What run.json says of a model; the descriptions stand under its `data`."""
    problems = {name: description.to_json() for name, description in descriptions.items()}
    return RunInfo(
        application=APPLICATION,
        system=config.system,
        preset=config.preset,
        tasks=tasks.to_json(),
        configuration=config.model_dump(mode="json"),
        data={**data, "problems": problems},
        **more,
    )


def load_run(path: Path) -> tuple[MultiHeadModel, PdeConfig, dict[str, Description]]:
    """The model, the configuration and the problems of a run folder, on the CPU, in evaluation mode.

    Raises:
        ValueError: not a run of this application, or its weights are missing or do not fit.
    """
    run = Run.open(path, application=APPLICATION)
    with run.named():
        config = read_config(run.info.configuration)
        problems = run.info.data.get("problems")
        if not isinstance(problems, dict) or not problems:
            raise ValueError("run.json describes no problem")
        descriptions = {name: Description.from_json(values) for name, values in problems.items()}
        # Every number comes from the file: without memory of its own the model is built in a moment.
        with torch.device("meta"):
            model = build_model(run.info.task_set, config, descriptions)
    run.load_into(model)
    return model.eval(), config, descriptions
