"""Memory formats of images and volumes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def channels_last(tensor: Tensor) -> Tensor:
    """A tensor (B, C, H, W) or (B, C, D, H, W) with the channels innermost in memory; any other as it is."""
    if tensor.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.contiguous(memory_format=torch.channels_last_3d) if tensor.ndim == 5 else tensor


def to_channels_last(module: nn.Module) -> nn.Module:
    """Gives every kernel of a module that format, parameter by parameter: a module may mix images and volumes."""
    for parameter in module.parameters():
        parameter.data = channels_last(parameter.data)
    return module
