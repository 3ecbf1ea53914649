"""The words of balancing: the losses of one step, the parameters that they reach, and what every balancer does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

Needs = Literal["one", "several", "all"]
"""How many of a model's tasks must meet in each step: one will do, at least two, or every one."""

Reduce = Callable[[Tensor], Tensor]
"""Averages a tensor over the ranks of a multi-process training."""

Group = tuple[str, ...]
"""Tasks that share a batch, by name."""


class NonFiniteLoss(ValueError):
    """A loss that is infinite or not a number; `task` names whose it is."""

    def __init__(self, task: str, value: float):
        super().__init__(task, value)
        self.task, self.value = task, value

    def __str__(self) -> str:
        return f"the loss of task {self.task!r} is {self.value}"


@dataclass(frozen=True)
class Parameters:
    """What a balancer may differentiate by; frozen parameters are left out.

    Attributes:
        shared: of the shared part, in its order.
        heads: for each task of the model those of its head.
        last: of the last shared layer, some of `shared`.
    """

    shared: Sequence[Parameter]
    heads: Mapping[str, Sequence[Parameter]] = field(default_factory=dict)
    last: Sequence[Parameter] = ()


class StepLosses(Mapping[str, Callable[[], Tensor]]):
    """The losses of one step: for each of its tasks a function that computes its mean loss at the current parameters.

    A function gives a scalar with a new graph each time. It may be called several times in a step, also at perturbed
    parameters (`at`): it then sees the same random numbers, and running statistics stay as its first call left them.

    Args:
        closures: for each task its function.
        together: for groups of tasks that share a batch, a function that gives the losses of all from one encoding, in
            one graph. Tasks that stand in no group are alone.
        encoded: for groups, also of one task, a function that gives what their heads read, too.
    """

    def __init__(
        self,
        closures: Mapping[str, Callable[[], Tensor]],
        together: Mapping[Group, Callable[[], Mapping[str, Tensor]]] | None = None,
        encoded: Mapping[Group, Callable[[], tuple[dict[str, Any], dict[str, Tensor]]]] | None = None,
    ):
        self._closures, self._together, self._encoded = dict(closures), dict(together or {}), dict(encoded or {})
        self._home = {task: group for group in self._together for task in group}
        strange = sorted(set(self._home) - set(self._closures))
        if strange or len(self._home) < sum(map(len, self._together)):
            raise ValueError(f"groups must hold tasks of the step, each once; got {list(self._together)}")

    @classmethod
    def of(cls, losses: Mapping[str, Callable[[], Tensor]]) -> StepLosses:
        """The losses themselves, or those of plain functions that share nothing."""
        return losses if isinstance(losses, StepLosses) else cls(losses)

    def __getitem__(self, task: str) -> Callable[[], Tensor]:
        return self._closures[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._closures)

    def __len__(self) -> int:
        return len(self._closures)

    def groups(self) -> list[Group]:
        """Every task of the step once, in the step's order; tasks that share a batch stand together."""
        return list(dict.fromkeys(self._home.get(task, (task,)) for task in self._closures))

    def together(self, group: Group) -> dict[str, Tensor]:
        """The losses of a group from one encoding; they share a graph, so all but the last backward must retain it."""
        if group in self._together:
            return dict(self._together[group]())
        return {task: self._closures[task]() for task in group}

    def encoded(self, group: Group) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What the heads of a group read, by the name of the feature, and the group's losses, in one graph.

        Features are tensors, or trees of them, with the rows of the batch along the first dimension; methods that
        balance the gradients by the representation (MGDA-UB, Rep-MTL) differentiate by them.

        Raises:
            ValueError: the model tells no features, or the batch is worked on in parts.
        """
        if group not in self._encoded:
            raise ValueError(f"the model tells no features of {' + '.join(group)}: it has no encode and answer")
        return self._encoded[group]()

    @contextmanager
    def at(self, perturbation: Mapping[Parameter, Tensor]) -> Iterator[None]:
        """Within, the parameters are theirs plus the perturbation; after, they are what they were, bit for bit.

        A graph runs backward where it was made: one from without not within, and the other way round.
        """
        parameters = list(perturbation)
        with torch.no_grad():
            kept = [parameter.detach().clone() for parameter in parameters]
            for parameter in parameters:
                parameter.add_(perturbation[parameter])
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(parameters, kept, strict=True):
                    parameter.copy_(value)


class Balancer(Protocol):
    """Turns the losses of one step into gradients.

    Every balancer takes the mean over the M tasks of the step, never the sum, so that a learning rate that suits one
    task a step suits M. Parameters that no task of the step reaches keep ``grad`` None.

    Attributes:
        needs: how many tasks must meet in a step.
    """

    needs: Needs

    def backward(self, losses: StepLosses, parameters: Parameters) -> dict[str, float]:
        """Adds to ``.grad`` of all parameters and returns the losses as they came, mean over ranks.

        Gradients must be None or zero before. Raises `NonFiniteLoss` before a non-finite loss can reach the weights.
        """
        ...

    def after_step(self, losses: StepLosses) -> None:
        """Called after the optimiser's step: the losses are those of the same rows, now at the new parameters."""
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


def finite_values(losses: Mapping[str, Tensor], reduce: Reduce | None) -> dict[str, float]:
    """The losses as numbers, averaged over ranks, all finite or `NonFiniteLoss`; one transfer from the device."""
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    if reduce is not None:
        values = reduce(values)
    found = dict(zip(losses, values.tolist(), strict=True))
    for task, value in found.items():
        if not math.isfinite(value):
            raise NonFiniteLoss(task, value)
    return found
