"""Trainings of a stand-in for a model: ``training_stand_in.py CHECKOUT FOLDER STEPS``.

Run as a script it imports polyhead from CHECKOUT and prints, as JSON, the CPU microseconds of a step of `fit` and of a
bare loop over the same model, losses and optimiser groups, medians over STEPS steps each.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

SETTINGS: dict[str, dict[str, Any]] = {
    "1 task": {"tasks": 1, "together": 1},
    "27 tasks, 8 a step": {"tasks": 27, "together": 8},
    "27 tasks, 8 a step, average": {"tasks": 27, "together": 8, "ema_decay": 0.99},
    "600 layers, average": {"tasks": 1, "together": 1, "layers": 600, "ema_decay": 0.99},
    "90 M frozen weights, average": {"tasks": 1, "together": 1, "frozen": 90, "ema_decay": 0.99},
}
ROWS, BATCH, INPUTS = 64, 4, 6


def _first(*names: str) -> Any:
    """The first of several modules that a checkout has."""
    for name in names:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(names[-1])


class StandIn(nn.Module):
    """A trunk of small layers, of which one is run, beside millions of frozen weights, and a head a task."""

    def __init__(self, tasks: Any, layers: int = 1, frozen: int = 0):
        super().__init__()
        self.tasks = tasks
        self.foundation = nn.Parameter(torch.zeros(frozen, 1_000_000), requires_grad=False)
        self.trunk = nn.ModuleList(nn.Sequential(nn.Linear(INPUTS, 8), nn.LayerNorm(8)) for _ in range(layers))
        self.heads = nn.ModuleDict({task: nn.Linear(8, 1) for task in tasks})

    def forward(self, inputs: Tensor, task: str) -> Tensor:
        return self.heads[task](torch.tanh(self.trunk[0](inputs)))

    def shared_parameters(self) -> list[nn.Parameter]:
        return [self.foundation, *self.trunk.parameters()]

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.heads[task].parameters())


class Rows:
    """Rows that cost nothing to load."""

    def __init__(self) -> None:
        self.x = torch.randn(ROWS, INPUTS)

    def __len__(self) -> int:
        return ROWS

    def batch(self, rows: Any, seeds: Any) -> tuple[Tensor, Tensor]:
        x = self.x[list(rows)]
        return x, x[:, :1]


def _steps_of_fit(tasks: Any, model: StandIn, folder: Path, steps: int, together: int, **settings: Any) -> float:
    runs, run_info = _first("polyhead.runs.run", "polyhead.runs"), _first("polyhead.runs.info", "polyhead.runs")
    train = import_module("polyhead.train")
    config = train.TrainConfig(
        epochs=1, steps_per_epoch=steps, batch_size=BATCH, tasks_per_step=together, snapshot_every=10**9, device="cpu",
        **settings,
    )  # fmt: skip
    info = run_info.RunInfo(application="stand-in", system="s", preset="p", tasks=tasks.to_json())
    begin = getattr(runs.Run, "begin", None) or runs.Run.create
    losses, data = dict.fromkeys(tasks, nn.functional.mse_loss), {task: Rows() for task in tasks}
    moments: list[float] = []
    train.fit(
        model, losses, data, config, begin(folder, info), progress="quiet",
        on_step=lambda _: moments.append(time.thread_time()),
    )  # fmt: skip
    return _middle(moments)


def _steps_of_a_bare_loop(tasks: Any, model: StandIn, steps: int, together: int) -> float:
    groups = [model.trunk.parameters(), *(model.head_parameters(task) for task in tasks)]
    optimizer = torch.optim.AdamW([{"params": group} for group in groups], lr=1e-4)
    data, names = {task: Rows() for task in tasks}, itertools.cycle(tasks)
    moments: list[float] = []
    for _ in range(steps):
        optimizer.zero_grad()
        for task in itertools.islice(names, together):
            x, y = data[task].batch(range(BATCH), range(BATCH))
            (nn.functional.mse_loss(model(x, task), y) / together).backward()
        optimizer.step()
        moments.append(time.thread_time())
    return _middle(moments)


def _middle(moments: list[float]) -> float:
    """The median interval, in microseconds, the first tenth left out."""
    kept = moments[len(moments) // 10 :]
    return 1e6 * median(b - a for a, b in itertools.pairwise(kept))


def main() -> None:
    checkout, folder, steps = sys.argv[1:]
    sys.path.insert(0, checkout)
    tasks_module = import_module("polyhead.tasks")
    torch.set_num_threads(1)
    found = {}
    for number, (name, setting) in enumerate(SETTINGS.items()):
        rest = dict(setting)
        count, together = rest.pop("tasks"), rest.pop("together")
        sizes = rest.pop("layers", 1), rest.pop("frozen", 0)
        tasks = tasks_module.TaskSet(tasks_module.TaskSpec(f"t{i}", "regression", "latent", 1) for i in range(count))
        bare = _steps_of_a_bare_loop(tasks, StandIn(tasks, *sizes), int(steps), together)
        whole = _steps_of_fit(tasks, StandIn(tasks, *sizes), Path(folder, str(number)), int(steps), together, **rest)
        found[name] = {"fit": whole, "bare": bare}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
