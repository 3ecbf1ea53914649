"""Encoders: images to feature maps at strides 2 to 32."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyhead.registry import Registry

ENCODERS: Registry[Callable[[], nn.Module]] = Registry("encoder")
"""Each entry builds a module with ``channels`` (one number a stride) that maps (B, 3, H, W) to five maps."""

_B4_TAPS = (5, 9, 21, 31)


class StochasticDepth(nn.Module):
    """Drops the residual branch of whole samples (Huang et al. 2016), scaled to keep its mean."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        mask = torch.rand(branch.shape[0], 1, 1, 1, dtype=branch.dtype, device=branch.device) < keep
        return branch * mask / keep


@ENCODERS.add("efficientnet-b4")
class EfficientNetB4(nn.Module):
    """EfficientNet-B4 (Tan and Le 2019) with the fixed padding of a 380-pixel input, as published weights expect.

    Input (B, 3, H, W) with H and W multiples of 32; output five maps of 48, 32, 56, 160 and 448 channels at strides
    2, 4, 8, 16 and 32. The last 1x1 convolution of the classifier (0.81 M parameters) is kept so that checkpoints
    load whole, and never run.
    """

    channels = (48, 32, 56, 160, 448)

    def __init__(self) -> None:
        super().__init__()
        from transformers.models.efficientnet.configuration_efficientnet import EfficientNetConfig
        from transformers.models.efficientnet.modeling_efficientnet import EfficientNetModel

        config = EfficientNetConfig(
            width_coefficient=1.4,
            depth_coefficient=1.8,
            image_size=380,
            hidden_dim=1792,
            # Block 6 halves a map of odd size (95) at 380 pixels and is the only one that pads evenly.
            depthwise_padding=[6],
        )
        network = EfficientNetModel(config)
        self.stem = network.embeddings
        self.trunk = network.encoder
        for name, module in self.trunk.named_modules():
            if name.endswith("projection") and isinstance(module.dropout, nn.Dropout):
                # The library drops single activations; the paper's code drops the branch of whole samples.
                module.dropout = StochasticDepth(module.dropout.p)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.01
                # The library draws the scales about 0, which lets the signal die out over the 32 blocks.
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                _initialise(module)

    def forward(self, images: Tensor) -> list[Tensor]:
        feature = self.stem(images)
        maps = [feature]
        for index, block in enumerate(self.trunk.blocks):
            feature = block(feature)
            if index in _B4_TAPS:
                maps.append(feature)
        return maps


def _initialise(layer: nn.Conv2d) -> None:
    """The paper's fan-out initialisation, where a depthwise layer has the fan-out of one channel.

    Without the division by groups depthwise outputs would be so small that the epsilon of the normalisation (1e-3)
    outweighs their variance.
    """
    fan_out = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1] // layer.groups
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(8, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if stride > 1 or inputs != outputs else nn.Identity()
        self.stride = stride

    def forward(self, feature: Tensor) -> Tensor:
        branch = functional.relu(self.first_norm(self.first(feature)))
        branch = self.second_norm(self.second(branch))
        if self.stride > 1:
            feature = functional.avg_pool2d(feature, self.stride)
        return functional.relu(branch + self.shortcut(feature))


class ResidualEncoder(nn.Module):
    """A small residual network with group normalisation, for images without pretrained weights.

    Group normalisation keeps no statistics of the batch, so batches of a single task do no harm (batch statistics of
    one task at training, of all tasks at prediction, are a known weakness of shared batch normalisation).
    Input (B, 3, H, W), H and W multiples of 32; output five maps at strides 2 to 32.
    """

    def __init__(self, channels: tuple[int, ...], depth: int):
        super().__init__()
        self.channels = channels
        self.stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2, bias=False)
        self.stem_norm = nn.GroupNorm(8, channels[0])
        stages = []
        for inputs, outputs in pairwise(channels):
            blocks = [_Residual(inputs, outputs, 2), *(_Residual(outputs, outputs, 1) for _ in range(depth - 1))]
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        feature = functional.relu(self.stem_norm(self.stem(images)))
        maps = [feature]
        for stage in self.stages:
            feature = stage(feature)
            maps.append(feature)
        return maps


@ENCODERS.add("residual-tiny")
def _residual_tiny() -> nn.Module:
    return ResidualEncoder((16, 24, 48, 96, 128), depth=1)


@ENCODERS.add("residual-small")
def _residual_small() -> nn.Module:
    return ResidualEncoder((32, 48, 96, 160, 256), depth=2)
