"""Optimisers by name, over groups of parameters that have a rate and a decay of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from polyhead.registry import Registry
from polyhead.training.settings import TrainConfig

if TYPE_CHECKING:
    from polyhead.model import MultiHeadModel


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are updated alike.

    Attributes:
        name: for messages.
        parameters: frozen ones are left out; one that an earlier group has belongs to that.
        rate: factor of the configured learning rate.
        decay: weight decay; None for the configured one.
    """

    name: str
    parameters: Sequence[Parameter]
    rate: float = 1.0
    decay: float | None = None


Grouping = Callable[["MultiHeadModel"], Iterable[ParameterGroup]]
"""How the parameters of a model are grouped."""

OPTIMIZERS: Registry[Callable[[list[dict[str, Any]], TrainConfig], Optimizer]] = Registry("optimizer")


@OPTIMIZERS.add("adamw")
def _adamw(groups: list[dict[str, Any]], config: TrainConfig) -> Optimizer:
    return AdamW(groups, betas=config.betas)


@OPTIMIZERS.add("sgd")
def _sgd(groups: list[dict[str, Any]], config: TrainConfig) -> Optimizer:
    return SGD(groups, momentum=config.momentum, nesterov=config.nesterov and config.momentum > 0)


def by_owner(model: MultiHeadModel) -> list[ParameterGroup]:
    """The shared part, and each head at its task's `lr_scale`."""
    heads = [ParameterGroup(task, model.head_parameters(task), spec.lr_scale) for task, spec in model.tasks.items()]
    return [ParameterGroup("shared part", model.shared_parameters()), *heads]


def make_optimizer(
    model: MultiHeadModel, config: TrainConfig, *, groups: Grouping = by_owner, learned: Sequence[Parameter] = ()
) -> Optimizer:
    """The configured optimiser over the trained parameters of a model.

    Args:
        model: a parameter of it that trains must stand in a group.
        config: optimiser, rate and decay. Without `decay_vectors` parameters of at most one dimension are not decayed.
        groups: how parameters are grouped.
        learned: parameters of the balancer: they have the configured rate and are never decayed.

    Raises:
        ValueError: a parameter that trains stands in no group, or nothing trains.
    """
    made: list[dict[str, Any]] = []
    taken: set[Parameter] = set()

    def add(parameters: list[Parameter], rate: float, decay: float) -> None:
        if parameters:
            top = config.learning_rate * rate
            made.append({"params": parameters, "lr": top, "top_rate": top, "weight_decay": decay})

    for group in groups(model):
        own = [each for each in dict.fromkeys(group.parameters) if each.requires_grad and each not in taken]
        taken.update(own)
        decay = config.weight_decay if group.decay is None else group.decay
        if config.decay_vectors:
            add(own, group.rate, decay)
        else:
            add([each for each in own if each.ndim > 1], group.rate, decay)
            add([each for each in own if each.ndim <= 1], group.rate, 0.0)
    lost = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter not in taken]
    if lost:
        raise ValueError(f"parameters of neither the shared part nor a head: {', '.join(lost[:5])}")
    if not made:
        raise ValueError("nothing to train: every parameter of the model is frozen")
    add(list(learned), 1.0, 0.0)
    return OPTIMIZERS[config.optimizer](made, config)


def set_learning_rates(optimizer: Optimizer, config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Sets the rates of `step` and returns that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate_at(group["top_rate"], step, steps_per_epoch)
    return optimizer.param_groups[0]["lr"]
