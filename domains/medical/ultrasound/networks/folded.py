"""The feature pyramid for inference: the same function of the maps with a third less arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.medical.ultrasound.networks.fpn import FeaturePyramid, Smooth


class UpsampledConvolution(nn.Module):
    """A 3x3 convolution (padding 1, no bias) of a map upsampled twice by nearest neighbours, without upsampling it.

    Each of the four output pixels that share an input pixel sees two rows and two columns of the input, so four 2x2
    kernels, sums of the 3x3 kernel's rows and columns, take the place of one 3x3 kernel at four times the pixels.

    Args:
        weight: (O, I, 3, 3), of the convolution that follows the upsampling.

    Input (B, I, H, W), output (B, O, 2H, 2W).
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        self.outputs = weight.shape[0]
        # Even positions: w0 for the pixel before, w1 + w2 for their own; odd: w0 + w1 for their own, w2 for the next.
        kernels = [
            _pairs(_pairs(weight, row, 2), column, 3)  # (O, I, 2, 2)
            for row in (0, 1)
            for column in (0, 1)
        ]
        self.weight: Tensor
        self.register_buffer("weight", torch.cat(kernels).contiguous())

    def forward(self, feature: Tensor) -> Tensor:
        height, width = feature.shape[-2:]
        corners = functional.conv2d(feature, self.weight, padding=1)
        parts = [
            corners[:, index * self.outputs : (index + 1) * self.outputs, row : row + height, column : column + width]
            for index, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)))
        ]
        return functional.pixel_shuffle(torch.stack(parts, dim=2).flatten(1, 2), 2)


def _pairs(weight: Tensor, phase: int, dim: int) -> Tensor:
    """The kernel of one phase along `dim`: (w0, w1 + w2) for even positions, (w0 + w1, w2) for odd ones."""
    first, second, third = weight.unbind(dim)
    pair = (first, second + third) if phase == 0 else (first + second, third)
    return torch.stack(pair, dim=dim)


class FoldedPyramid(nn.Module):
    """`FeaturePyramid` in evaluation mode, its lateral 1x1 convolutions folded into the 3x3 convolutions behind them.

    With a level L = A c + b + up(M), its first smoothing convolution is K * L = (K A) * c + K * up(M + b): the first
    term reads the narrow encoder map, the second the coarser level (see `UpsampledConvolution`). b rides on the coarser
    level, where zero padding treats it as it does in the pyramid itself.

    Args:
        pyramid: what is folded; later changes of its weights are not seen.
    """

    def __init__(self, pyramid: FeaturePyramid):
        super().__init__()
        self.lateral, self.branches = pyramid.lateral, pyramid.branches
        self.side, self.lifted = nn.ModuleList(), nn.ModuleList()
        with torch.no_grad():
            for lateral, branch in zip(list(self.lateral)[:-1], self.branches, strict=False):
                assert isinstance(lateral, nn.Conv2d) and isinstance(branch, nn.Sequential)
                first = branch[0]
                assert isinstance(first, Smooth)
                weight = first.convolution.weight
                side = nn.Conv2d(lateral.in_channels, len(weight), 3, padding=1, bias=False, device=weight.device)
                side.weight.copy_(torch.einsum("omhw,mi->oihw", weight, lateral.weight[:, :, 0, 0]))
                self.side.append(side)
                self.lifted.append(UpsampledConvolution(weight))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        level = self.lateral[-1](maps[-1])
        total = self.branches[-1](level)
        for index in range(len(maps) - 2, -1, -1):
            lateral, branch = self.lateral[index], self.branches[index]
            assert isinstance(branch, nn.Sequential) and isinstance(lateral.bias, Tensor)
            first, *rest = branch
            assert isinstance(first, Smooth)
            lifted = self.lifted[index](level + lateral.bias[:, None, None])
            feature = first.finish(self.side[index](maps[index]) + lifted)
            for layer in rest:
                feature = layer(feature)
            total = total + feature
            if index > 0:
                level = lateral(maps[index]) + functional.interpolate(level, scale_factor=2, mode="nearest")
        return total
