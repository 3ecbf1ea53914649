"""Balancers that combine gradients: any TorchJD aggregator as a function of the matrix of per-task gradients."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torchjd import Stateful, aggregation

from polyhead.balance.projector import NnlsProjector
from polyhead.balance.protocol import Needs, Parameters, Reduce, StepLosses, finite_values
from polyhead.seeds import derive_seed
from polyhead.tasks import TaskSet

SUMMING = frozenset({"PCGrad", "GradVac", "GradDrop", "ConFIG", "Sum", "Constant"})
"""Their answer to equal rows is M times the row; divided by M it is the row, as with every other balancer here."""

SCALED = frozenset({"FairGrad", "NashMTL"})
"""The length of their answer does not follow that of the gradients; it is given the length of the rows' mean."""

UNWEIGHABLE = frozenset({"AlignedMTL", "ConFIG", "FairGrad", "IMTLG", "Krum", "MGDA", "NashMTL", "PCD", "TrimmedMean"})
"""A factor of a row leaves its share of their answer as it is, or lowers it."""


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

    The rows are collected group by group of tasks that share a batch, so one graph is alive and the memory is M * d
    numbers beside it. Heads keep the gradient of (1/M) * sum of L_k. Over several ranks J is averaged before it is
    aggregated, since the aggregate of means is not the mean of aggregates. Aggregators that draw random numbers are
    seeded with the number of the call, so ranks agree, a resumed run goes on alike, and the global generators are left
    alone. Rows stand in the order of the model's tasks, whatever that of the step.

    The answer is on the scale of the rows' mean: sums are divided by M, and `SCALED` aggregators, which answer with any
    length, get that of the mean. ExcessMTL's weights, which sum to 1, depend on the scale of the gradients. One row is
    its own aggregate. Where no shared parameter is trained there is nothing to combine, and the heads learn alone.

    Args:
        name: a TorchJD aggregator.
        tasks: the tasks of the model that have a weight.
        options: the aggregator's keyword arguments; lists of numbers become tensors.
        reduce: averages a tensor over ranks.

    Raises:
        ValueError: the aggregator's extra is not installed, it keeps state that cannot be saved, its options do not fit
            the number of tasks, or the tasks' weights differ and it would not obey them.
    """

    def __init__(self, name: str, tasks: TaskSet, *, options: Mapping[str, Any], reduce: Reduce | None = None):
        self.name, self._reduce = name, reduce
        self._order = {task: index for index, task in enumerate(tasks)}
        if name in UNWEIGHABLE and len({spec.weight for spec in tasks.values()}) > 1:
            raise ValueError(f"balancer {name!r} does not obey the tasks' weights: make them equal or choose another")
        self._aggregator = _make_aggregator(name, options)
        self._calls = 0
        self.needs: Needs = "one" if len(tasks) == 1 else "several"
        remembers = any(isinstance(module, Stateful) for module in self._aggregator.modules())
        if remembers or any(isinstance(value, list) for value in options.values()):
            self.needs = "all"
            self._try(len(tasks))
        try:
            self.state_dict()
        except TypeError as error:
            raise ValueError(f"balancer {name!r} could not be resumed: {error}") from error

    def _try(self, count: int) -> None:
        """Lets a copy aggregate, so that options for another number of tasks are found before the training."""
        try:
            deepcopy(self._aggregator)(torch.eye(count))
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"balancer {self.name!r} does not fit a model of {count} tasks: {reason}") from error

    def backward(self, losses: StepLosses, parameters: Parameters) -> dict[str, float]:
        if self.needs == "all" and set(losses) != set(self._order):
            raise ValueError(
                f"balancer {self.name!r} tells the tasks apart, so all must meet in every step: set tasks_per_step to "
                f"{len(self._order)} and a sampler other than proportional"
            )
        shared = [parameter for parameter in parameters.shared if parameter.requires_grad]
        values: dict[str, Tensor] = {}
        rows: dict[str, Tensor] = {}
        reached: set[Parameter] = set()
        for group in losses.groups():
            found = losses.together(group)
            for position, task in enumerate(group, start=1):
                (found[task] / len(losses)).backward(retain_graph=position < len(group))
                values[task] = found[task].detach()
                if shared:
                    rows[task] = torch.cat([_take_gradient(parameter, reached) for parameter in shared]) * len(losses)
            del found  # with it goes the graph, before the next group's is built
        jacobian = torch.stack([rows[task] for task in sorted(rows, key=self._order.__getitem__)]) if shared else None
        if jacobian is not None and self._reduce is not None:
            jacobian = self._reduce(jacobian)
        numbers = finite_values({task: values[task] for task in losses}, self._reduce)
        if jacobian is not None:
            _write_gradients(self._aggregate(jacobian), shared, reached)
        return numbers

    def _aggregate(self, jacobian: Tensor) -> Tensor:
        if len(jacobian) == 1 and self.needs != "all":
            return jacobian[0]
        if not torch.isfinite(jacobian).all():
            return jacobian.sum(dim=0)  # the loop sees that it is not finite, before any state does
        _place_options(self._aggregator, jacobian)
        devices = [jacobian.device] if jacobian.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed("aggregate", self._calls))
            self._calls += 1
            return aggregate(self.name, self._aggregator, jacobian)

    def parameters(self) -> list[Parameter]:
        return []

    def after_step(self, losses: StepLosses) -> None:
        pass

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


def aggregate(name: str, aggregator: aggregation.Aggregator, jacobian: Tensor) -> Tensor:
    """The aggregate (d,) of J (M, d), on the scale of the mean of its rows."""
    if name in SUMMING:
        return aggregator(jacobian) / len(jacobian)
    if name not in SCALED:
        return aggregator(jacobian)
    # Solved at Frobenius norm 1: the direction is the same, and the solvers are at home there.
    size = jacobian.norm()
    if size == 0:
        return jacobian.mean(dim=0)
    direction = aggregator(jacobian / size)
    return direction * (jacobian.mean(dim=0).norm() / direction.norm().clamp_min(torch.finfo(direction.dtype).tiny))


def _make_aggregator(name: str, options: Mapping[str, Any]) -> aggregation.Aggregator:
    kind = getattr(aggregation, name)
    keywords = {key: torch.tensor(value) if isinstance(value, list) else value for key, value in options.items()}
    if "projector" in inspect.signature(kind).parameters:
        keywords = {"projector": NnlsProjector()} | keywords
    try:
        return kind(**keywords)
    except ImportError as error:
        raise ValueError(f"balancer {name!r} needs more than is installed: {error}") from error


def _place_options(aggregator: aggregation.Aggregator, like: Tensor) -> None:
    """Options with a number a task are plain attributes (state is in buffers), which no module moves or converts."""
    for module in aggregator.modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                vars(module)[key] = value.to(like)


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
