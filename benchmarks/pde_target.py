"""Seconds of training to a target error: the published configuration against the mended one, of each problem."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.pde_common import Work, scaled
from benchmarks.results import table
from domains.pde.data.samples import OperatorData
from domains.pde.learning.training import train
from polyhead.runs.run import Run
from polyhead.training.session import Session
from polyhead.training.settings import TrainConfig

TARGETS = {"fisher": 0.02, "darcy": 0.06, "plate": 0.01}
PLUS_SCALE = {"fisher": 0.4, "darcy": 0.15, "plate": 0.3}
"""Of the steps of the mended presets: a schedule that ends within minutes."""
LIMIT = 6
"""How many times as long the published configuration is trained as the mended one took."""


def to_target(work: Work, minutes: float, problems: Sequence[str]) -> str:
    """Seconds of training until the validation first reaches the target, published configuration against plus."""
    rows = []
    for problem in problems:
        target = TARGETS[problem]
        data = work.data(problem, "paper")
        plus = _reached(*_curve(work, data, f"mt-deeponet-{problem}-plus", PLUS_SCALE[problem], minutes), target)
        # What it takes to say "more than so many times".
        limit = minutes if plus.seconds is None else LIMIT * plus.seconds / 60
        published = _reached(*_curve(work, data, f"mt-deeponet-{problem}", 1.0, limit), target)
        if plus.seconds is None:
            ratio = ""
        elif published.seconds is None:
            ratio = f"**more than {published.trained / plus.seconds:.1f}**"
        else:
            ratio = f"**{published.seconds / plus.seconds:.1f}**"
        rows.append([problem, f"{target:.1%}", str(published), str(plus), ratio])
        print(rows[-1], flush=True)
    return table(["problem", "validation error", "published configuration", "plus", "ratio"], rows)


@dataclass(frozen=True)
class _Reached:
    """How a training came to a target: after how many seconds, or None; how long it trained, and its least error."""

    seconds: float | None
    trained: float
    least: float

    def __str__(self) -> str:
        if self.seconds is None:
            return f"not in {self.trained:.0f} s ({self.least:.1%})"
        return f"{self.seconds:.0f} s"


def _reached(times: Sequence[float], errors: Sequence[float], target: float) -> _Reached:
    hit = [seconds for seconds, error in zip(times, errors, strict=True) if error <= target]
    return _Reached(hit[0] if hit else None, times[-1] if times else 0.0, min(errors, default=float("nan")))


def _curve(
    work: Work, data: OperatorData, preset: str, scale: float, minutes: float
) -> tuple[list[float], list[float]]:
    """Seconds of training, and the mean relative error over tasks, of each validation; kept once it is measured.

    Args:
        scale: of the preset's steps; its schedule ends with them.
        minutes: after which training stops, wherever its schedule is.
    """
    name = f"{preset}-{scale:g}-{minutes:.3g}"
    kept = work.folder / "speed" / f"{name}.json"
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return found["seconds"], found["errors"]
    every = 40 if data.problem == "darcy" else 100
    if "plus" not in preset and data.problem != "fisher":
        every = 2
    training = scaled(preset, 1.0).training
    total = round(scale * training.epochs * (training.steps_per_epoch or _steps_of_an_epoch(data, training)))
    changes = {
        "training.steps_per_epoch": every,
        "training.epochs": -(-total // every),
        "training.validate_every": 1,
        "training.max_minutes": minutes,
        "polish": False,
    }
    if training.ema_decay is not None:
        # Averaged weights, which are those validated, must not lag behind a schedule this short.
        changes["training.ema_decay"] = min(training.ema_decay, 1 - 20 / total)
    config = scaled(preset, 1.0, **changes)
    config = config.model_copy(update={"training": config.training.model_copy(update={"validate_every": 1})})
    out = work.folder / "speed" / name
    # The clock of a training counts its validations, which must stay few beside it: a plate has 137,781 nodes.
    count = 2 if data.problem == "plate" else 20
    train({data.problem: _lightly_validated(data, count)}, out, config, session=Session(overwrite=True))
    seconds, errors, passed = [], [], 0.0
    for line in Run.open(out).metrics():
        if line["split"] == "train":
            passed += line["seconds"]
        else:
            seconds.append(passed)
            errors.append(float(np.mean([values["relative_l2_mean"] for values in line["metrics"].values()])))
    kept.write_text(json.dumps({"seconds": seconds, "errors": errors}), encoding="utf-8")
    return seconds, errors


def _steps_of_an_epoch(data: OperatorData, training: TrainConfig) -> int:
    rows = sum(len(data.rows(task=task, split="train")) for task in data.tasks)
    return -(-rows // (training.batch_of(next(iter(data.tasks))) * training.tasks_per_step))


def _lightly_validated(data: OperatorData, count: int) -> OperatorData:
    """The data with few validation samples of each task, test samples where there are none: they are asked often."""
    split = data.split.copy()
    for number in range(len(data.tasks)):
        mine = data.task == number
        validating = np.flatnonzero(mine & (split == 1))
        if len(validating):
            split[validating[count:]] = 2
        else:
            split[np.flatnonzero(mine & (split == 2))[:count]] = 1
    return replace(data, split=split)
