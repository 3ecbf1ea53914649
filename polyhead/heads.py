"""Heads that more than one domain uses."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PooledLinear(nn.Module):
    """Global average pooling, dropout and a linear layer: classes or numbers of a whole map.

    Input (B, C, H, W), output (B, outputs).
    """

    def __init__(self, channels: int, outputs: int, *, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, outputs)

    def forward(self, feature: Tensor) -> Tensor:
        return self.linear(self.dropout(feature.mean(dim=(2, 3))))


class DenseLogits(nn.Module):
    """A 1x1 convolution and bilinear upsampling: class logits of every pixel.

    Input (B, C, H, W), output (B, outputs, scale*H, scale*W).
    """

    def __init__(self, channels: int, outputs: int, *, scale: int = 1, align_corners: bool = False):
        super().__init__()
        self.project = nn.Conv2d(channels, outputs, kernel_size=1)
        self.scale, self.align_corners = scale, align_corners

    def forward(self, feature: Tensor) -> Tensor:
        logits = self.project(feature)
        if self.scale == 1:
            return logits
        size = (logits.shape[-2] * self.scale, logits.shape[-1] * self.scale)
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=self.align_corners)
