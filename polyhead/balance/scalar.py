"""Balancers that weight losses: the gradient is that of (1/M) times the sum of the weighted losses of M tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from polyhead.balance.base import Closures, Reduce, finish
from polyhead.tasks import TaskSet


def _weighted_backward(losses: Closures, weights: Mapping[str, float], reduce: Reduce | None) -> dict[str, Tensor]:
    """One backward pass a task, one graph alive at a time."""
    values = {}
    for task, closure in losses.items():
        loss = closure()
        (loss * (weights[task] / len(losses))).backward()
        values[task] = loss.detach()
    return finish(values, reduce)


class Equal:
    """Equal weights: the mean of the losses of the step's tasks."""

    def __init__(self, tasks: TaskSet, *, reduce: Reduce | None = None):
        self._weights, self._reduce = dict.fromkeys(tasks, 1.0), reduce

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        return _weighted_backward(losses, self._weights, self._reduce)

    def parameters(self) -> list[Parameter]:
        return []

    def epoch_end(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Fixed:
    """Fixed weights: (1/M) * sum of w_k L_k, with w_k given or from `TaskSpec.weight`; they are not normalised.

    Args:
        weights: a weight for each task that shall differ from its `TaskSpec.weight`.
    """

    def __init__(self, tasks: TaskSet, *, weights: Mapping[str, float] | None = None, reduce: Reduce | None = None):
        given = {tasks[name].name: float(weight) for name, weight in (weights or {}).items()}
        self._weights = {task: given.get(task, tasks[task].weight) for task in tasks}
        self._reduce = reduce
        for task, weight in self._weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of task {task!r} must be finite and at least 0, got {weight}")

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        return _weighted_backward(losses, self._weights, self._reduce)

    def parameters(self) -> list[Parameter]:
        return []

    def epoch_end(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Uncertainty:
    """Uncertainty weighting, Kendall et al. 2018, eq. 7 with s = log sigma^2: (1/M) * sum of exp(-s)/2 * L + s/2.

    The optimum for a constant loss is s = log L. The paper's factor of a classification loss is exp(-s) without 1/2;
    one form is used for all, which shifts that optimum of s by log 2 and leaves the rest as it is. The s of a task that
    the step does not meet keeps ``grad`` None.

    Args:
        initial: s at the start.
    """

    def __init__(self, tasks: TaskSet, *, initial: float = 0.0, reduce: Reduce | None = None):
        self.log_variances = {task: Parameter(torch.tensor(float(initial))) for task in tasks}
        self._reduce = reduce

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        values = {}
        for task, closure in losses.items():
            loss = closure()
            s = self.log_variances[task].to(loss.device)
            ((0.5 * torch.exp(-s) * loss + 0.5 * s) / len(losses)).backward()
            values[task] = loss.detach()
        return finish(values, self._reduce)

    def parameters(self) -> list[Parameter]:
        return list(self.log_variances.values())

    def epoch_end(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {task: s.detach().clone() for task, s in self.log_variances.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for task, s in self.log_variances.items():
                s.copy_(state[task])


class DynamicWeightAverage:
    """Dynamic weight averaging, Liu et al. 2019 (MTAN), eq. 7.

    w_k = L_k(t-1) / L_k(t-2) on the means of the last two epochs, lambda_k = K * softmax(w / T)_k over all K tasks; the
    first two epochs are uniform. The means are those of the steps that met the task. A task that fewer than two epochs
    have met counts as w_k = 1, neither slow nor quick.

    Args:
        temperature: T; the paper uses 2.
    """

    def __init__(self, tasks: TaskSet, *, temperature: float = 2.0, reduce: Reduce | None = None):
        if not temperature > 0:
            raise ValueError(f"the temperature of dwa must be above 0, got {temperature}")
        self._temperature, self._reduce = float(temperature), reduce
        self._sums = {task: [0.0, 0] for task in tasks}
        self._means: dict[str, list[float]] = {task: [] for task in tasks}

    @property
    def weights(self) -> dict[str, float]:
        """lambda_k of each task; they sum to K."""
        rates = []
        for means in self._means.values():
            known = len(means) == 2 and means[0] > 0
            rates.append(means[1] / means[0] if known else 1.0)
        shares = torch.softmax(torch.tensor(rates, dtype=torch.float64) / self._temperature, dim=0)
        return {task: len(rates) * share for task, share in zip(self._means, shares.tolist(), strict=True)}

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        values = _weighted_backward(losses, self.weights, self._reduce)
        for task, value in values.items():
            self._sums[task][0] += value.item()
            self._sums[task][1] += 1
        return values

    def parameters(self) -> list[Parameter]:
        return []

    def epoch_end(self) -> None:
        for task, (total, count) in self._sums.items():
            if count:
                self._means[task] = [*self._means[task], total / count][-2:]
            self._sums[task] = [0.0, 0]

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": {task: list(value) for task, value in self._sums.items()},
            "means": {task: list(value) for task, value in self._means.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums = {task: list(state["sums"][task]) for task in self._sums}
        self._means = {task: list(state["means"][task]) for task in self._means}
