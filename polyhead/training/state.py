"""The parts of a training that change with it, and how they are saved and restored."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from polyhead.balance import Balancer
from polyhead.training.average import Average
from polyhead.training.sampling import StepsAhead
from polyhead.training.states import load_trained_state, trained_state


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
    """Everything that a training carries from step to step; of the model, what is trained."""

    model: nn.Module
    average: Average | None
    optimizer: Optimizer
    balancer: Balancer
    steps: StepsAhead
    best: Best = field(default_factory=Best)

    @contextmanager
    def answering(self) -> Iterator[nn.Module]:
        """The model with the weights that are validated and saved: the averaged ones where there are any."""
        with nullcontext() if self.average is None else self.average.applied():
            yield self.model

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": trained_state(self.model),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
            "sampler": self.steps.state_dict(),
            "best": asdict(self.best),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores all but the sampler, whose position decides which steps are drawn ahead."""
        load_trained_state(self.model, state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.balancer.load_state_dict(state["balancer"])
        self.best = Best(**state["best"])


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
