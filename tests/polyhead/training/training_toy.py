"""A small multi-head model, its tasks and data, and trainings of it in other processes."""

import multiprocessing
import os
import sys
from pathlib import Path

import torch
from torch import nn

from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import Validation, fit

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
        device = next(model.parameters()).device
        losses = {}
        for task in data:
            inputs, targets = data[task].whole()
            losses[task] = LOSSES[task](model({"x": inputs["x"].to(device)}, task), targets.to(device)).item()
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
    options = {"validate": validator(data), "progress": "quiet"} | options
    losses = {task: LOSSES[task] for task in model.tasks}
    info = Run.open(path).info if resume else make_info(config)
    with Run.begin(path, info, resume=resume) as run:
        return fit(model, losses, data, config, run, resume=resume, on_step=on_step, **options), model


def start(function, *arguments):
    """Runs `function` in a process forked from a server that has imported everything, with one thread."""
    here = Path(__file__).resolve()
    context = multiprocessing.get_context("forkserver")
    former = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here.parent), str(here.parents[3])])
    context.set_forkserver_preload(["training_toy", "polyhead.train"])
    process = context.Process(target=function, args=arguments)
    process.start()
    if former is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = former
    return process


def finish(process):
    """The exit status of a process that `start` gave; negative for the signal that ended it."""
    process.join(120)
    assert process.exitcode is not None, "the process hangs"
    status = process.exitcode
    process.close()
    return status


def train_and_signal(path, config, signal_number, step, message):
    """Trains, and after `step` sends the process and its loaders a signal, as a terminal does; an interrupt is written
    to `message`, with status 130."""
    torch.set_num_threads(1)
    os.setsid()

    def on_step(done):
        if done == step:
            os.killpg(os.getpgrp(), signal_number)

    try:
        train(path, config, on_step=on_step)
    except KeyboardInterrupt as interrupt:
        Path(message).write_text(str(interrupt))
        sys.exit(130)
