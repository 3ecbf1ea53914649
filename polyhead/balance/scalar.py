"""Balancers that weight losses: the gradient is that of (1/M) times the sum of the objectives of M tasks.

The losses of a step come multiplied by `TaskSpec.weight`, here w_k.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from polyhead.balance.protocol import Needs, Parameters, Reduce, StepLosses, finite_values
from polyhead.tasks import TaskSet


def uncertainty_objective(loss: Tensor, log_variance: Tensor, weight: float) -> Tensor:
    """w (exp(-s)/2 L + s/2) of a loss that comes as w L, with s = log sigma^2."""
    return 0.5 * torch.exp(-log_variance) * loss + 0.5 * weight * log_variance


def dynamic_weights(means: Sequence[Sequence[float]], temperature: float) -> list[float]:
    """lambda_k = K softmax(r / T)_k with r_k the second of a task's two means over its first, 1 where it has fewer."""
    rates = [pair[1] / pair[0] if len(pair) == 2 and pair[0] > 0 else 1.0 for pair in means]
    top = max(rates)
    powers = [math.exp((rate - top) / temperature) for rate in rates]
    factor = len(rates) / sum(powers)
    return [factor * power for power in powers]


class EpochMeans:
    """The means of each task's losses over the steps that met it, of the last two epochs that did."""

    def __init__(self, tasks: TaskSet):
        self._sums = {task: [0.0, 0] for task in tasks}
        self.means: dict[str, list[float]] = {task: [] for task in tasks}

    def note(self, values: Mapping[str, float]) -> None:
        for task, value in values.items():
            self._sums[task][0] += value
            self._sums[task][1] += 1

    def epoch_end(self) -> None:
        for task, (total, count) in self._sums.items():
            if count:
                self.means[task] = [*self.means[task], total / count][-2:]
            self._sums[task] = [0.0, 0]

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": {task: list(value) for task, value in self._sums.items()},
            "means": {task: list(value) for task, value in self.means.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums = {task: list(state["sums"][task]) for task in self._sums}
        self.means = {task: list(state["means"][task]) for task in self.means}


class ScalarBalancer(ABC):
    """One backward pass for each group of tasks that share a batch, one graph alive at a time.

    Args:
        learned: weights of the losses that are optimised with the model.
        memory: what it knows of past losses.
        reduce: averages a tensor over ranks.
    """

    needs: Needs = "one"

    def __init__(
        self, *, learned: Mapping[str, Parameter] | None = None, memory: EpochMeans | None = None, reduce: Reduce | None
    ):
        self._learned, self._memory, self._reduce = dict(learned or {}), memory, reduce

    @abstractmethod
    def objective(self, task: str, loss: Tensor) -> Tensor | None:
        """The task's part of the sum; None where its loss is only watched."""

    def backward(self, losses: StepLosses, parameters: Parameters) -> dict[str, float]:
        values: dict[str, Tensor] = {}
        for group in losses.groups():
            self._descend(losses, group, len(losses), values)
        found = finite_values({task: values[task] for task in losses}, self._reduce)
        if self._memory is not None:
            self._memory.note(found)
        return found

    def _descend(self, losses: StepLosses, group: Sequence[str], count: int, values: dict[str, Tensor]) -> None:
        found = losses.together(tuple(group))
        every = [self.objective(task, found[task]) for task in group]
        objectives = [objective for objective in every if objective is not None]
        if objectives:
            # The gradient of their sum over the count, without the operations that would compute that sum; of what
            # reaches no parameter, as a task without a label in this batch, there is none.
            objectives = [objective for objective in objectives if objective.requires_grad] or objectives
            torch.autograd.backward(objectives, [torch.full_like(objective, 1 / count) for objective in objectives])
        values.update({task: loss.detach() for task, loss in found.items()})

    def parameters(self) -> list[Parameter]:
        return list(self._learned.values())

    def after_step(self, losses: StepLosses) -> None:  # noqa: B027 (these look at no loss after the step)
        pass

    def epoch_end(self) -> None:
        if self._memory is not None:
            self._memory.epoch_end()

    def state_dict(self) -> dict[str, Any]:
        return {
            "learned": {name: parameter.detach().clone() for name, parameter in self._learned.items()},
            "memory": None if self._memory is None else self._memory.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, parameter in self._learned.items():
                parameter.copy_(state["learned"][name])
        if self._memory is not None:
            self._memory.load_state_dict(state["memory"])


class Fixed(ScalarBalancer):
    """Fixed weights: (1/M) * sum of w_k L_k with `TaskSpec.weight`, or with those given in its place; not normalised.

    A given weight of 0 takes the task out: its loss is watched, its head gets no gradient.

    Args:
        weights: a weight for each task that shall differ from its `TaskSpec.weight`.
    """

    def __init__(self, tasks: TaskSet, *, weights: Mapping[str, float] | None = None, reduce: Reduce | None = None):
        super().__init__(reduce=reduce)
        given = {tasks[name].name: float(weight) for name, weight in (weights or {}).items()}
        for task, weight in given.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of task {task!r} must be finite and at least 0, got {weight}")
        self._factors = {task: given.get(task, spec.weight) / spec.weight for task, spec in tasks.items()}

    def objective(self, task: str, loss: Tensor) -> Tensor | None:
        factor = self._factors[task]
        if factor == 1.0:
            return loss
        return loss * factor if factor else None


class Uncertainty(ScalarBalancer):
    """Uncertainty weighting, Kendall et al. 2018, eq. 7 with s = log sigma^2: (1/M) * sum of w (exp(-s)/2 * L + s/2).

    The optimum for a constant loss is s = log L, whatever the weight w. The paper's factor of a classification loss is
    exp(-s) without 1/2; one form is used for all, which shifts that optimum of s by log 2 and leaves the rest as it is.
    The s of a task that the step does not meet keeps ``grad`` None.

    Args:
        initial: s at the start.
    """

    def __init__(self, tasks: TaskSet, *, initial: float = 0.0, reduce: Reduce | None = None):
        super().__init__(learned={task: Parameter(torch.tensor(float(initial))) for task in tasks}, reduce=reduce)
        self._weights = {task: spec.weight for task, spec in tasks.items()}

    def objective(self, task: str, loss: Tensor) -> Tensor:
        return uncertainty_objective(loss, self._learned[task].to(loss.device), self._weights[task])


class DynamicWeightAverage(ScalarBalancer):
    """Dynamic weight averaging, Liu et al. 2019 (MTAN), eq. 7.

    r_k = L_k(t-1) / L_k(t-2) on the means of the last two epochs, lambda_k = K * softmax(r / T)_k over all K tasks; the
    first two epochs are uniform. The means are those of the steps that met the task. A task that fewer than two epochs
    have met counts as r_k = 1, neither slow nor quick.

    Args:
        temperature: T; the paper uses 2.
    """

    def __init__(self, tasks: TaskSet, *, temperature: float = 2.0, reduce: Reduce | None = None):
        if not temperature > 0:
            raise ValueError(f"the temperature of dwa must be above 0, got {temperature}")
        self._temperature, self._epochs = float(temperature), EpochMeans(tasks)
        super().__init__(memory=self._epochs, reduce=reduce)

    @property
    def weights(self) -> dict[str, float]:
        """lambda_k of each task; they sum to K."""
        means = self._epochs.means
        return dict(zip(means, dynamic_weights(list(means.values()), self._temperature), strict=True))

    def objective(self, task: str, loss: Tensor) -> Tensor:
        return loss * self.weights[task]
