"""The feature pyramid and its segmentation branch (Kirillov et al. 2019, figure 3), as the FM_UIA baseline uses it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class Smooth(nn.Module):
    """A 3x3 convolution with group normalisation and ReLU, then upsampled twice where it `doubles`."""

    def __init__(self, inputs: int, outputs: int, *, double: bool):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(min(32, outputs // 2), outputs)
        self.doubles = double

    def forward(self, feature: Tensor) -> Tensor:
        return self.finish(self.convolution(feature))

    def finish(self, convolved: Tensor) -> Tensor:
        """What follows the convolution."""
        feature = functional.relu(self.norm(convolved))
        if self.doubles:
            size = (feature.shape[-2] * 2, feature.shape[-1] * 2)
            feature = functional.interpolate(feature, size=size, mode="bilinear", align_corners=True)
        return feature


class FeaturePyramid(nn.Module):
    """Top-down pyramid over the last four encoder maps, each brought to stride 4 and summed.

    Args:
        channels: channels of the encoder's maps at strides 4, 8, 16 and 32.
        pyramid: width of the pyramid (256 in the baseline).
        outputs: width of the answer (128 in the baseline).
        dropout: rate of the channel dropout at the end (0.2 in the baseline).

    Input four maps (B, C, H/s, W/s); output (B, outputs, H/4, W/4).
    """

    def __init__(self, channels: Sequence[int], *, pyramid: int = 256, outputs: int = 128, dropout: float = 0.2):
        super().__init__()
        self.outputs = outputs
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid, 1) for width in channels)
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    Smooth(pyramid if index == 0 else outputs, outputs, double=index < doublings)
                    for index in range(max(1, doublings))
                )
            )
            for doublings in range(len(channels))
        )
        self.dropout = nn.Dropout2d(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        laterals = [layer(feature) for layer, feature in zip(self.lateral, maps, strict=True)]
        level, total = laterals[-1], self.branches[-1](laterals[-1])
        for index in range(len(laterals) - 2, -1, -1):
            size = (level.shape[-2] * 2, level.shape[-1] * 2)
            level = laterals[index] + functional.interpolate(level, size=size, mode="nearest")
            total = total + self.branches[index](level)
        return self.dropout(total)
