"""A run folder as a model: loading trained runs, and making runs of foreign checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.presets import PRESETS, UltrasoundConfig, read_config
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet

APPLICATION = "ultrasound"


def describe(config: UltrasoundConfig, tasks: TaskSet, **more: Any) -> RunInfo:
    """What run.json says of a model of `config` for `tasks`; `more` are further fields of `RunInfo`."""
    return RunInfo(
        application=APPLICATION,
        system=config.system,
        preset=config.preset,
        tasks=tasks.to_json(),
        configuration=config.model_dump(mode="json"),
        **more,
    )


def load_run(path: Path) -> tuple[MultiHeadModel, UltrasoundConfig]:
    """The model and the configuration of a run folder, on the CPU, in evaluation mode.

    Raises:
        ValueError: not a run of this application, or its weights are missing or do not fit.
    """
    run = Run.open(path, application=APPLICATION)
    with run.named():
        config = read_config(run.info.configuration)
    # Every parameter comes from the file: without memory of its own the model is built in a moment.
    with torch.device("meta"):
        model = build_model(run.info.task_set, config.network)
    run.load_into(model)
    return model.eval(), config


def import_baseline(checkpoint: Path, path: Path, *, overwrite: bool = False) -> Run:
    """Makes a run folder of a checkpoint of the FM_UIA baseline, its tasks read from its heads.

    Raises:
        ValueError: the file is not such a checkpoint.
    """
    from domains.medical.ultrasound.networks.checkpoints import baseline_tasks, load_baseline, read_state_dict

    config = PRESETS["mh-mtl"]
    state = read_state_dict(checkpoint)
    try:
        tasks = task_specs(baseline_tasks(state), config)
        model = build_model(tasks, config.network)
        load_baseline(model, state)
    except ValueError as wrong:
        raise ValueError(f"{checkpoint} is no checkpoint of the FM_UIA baseline: {wrong}") from wrong
    info = describe(config, tasks, notes=f"imported from the baseline checkpoint {checkpoint.name}")
    with Run.begin(path, info, overwrite=overwrite) as run:
        run.save_weights(model.state_dict())
        run.finish({})
    return run
