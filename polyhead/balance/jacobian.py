"""Balancers that combine gradients: any TorchJD aggregator as a function of the matrix of per-task gradients."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torchjd import aggregation

from polyhead.balance.base import Closures, Reduce, finish
from polyhead.sampling import derive_seed
from polyhead.tasks import TaskSet

# Their answer to orthogonal gradients is the sum; divided by M it is the mean, as with every other balancer here.
_SUMMING = frozenset({"PCGrad", "GradVac", "GradDrop", "ConFIG"})


@cache
def aggregator_names() -> tuple[str, ...]:
    """Names of the TorchJD aggregators."""
    return tuple(
        name
        for name in aggregation.__all__
        if inspect.isclass(kind := getattr(aggregation, name))
        and issubclass(kind, aggregation.Aggregator)
        and not inspect.isabstract(kind)
        and not name.endswith("WeightedAggregator")
    )


class JacobianBalancer:
    """Row k of J (M, d) is the gradient of the k-th task's loss by the shared parameters; the aggregator gives (d,).

    The rows are collected one closure at a time, so one graph is alive and the memory is M * d numbers beside it. Heads
    keep the gradient of (1/M) * sum of L_k. Over several ranks J is averaged before it is aggregated, since the
    aggregate of means is not the mean of aggregates. Aggregators that draw random numbers are seeded with the number of
    the call, so ranks agree, a resumed run goes on alike, and the global generators are left alone. Rows stand in the
    order of the model's tasks.

    Args:
        name: a TorchJD aggregator.
        tasks: all tasks of the model.
        options: the aggregator's keyword arguments; lists of numbers become tensors.
        reduce: averages a tensor over ranks.

    Raises:
        ValueError: the aggregator's extra is not installed, or it keeps state that cannot be saved.
    """

    def __init__(self, name: str, tasks: TaskSet, *, options: Mapping[str, Any], reduce: Reduce | None = None):
        self.name, self._tasks, self._reduce = name, tasks, reduce
        keywords = {key: torch.tensor(value) if isinstance(value, list) else value for key, value in options.items()}
        try:
            self._aggregator: aggregation.Aggregator = getattr(aggregation, name)(**keywords)
        except ImportError as error:
            raise ValueError(f"balancer {name!r} needs more than is installed: {error}") from error
        self._calls = 0
        modules = list(self._aggregator.modules())
        self._stateful = any(callable(getattr(module, "reset", None)) for module in modules)
        try:
            self.state_dict()
        except TypeError as error:
            raise ValueError(f"balancer {name!r} could not be resumed: {error}") from error

    def backward(self, losses: Closures, shared: Sequence[Parameter]) -> dict[str, Tensor]:
        if self._stateful and set(losses) != set(self._tasks):
            raise ValueError(
                f"balancer {self.name!r} remembers the gradients of each task, so all must meet in every step: "
                f"set tasks_per_step to {len(self._tasks)} and a sampler other than proportional"
            )
        shared = [parameter for parameter in shared if parameter.requires_grad]
        count = len(losses)
        rows, values, reached = [], {}, set()
        for task in sorted(losses, key=list(self._tasks).index):
            loss = losses[task]()
            (loss / count).backward()
            values[task] = loss.detach()
            rows.append(torch.cat([_take_gradient(parameter, reached) for parameter in shared]) * count)
        jacobian = torch.stack(rows)
        if self._reduce is not None:
            jacobian = self._reduce(jacobian)
        finished = finish(values, self._reduce)
        combined = self._aggregate(jacobian)
        if self.name in _SUMMING:
            combined = combined / count
        _write_gradients(combined, shared, reached)
        return {task: finished[task] for task in losses}

    def _aggregate(self, jacobian: Tensor) -> Tensor:
        devices = [jacobian.device] if jacobian.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed("aggregate", self._calls))
            self._calls += 1
            return self._aggregator(jacobian)

    def parameters(self) -> list[Parameter]:
        return []

    def epoch_end(self) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        # TorchJD keeps state in buffers that begin as None and in plain attributes; its own state_dict has neither.
        modules = [
            {key: _pack(value) for key, value in _attributes(module).items()} for module in self._aggregator.modules()
        ]
        return {"calls": self._calls, "modules": modules}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._calls = int(state["calls"])
        for module, saved in zip(self._aggregator.modules(), state["modules"], strict=True):
            for key, value in saved.items():
                target = module._buffers if key in module._buffers else vars(module)
                target[key] = _unpack(value)


def _take_gradient(parameter: Parameter, reached: set[Parameter]) -> Tensor:
    """Moves ``.grad`` out, flat and real (complex numbers as pairs); zeros where the task does not reach."""
    gradient, parameter.grad = parameter.grad, None
    if gradient is None:
        gradient = torch.zeros_like(parameter)
    else:
        reached.add(parameter)
    real = torch.view_as_real(gradient.detach()) if gradient.is_complex() else gradient.detach()
    return real.reshape(-1)


def _write_gradients(combined: Tensor, shared: Sequence[Parameter], reached: set[Parameter]) -> None:
    start = 0
    for parameter in shared:
        length = parameter.numel() * (2 if parameter.is_complex() else 1)
        part = combined[start : start + length].to(parameter.real.dtype if parameter.is_complex() else parameter.dtype)
        start += length
        if parameter not in reached:
            continue
        if parameter.is_complex():
            parameter.grad = torch.view_as_complex(part.reshape(*parameter.shape, 2).clone())
        else:
            parameter.grad = part.reshape(parameter.shape).clone()


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    """Buffers, None included, and plain attributes that are no settings of nn.Module and no functions."""
    own = {key: value for key, value in vars(module).items() if key not in _MODULE_ATTRIBUTES and not callable(value)}
    return {**own, **module._buffers}


_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))


def _pack(value: Any) -> Any:
    if isinstance(value, torch.dtype | torch.device):
        return {"torch": str(value).removeprefix("torch."), "kind": type(value).__name__}
    if isinstance(value, tuple):
        return tuple(_pack(part) for part in value)
    if isinstance(value, Tensor):
        return {"tensor": value.detach().clone(), "device": str(value.device)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"its state holds a {type(value).__name__}, which cannot be saved")


def _unpack(value: Any) -> Any:
    if isinstance(value, dict) and "tensor" in value:
        return value["tensor"].clone().to(value["device"])
    if isinstance(value, dict):
        return torch.device(value["torch"]) if value["kind"] == "device" else getattr(torch, value["torch"])
    if isinstance(value, tuple):
        return tuple(_unpack(part) for part in value)
    return value
