"""The parts of a training that change with it, how they are built, and how they are saved and restored."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from polyhead.balance import Balancer
from polyhead.sampling import TaskSampler
from polyhead.schedule import TrainConfig, learning_rate_at

if TYPE_CHECKING:
    from polyhead.model import MultiHeadModel


@dataclass
class Best:
    """The best validation so far, and how many have passed since."""

    score: float | None = None
    epoch: int = 0
    step: int = 0
    since: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Everything that a training carries from step to step."""

    model: nn.Module
    average: AveragedModel | None
    optimizer: AdamW
    balancer: Balancer
    sampler: TaskSampler
    best: Best = field(default_factory=Best)

    @property
    def answering(self) -> nn.Module:
        """The model that is validated and saved: the averaged one where there is one."""
        return self.model if self.average is None else self.average.module

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": dict(self.model.state_dict()),
            "average": None if self.average is None else dict(self.average.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "best": asdict(self.best),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.balancer.load_state_dict(state["balancer"])
        self.sampler.load_state_dict(state["sampler"])
        self.best = Best(**state["best"])


def make_optimizer(model: MultiHeadModel, balancer: Balancer, config: TrainConfig) -> AdamW:
    """AdamW with a group for the shared part, one a head (rate times `TaskSpec.lr_scale`), one for the balancer.

    Frozen parameters are left out. A parameter in two groups belongs to the first; one that trains but belongs to
    neither the shared part nor a head is a `ValueError`.
    """
    groups: list[dict[str, Any]] = []
    taken: set[nn.Parameter] = set()

    def add(parameters: list[nn.Parameter], scale: float, decay: float) -> None:
        own = [parameter for parameter in parameters if parameter.requires_grad and parameter not in taken]
        taken.update(own)
        if own:
            rate = config.learning_rate * scale
            groups.append({"params": own, "lr": rate, "top_rate": rate, "weight_decay": decay})

    add(model.shared_parameters(), 1.0, config.weight_decay)
    for task in model.tasks.values():
        add(model.head_parameters(task.name), task.lr_scale, config.weight_decay)
    lost = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter not in taken]
    if lost:
        raise ValueError(f"parameters of neither the shared part nor a head: {', '.join(lost[:5])}")
    if not groups:
        raise ValueError("nothing to train: every parameter of the model is frozen")
    add(balancer.parameters(), 1.0, 0.0)
    return AdamW(groups, betas=config.betas)


def set_learning_rates(optimizer: AdamW, config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Sets the rates of `step` and returns that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(config, group["top_rate"], step, steps_per_epoch)
    return optimizer.param_groups[0]["lr"]


def make_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of weights and buffers; it starts as a copy after the first step."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True).eval()


def update_average(average: AveragedModel, model: nn.Module) -> None:
    average.update_parameters(model)
    # Integer buffers are counts, which an average would cut off to whole numbers.
    for averaged, current in zip(average.module.buffers(), model.buffers(), strict=True):
        if not averaged.is_floating_point():
            averaged.copy_(current)


def float_buffers(model: nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in model.buffers() if buffer.is_floating_point())


def random_states(device: torch.device) -> dict[str, Any]:
    """States of the global generators of this process."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (the global generator is what users' code may draw from)
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"], device)
