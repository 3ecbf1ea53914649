"""A small multi-head model, its tasks and data; run as a program it trains, for tests that need another process."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from polyhead.runs import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, Validation, fit

TASKS = TaskSet(
    [
        TaskSpec("length", "regression", "latent", 1, lr_scale=10),
        TaskSpec("side", "classification", "latent", 3),
        TaskSpec("angle", "regression", "latent", 2, weight=0.5),
    ]
)
SIZES = {"length": 23, "side": 17, "angle": 9}


class ToyModel(nn.Module):
    def __init__(self, tasks=TASKS, dropout=0.0, batch_norm=False, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.tasks = tasks
            norm = nn.BatchNorm1d(16) if batch_norm else nn.LayerNorm(16)
            self.trunk = nn.Sequential(nn.Linear(6, 16), norm, nn.Tanh(), nn.Dropout(dropout))
            self.heads = nn.ModuleDict({task.name: nn.Linear(16, task.outputs) for task in tasks.values()})

    def forward(self, inputs, task):
        return self.heads[task](self.trunk(inputs["x"]))

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def head_parameters(self, task):
        return list(self.heads[task].parameters())


class ToyData:
    """y is a fixed function of x; the seed adds a little noise to x."""

    def __init__(self, task, rows, noise=0.05):
        self.task, self.noise = task, noise
        self.x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(len(task)))

    def __len__(self):
        return len(self.x)

    def sample(self, row, seed):
        x = self.x[row]
        noise = 0.0 if seed is None else self.noise * torch.randn(6, generator=torch.Generator().manual_seed(seed))
        return {"x": x + noise}, self.target(x)

    def target(self, x):
        if self.task == "length":
            return x.norm()[None]
        return (x[:3]).argmax() if self.task == "side" else x[:2].tanh()

    def whole(self):
        pairs = [self.sample(row, None) for row in range(len(self))]
        return {"x": torch.stack([p[0]["x"] for p in pairs])}, torch.stack([p[1] for p in pairs])


LOSSES = {
    "length": nn.functional.mse_loss,
    "side": nn.functional.cross_entropy,
    "angle": nn.functional.mse_loss,
}


def make_data(tasks=TASKS, noise=0.05):
    return {task: ToyData(task, SIZES[task], noise) for task in tasks}


def validator(data):
    def validate(model):
        assert not model.training and not torch.is_grad_enabled()
        losses = {task: LOSSES[task](model(x, task), y).item() for task in data for x, y in [data[task].whole()]}
        return Validation(
            metrics={task: {"loss": loss, "undefined": None} for task, loss in losses.items()},
            scores={task: 1 / (1 + loss) for task, loss in losses.items()},
        )

    return validate


def make_info(config):
    return RunInfo(
        application="toy", system="toy", preset="toy", tasks=TASKS.to_json(), configuration=config.model_dump()
    )


def train(path, config, *, resume=False, on_step=None, model=None, noise=0.05, **options):
    model = ToyModel(dropout=0.2, batch_norm=True) if model is None else model
    data = make_data(model.tasks, noise)
    run = Run.open(path) if resume else Run.create(path, make_info(config))
    options = {"validate": validator(data), "progress": "quiet"} | options
    losses = {task: LOSSES[task] for task in model.tasks}
    return fit(model, losses, data, config, run, resume=resume, on_step=on_step, **options), model


def main():
    """PATH CONFIG(json) MODE STEP [resume]: at STEP the process gets the signal MODE (kill, int, term, none)."""
    path, config, mode, at = Path(sys.argv[1]), TrainConfig(**json.loads(sys.argv[2])), sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(1)

    def on_step(done):
        if done == at and mode != "none":
            os.kill(os.getpid(), {"kill": signal.SIGKILL, "int": signal.SIGINT, "term": signal.SIGTERM}[mode])

    try:
        train(path, config, resume="resume" in sys.argv, on_step=on_step)
    except KeyboardInterrupt as interrupt:
        print(interrupt)
        sys.exit(130)


if __name__ == "__main__":
    main()
