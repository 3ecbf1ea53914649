"""Heads that more than one domain uses."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional


class PooledLinear(nn.Module):
    """Global average pooling, dropout and a linear layer: classes or numbers of a whole sequence, map or volume.

    Input (B, C, ...) with at least one axis to pool, output (B, outputs).
    """

    def __init__(self, channels: int, outputs: int, *, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, feature: Tensor) -> Tensor:
        if feature.ndim < 3:
            raise ValueError(f"pooling takes features of shape (B, C, ...), got {tuple(feature.shape)}")
        return self.linear(self.dropout(feature.mean(dim=tuple(range(2, feature.ndim)))))


class DenseLogits(nn.Module):
    """A 1x1 convolution and linear upsampling: class logits of every pixel or voxel.

    Input (B, C, H, W), output (B, outputs, scale*H, scale*W), bilinear; with three dimensions (B, C, D, H, W),
    trilinear, all three scaled.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        scale: int = 1,
        align_corners: bool = False,
        dimensions: Literal[2, 3] = 2,
    ):
        super().__init__()
        convolution, self.mode = _DENSE[dimensions]
        self.project = convolution(channels, outputs, kernel_size=1)
        self.scale, self.align_corners = scale, align_corners

    def forward(self, feature: Tensor) -> Tensor:
        logits = self.project(feature)
        if self.scale == 1:
            return logits
        size = [length * self.scale for length in logits.shape[2:]]
        return functional.interpolate(logits, size=size, mode=self.mode, align_corners=self.align_corners)


_DENSE = {2: (nn.Conv2d, "bilinear"), 3: (nn.Conv3d, "trilinear")}
