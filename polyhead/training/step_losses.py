"""The losses of one training step as functions of the parameters, from the batches that were loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from accelerate.utils.operations import convert_to_fp32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polyhead.balance.protocol import StepLosses
from polyhead.tasks import TaskSet
from polyhead.training.loading import LoadedBatch
from polyhead.training.sampling import Group

Loss = Callable[[Any, Any], Tensor | Mapping[str, Tensor]]
"""From a head's output and the targets to the mean loss over rows, a scalar, or to a dict that holds it as ``loss``
beside the parts that it is made of, the same ones for every batch."""


@dataclass(frozen=True)
class LossMaker:
    """What the losses of every step are made with.

    Attributes:
        model: gives the outputs of one task, or of several at once, for the inputs of a batch.
        tasks: the model's.
        losses: for each task its loss; it sees float32.
        device: where the model is.
        autocast: a context in which the model runs.
    """

    model: nn.Module
    tasks: TaskSet
    losses: Mapping[str, Loss]
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def make(self, parts: Sequence[Sequence[LoadedBatch]]) -> tuple[StepLosses, list[BatchLosses]]:
        """The losses of a step whose batches come in `parts`, in sequence; and the batches, which know the named parts
        of their losses once those were computed."""
        batches = [BatchLosses(self, [part[index] for part in parts]) for index in range(len(parts[0]))]
        closures = {task: partial(each.one, task) for each in batches for task in each.tasks}
        together = {each.tasks: each.every for each in batches if len(each.tasks) > 1}
        encodes = hasattr(self.model, "encode") and hasattr(self.model, "answer")
        encoded = {each.tasks: each.encoded for each in batches} if encodes else None
        return StepLosses(closures, together, encoded), batches

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters of the model that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]


@dataclass
class BatchLosses:
    """The losses of the tasks of one batch, each times `TaskSpec.weight`.

    The first evaluation is an ordinary one. A later one sees the random numbers of the first, and leaves running
    statistics and the random generators as they were, so that losses at two places differ by the place alone.
    """

    maker: LossMaker
    parts: Sequence[LoadedBatch]
    named: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    _generators: list[Tensor] | None = None

    @property
    def tasks(self) -> Group:
        """The tasks of the batch that are trained."""
        return tuple(task for task in self.parts[0].of.tasks if self.maker.tasks[task].weight > 0)

    def one(self, task: str) -> Tensor:
        """The loss of one task, from an encoding of its own; a scalar."""
        return self._evaluate([task])[task]

    def every(self) -> dict[str, Tensor]:
        """The losses of all tasks from one encoding, in one graph."""
        return self._evaluate(list(self.tasks))

    def encoded(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What the heads of all tasks read, by the name of the feature, and their losses, in one graph."""
        if len(self.parts) > 1:
            raise ValueError("the features of a batch that is worked on in parts are never all there: no micro_batches")
        features: dict[str, Any] = {}
        with self._same_conditions():
            losses = self._of_part(self.parts[0], list(self.tasks), features)
        return features, losses

    def _evaluate(self, tasks: list[str]) -> dict[str, Tensor]:
        with self._same_conditions():
            if len(self.parts) == 1:
                return self._of_part(self.parts[0], tasks)
            return self._accumulated(tasks)

    def _outputs(self, inputs: Any, tasks: list[str], shared: bool, features: dict[str, Any] | None) -> dict[str, Any]:
        model: Any = self.maker.model
        with self.maker.autocast():
            if features is not None:
                features.update(model.encode(inputs, dict.fromkeys(self.maker.tasks[task].reads for task in tasks)))
                return model.answer(features, tasks, inputs)
            return model(inputs, tasks) if shared else {tasks[0]: model(inputs, tasks[0])}

    def _of_part(
        self, part: LoadedBatch, tasks: list[str], features: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """The losses of a part; `features` are told what its heads read."""
        shared = len(part.of.tasks) > 1
        outputs = convert_to_fp32(self._outputs(part.inputs, tasks, shared, features))
        share, found = part.of.share / len(self.parts), {}
        for task in tasks:
            value = self.maker.losses[task](outputs[task], part.targets[task] if shared else part.targets)
            if isinstance(value, Mapping):
                self._note(task, value, share)
                value = value["loss"]
            _require_scalar(f"the loss of task {task!r}", value)
            factor = share * self.maker.tasks[task].weight
            found[task] = value if factor == 1.0 else value * factor
        return found

    def _note(self, task: str, value: Mapping[str, Tensor], share: float) -> None:
        if "loss" not in value:
            raise ValueError(
                f"the loss of task {task!r} has the parts {', '.join(value)} and no 'loss', which is trained"
            )
        sums = self.named.setdefault(task, {})
        for name, part in value.items():
            if name != "loss":
                _require_scalar(f"the part {name!r} of the loss of task {task!r}", part)
                sums[name] = sums.get(name, 0.0) + part.detach() * share

    def _accumulated(self, tasks: list[str]) -> dict[str, Tensor]:
        """The losses over parts worked on in sequence, one graph alive at a time."""
        parameters = self.maker.parameters
        sums: dict[str, Tensor] = {}
        gradients: dict[str, list[Tensor | None]] = {task: [None] * len(parameters) for task in tasks}
        for part in self.parts:
            losses = self._of_part(part, tasks)
            for number, (task, loss) in enumerate(losses.items(), 1):
                sums[task] = sums[task] + loss.detach() if task in sums else loss.detach()
                if torch.is_grad_enabled():
                    own = torch.autograd.grad(loss, parameters, retain_graph=number < len(losses), allow_unused=True)
                    gradients[task] = [_added(*pair) for pair in zip(gradients[task], own, strict=True)]
        if not torch.is_grad_enabled():
            return sums
        return {task: _known_gradient(sums[task], gradients[task], parameters) for task in tasks}

    @contextmanager
    def _same_conditions(self) -> Iterator[None]:
        if self._generators is None:
            self._generators = _generator_states(self.maker.device)
            yield
            return
        present = _generator_states(self.maker.device)
        self.named, named = {}, self.named
        _set_generators(self._generators, self.maker.device)
        try:
            with unchanged_buffers(self.maker.model):
                yield
        finally:
            _set_generators(present, self.maker.device)
            self.named = self.named | named


def _require_scalar(what: str, value: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
        shape = f" of {value.dtype} and shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise ValueError(f"{what} must be a scalar, a real tensor of shape (), got a {type(value).__name__}{shape}")


class _KnownGradient(torch.autograd.Function):
    """A value whose gradients by some parameters have been computed already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (factor,) = above
        return None, None, *(None if gradient is None else gradient * factor for gradient in ctx.gradients)


def _known_gradient(value: Tensor, gradients: list[Tensor | None], parameters: list[nn.Parameter]) -> Tensor:
    result = _KnownGradient.apply(value, gradients, *parameters)
    assert isinstance(result, Tensor)
    return result


def _added(sum_: Tensor | None, more: Tensor | None) -> Tensor | None:
    if sum_ is None or more is None:
        return more if sum_ is None else sum_
    return sum_ + more


def _generator_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_generators(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


@contextmanager
def unchanged_buffers(model: nn.Module) -> Iterator[None]:
    """After the block every buffer is as it was before: running statistics, counts, power iterations."""
    homes = [(module._buffers, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    # Copies stand in for them, so that a graph made within keeps the values that it was made with. A buffer that
    # several modules share has one copy.
    copies = {id(buffer): None if buffer is None else buffer.clone() for _, _, buffer in homes}
    for buffers, name, buffer in homes:
        buffers[name] = copies[id(buffer)]
    try:
        yield
    finally:
        for buffers, name, buffer in homes:
            buffers[name] = buffer
