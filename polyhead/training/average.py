"""The exponential moving average of the weights of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from polyhead.training.states import is_inexact


class Average:
    """Averages of the trained parameters and of the buffers of a model, which stand in for them within `applied`.

    After each step a <- d a + (1 - d) w; the first step begins it as a copy. With warm-up the decay of update t (from
    0) is min(d, 1 - (1 + t)^(-2/3)), so that a short training is not held to its first weights (the schedule of
    timm's ModelEmaV3). Counts and other whole numbers are copied, and so are buffers that begin with infinities (masks,
    the bounds of observers) or change their shape.

    Args:
        model: frozen parameters are left out, and keep their place.
        decay: d, in [0, 1).
        warmup: see above.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = False):
        self._decay, self._warmup, self._updates = decay, warmup, 0
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # Cached: walking the modules of a large model costs more than the average. The places, not the tensors, of
        # buffers, since a module may put a new one there.
        homes = {id(buffer): (module._buffers, name) for module in model.modules() for name, buffer in _own(module)}
        self._places = list(homes.values())
        self._averages = [tensor.detach().clone() for tensor in self._present()]
        self._copied = [not (is_inexact(average) and bool(average.isfinite().all())) for average in self._buffers()]

    def _buffers(self) -> list[Tensor]:
        return self._averages[len(self._parameters) :]

    def _present(self) -> list[Tensor]:
        return [*self._parameters, *(cast(Tensor, buffers[name]) for buffers, name in self._places)]

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the present weights, after a step."""
        decay = self._decay if not self._warmup else min(self._decay, 1 - (1 + self._updates) ** (-2 / 3))
        first = self._updates == 0
        self._updates += 1
        values = self._present()
        self._reshape(values)
        copied = [first] * len(self._parameters) + [first or alone for alone in self._copied]
        for copies, averages, present in _by_kind(copied, self._averages, values):
            if copies:
                torch._foreach_copy_(averages, present)  # pyright: ignore[reportPrivateImportUsage]
            else:
                torch._foreach_lerp_(averages, present, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def _reshape(self, values: Sequence[Tensor]) -> None:
        """Begins the averages of buffers anew that have another shape by now."""
        first = len(self._parameters)
        for index, (average, value) in enumerate(zip(self._buffers(), values[first:], strict=True), first):
            if average.shape != value.shape:
                self._averages[index] = value.detach().clone().to(average.device)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the model has the averaged values; after, its own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for tensor, other in zip(self._present(), self._averages, strict=True):
            tensor.data, other.data = other.data, tensor.data

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates, "averages": list(self._averages)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._updates = int(state["updates"])
        self._reshape(state["averages"])
        for average, value in zip(self._averages, state["averages"], strict=True):
            average.copy_(value)


def _own(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, buffer) for name, buffer in module._buffers.items() if buffer is not None)


def _by_kind(
    copied: list[bool], averages: list[Tensor], values: list[Tensor]
) -> Iterator[tuple[bool, list[Tensor], list[Tensor]]]:
    """Averages and values by whether they are copied, dtype and device, complex numbers as pairs of real ones: what is
    taken in by one call."""
    kinds: dict[tuple[bool, torch.dtype, torch.device], tuple[list[Tensor], list[Tensor]]] = {}
    for copies, average, value in zip(copied, averages, values, strict=True):
        mine, theirs = kinds.setdefault((copies, value.dtype, value.device), ([], []))
        mine.append(torch.view_as_real(average) if average.is_complex() else average)
        theirs.append(torch.view_as_real(value.detach().resolve_conj()) if value.is_complex() else value.detach())
    for (copies, _, _), lists in kinds.items():
        yield copies, *lists
