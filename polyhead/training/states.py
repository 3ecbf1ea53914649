"""What of a model is trained, and so averaged, saved and kept in snapshots, and what is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn


def is_inexact(tensor: Tensor) -> bool:
    """Whether the values are floating or complex numbers, so that they have averages."""
    return tensor.is_floating_point() or tensor.is_complex()


def inexact_buffers(model: nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in model.buffers() if is_inexact(buffer))


def _frozen_names(model: nn.Module) -> set[str]:
    every = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in every if not parameter.requires_grad}


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """The part of the state dict that a training changes: trained parameters, and all buffers.

    Buffers of frozen layers belong to it, since running statistics move without a gradient.
    """
    frozen = _frozen_names(model)
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def frozen_state(model: nn.Module) -> dict[str, Tensor]:
    """The rest of the state dict: parameters that are not trained."""
    frozen = _frozen_names(model)
    return {name: value for name, value in model.state_dict().items() if name in frozen}


def load_trained_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads what `trained_state` gave; the frozen parameters stay.

    Raises:
        RuntimeError: names or shapes differ.
    """
    model.load_state_dict({**frozen_state(model), **state})
