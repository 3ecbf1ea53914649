"""A training whose model costs next to nothing: what remains of a step is the loop. And the same without the loop."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, fit
from polyhead.training.optimizers import make_optimizer

WIDTH, ROWS, BATCH = 32, 256, 16


class _Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor, needed: Mapping[str, Tensor | None]) -> dict[str, Any]:
        feature = self.layer(inputs).relu()
        return dict.fromkeys(needed, feature)


class _Rows:
    """Random inputs of shape (ROWS, WIDTH) and numbers, given batch by batch."""

    def __init__(self):
        self.inputs, self.targets = torch.randn(ROWS, WIDTH), torch.randn(ROWS, 1)

    def __len__(self) -> int:
        return ROWS

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        index = torch.tensor(rows)
        return self.inputs[index], self.targets[index]


def step_microseconds(tasks: int, together: int, steps: int, scratch: Path, *, average: bool) -> tuple[float, float]:
    """The median step of `fit` and of a bare loop over the same model, optimiser and rows, in microseconds.

    Args:
        tasks: of the model.
        together: of them in each step.
        steps: that are timed.
        scratch: where the run is written.
        average: whether weights are averaged; the bare loop never does.
    """
    specs = TaskSet([TaskSpec(f"task {number}", "regression", "feature", 1) for number in range(tasks)])
    config = TrainConfig(
        epochs=1,
        steps_per_epoch=steps,
        batch_size=BATCH,
        tasks_per_step=together,
        sampler="round_robin",
        ema_decay=0.99 if average else None,
        snapshot_every=10**9,
        device="cpu",
    )
    data = {task: _Rows() for task in specs}
    ends: list[float] = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        info = RunInfo(application="none", system="none", preset="none", tasks=specs.to_json())
        with Run.begin(Path(folder, "run"), info) as run:
            losses = dict.fromkeys(specs, functional.mse_loss)
            fit(_model(specs), losses, data, config, run, progress="quiet", on_step=lambda _: ends.append(_now()))
    return _middle(ends), _middle(_bare(_model(specs), data, config))


def _model(specs: TaskSet) -> MultiHeadModel:
    return MultiHeadModel(_Backbone(), {task: nn.Linear(WIDTH, 1) for task in specs}, specs)


def _bare(model: MultiHeadModel, data: dict[str, _Rows], config: TrainConfig) -> list[float]:
    optimizer = make_optimizer(model, config)
    turns, ends = itertools.cycle(data), []
    for step in range(config.steps_per_epoch or 0):
        optimizer.zero_grad(set_to_none=True)
        rows = [(step * BATCH + offset) % ROWS for offset in range(BATCH)]
        for task in itertools.islice(turns, config.tasks_per_step):
            inputs, targets = data[task].batch(rows, rows)
            (functional.mse_loss(model(inputs, task), targets) / config.tasks_per_step).backward()
        optimizer.step()
        ends.append(_now())
    return ends


def _now() -> float:
    return time.perf_counter() * 1e6


def _middle(ends: list[float]) -> float:
    return median(later - earlier for earlier, later in itertools.pairwise(ends))
