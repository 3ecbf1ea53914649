"""The memory format that convolutions are quick in: channels last, by the rank of the tensor."""

from __future__ import annotations

from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(tensor: Tensor) -> Tensor:
    """The same numbers with channels last in memory: images (B, C, H, W) and volumes (B, C, D, H, W), real or complex.

    Tensors of other ranks and of whole numbers are given back as they are.
    """
    known = tensor.ndim in _FORMATS and (tensor.is_floating_point() or tensor.is_complex())
    return tensor.contiguous(memory_format=_FORMATS[tensor.ndim]) if known else tensor


def to_channels_last(module: Module) -> Module:
    """Moves the weights and buffers of a module to channels last, each by its own rank; in place.

    ``module.to(memory_format=...)`` takes one rank for all and fails on a module of 2-D and 3-D convolutions.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        tensor.data = channels_last(tensor.data)
    return module
