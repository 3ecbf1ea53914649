"""The Balancer protocol, the balancers by name, and what all of them share."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from polyhead.registry import UnknownName
from polyhead.tasks import TaskSet

Closures = Mapping[str, Callable[[], Tensor]]
"""For each task of the step, a function that computes its mean loss (a scalar) at the current parameters."""

Reduce = Callable[[Tensor], Tensor]
"""Averages a tensor over the ranks of a multi-process training."""


class NonFiniteLoss(ValueError):
    """A loss that is infinite or not a number; `task` names whose it is."""

    def __init__(self, task: str, value: float):
        super().__init__(task, value)
        self.task, self.value = task, value

    def __str__(self) -> str:
        return f"the loss of task {self.task!r} is {self.value}"


class Balancer(Protocol):
    """Turns the losses of one step into gradients.

    Every balancer takes the mean over the M tasks of the step, never the sum, so that a learning rate that suits one
    task a step suits M. Parameters that no task of the step reaches keep ``grad`` None.
    """

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        """Adds to ``.grad`` of all parameters and returns the unweighted losses, detached, mean over ranks.

        Gradients must be None or zero before. Raises `NonFiniteLoss` before a non-finite loss can reach the weights.
        """
        ...

    def parameters(self) -> list[Parameter]:
        """Learned weights of the losses, to be optimised with the model but without weight decay."""
        ...

    def epoch_end(self) -> None:
        """Called when an epoch has ended."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All state, as nested dicts, lists, tuples, tensors, numbers, strings and None."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def finish(losses: Mapping[str, Tensor], reduce: Reduce | None) -> dict[str, Tensor]:
    """The detached losses in float32, averaged over ranks, all finite or `NonFiniteLoss`."""
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    if reduce is not None:
        values = reduce(values)
    for task, value in zip(losses, values.tolist(), strict=True):
        if not math.isfinite(value):
            raise NonFiniteLoss(task, value)
    return dict(zip(losses, values, strict=True))


def make_balancer(
    name: str, options: Mapping[str, Any] | None, tasks: TaskSet, *, reduce: Reduce | None = None
) -> Balancer:
    """A balancer by name.

    Args:
        name: ``equal``, ``fixed``, ``uncertainty``, ``dwa``, or the name of a TorchJD aggregator such as ``UPGrad``.
        options: keyword arguments of the balancer; lists of numbers become tensors for TorchJD.
        tasks: all tasks of the model.
        reduce: averages a tensor over ranks; None on one rank.

    Raises:
        UnknownName: an unknown name; lists the near ones.
        ValueError: options that do not fit, a TorchJD extra that is not installed, a state that cannot be saved.
    """
    from polyhead.balance import jacobian, scalar

    makers: dict[str, Callable[..., Balancer]] = {
        "equal": scalar.Equal,
        "fixed": scalar.Fixed,
        "uncertainty": scalar.Uncertainty,
        "dwa": scalar.DynamicWeightAverage,
    }
    known = [*makers, *jacobian.aggregator_names()]
    if name not in known:
        lower = {candidate.lower(): candidate for candidate in known}
        near = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
        raise UnknownName(f"unknown balancer {name!r}; known: {', '.join(near or known)}")
    try:
        if name in makers:
            return makers[name](tasks, reduce=reduce, **(options or {}))
        return jacobian.JacobianBalancer(name, tasks, reduce=reduce, options=options or {})
    except TypeError as error:
        raise ValueError(f"balancer {name!r}: options {dict(options or {})} do not fit: {error}") from error
