"""Heads of ultrasound tasks: detection in two ways and keypoints as heatmaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv_norm_relu(inputs: int, outputs: int, *, group_norm: bool) -> list[nn.Module]:
    norm = nn.GroupNorm(8, outputs) if group_norm else nn.BatchNorm2d(outputs)
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm, nn.ReLU()]


class GridDetection(nn.Module):
    """The baseline's detection head: at every cell of the map a box and the score of its being the answer.

    Input (B, C, H, W), output (B, 4 + classes, H, W): channels 0 to 3 are (x_min, y_min, x_max, y_max) in [0, 1] of
    the image, the others score logits.
    """

    def __init__(self, channels: int, classes: int = 1, *, width: int = 128):
        super().__init__()
        self.layers = nn.Sequential(
            *_conv_norm_relu(channels, width, group_norm=False),
            *_conv_norm_relu(width, width, group_norm=False),
            nn.Conv2d(width, 4 + classes, 1),
        )

    def forward(self, feature: Tensor) -> Tensor:
        raw = self.layers(feature)
        return torch.cat([raw[:, :4].sigmoid(), raw[:, 4:]], dim=1)


class CenterDetection(nn.Module):
    """Objects as points (Zhou et al. 2019): a centre heatmap, the box's size and the centre's offset in its cell.

    Input (B, C, H, W), output (B, classes + 4, H, W): heatmap logits, then (width, height) as logits of a fraction of
    the image, then (x, y) offset in cells as logits.
    """

    def __init__(self, channels: int, classes: int = 1, *, width: int = 64):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(
            *_conv_norm_relu(channels, width, group_norm=True), nn.Conv2d(width, classes + 4, 1)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        with torch.no_grad():
            # A prior of one positive in about a hundred cells keeps the focal loss small at the start.
            last.bias[:classes].fill_(math.log(0.01 / 0.99))
            last.bias[classes : classes + 2].fill_(math.log(0.3 / 0.7))

    def forward(self, feature: Tensor) -> Tensor:
        return self.layers(feature)


class HeatmapKeypoints(nn.Module):
    """One heatmap a point, read by soft-argmax (Nibali et al. 2018, DSNT): always inside the image.

    Input (B, C, H, W), output (B, points, H, W) heatmap logits.
    """

    def __init__(self, channels: int, points: int, *, width: int = 64):
        super().__init__()
        self.layers = nn.Sequential(*_conv_norm_relu(channels, width, group_norm=True), nn.Conv2d(width, points, 1))

    def forward(self, feature: Tensor) -> Tensor:
        return self.layers(feature)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision brought to float32; float32 and float64 as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def cell_centres(length: int, like: Tensor) -> Tensor:
    """Centres of `length` equal cells of [0, 1]: (i + 0.5) / length."""
    return (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) / length


def soft_argmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Expected position under the softmax of each heatmap.

    Args:
        logits: (B, N, H, W).

    Returns:
        Points (B, N, 2) as (x, y) in [0, 1], and the heatmaps (B, N, H, W), each summing to 1.
    """
    heat = functional.softmax(at_least_float32(logits).flatten(2), dim=-1).view(logits.shape)
    x = (heat.sum(dim=2) * cell_centres(logits.shape[3], heat)).sum(dim=-1)
    y = (heat.sum(dim=3) * cell_centres(logits.shape[2], heat)).sum(dim=-1)
    return torch.stack([x, y], dim=-1), heat
