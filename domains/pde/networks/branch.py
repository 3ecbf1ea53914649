"""Branch networks: what a sample is given, to the coefficients of its answer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.pde.networks.dense import DenseStack
from domains.pde.settings import BranchConfig


class Branch(nn.Module):
    """Convolutions over the image, if there is one, then dense layers, then a linear layer.

    Input: ``"vector"`` (B, numbers) and, for a convolutional branch, ``"image"`` (B, C, h, w), both float32; numbers
    join the flattened image. Output (B, outputs), or the last hidden layer where `outputs` is None.

    Every convolution keeps the size at stride 1, with relu, and is followed by average pooling over 2 x 2, or has
    stride 2. With four of 16, 32, 64, 64 channels a 100 x 100 image of two channels ends in 2304 numbers, as published.

    Args:
        config: the layers.
        numbers: length of the vector, 0 for none.
        image: (C, h, w), None for none.
        outputs: coefficients, None for a stem whose body is shared.
    """

    def __init__(self, config: BranchConfig, numbers: int, image: tuple[int, int, int] | None, outputs: int | None):
        super().__init__()
        if bool(config.channels) != (image is not None):
            raise ValueError("convolutions need input functions on a grid of two axes, and such functions need them")
        self.downsample = config.downsample
        stride = 2 if config.downsample == "stride" else 1
        channels = [image[0] if image else 0, *config.channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, config.kernel, stride=stride, padding=config.kernel // 2)
            for before, after in itertools.pairwise(channels)
        )
        inputs = numbers
        if image is not None:
            height, width = image[1:]
            for _ in config.channels:
                height, width = (height // 2, width // 2) if stride == 1 else (-(-height // 2), -(-width // 2))
            if min(height, width) < 1:
                raise ValueError(
                    f"an image of {image[1]} x {image[2]} is too small for {len(config.channels)} halvings"
                )
            inputs += config.channels[-1] * height * width
        self.dense = DenseStack(
            inputs, config.widths, activation=config.activation, norm=config.norm, dropout=config.dropout
        )
        self.output = None if outputs is None else nn.Linear(self.dense.outputs, outputs)
        self.output_activation = config.output_activation

    @property
    def outputs(self) -> int:
        return self.dense.outputs if self.output is None else self.output.out_features

    def hidden(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The last hidden layer, (B, width)."""
        parts = []
        if self.convolutions:
            image = inputs["image"]
            for convolution in self.convolutions:
                image = functional.relu(convolution(image))
                if self.downsample == "pool":
                    image = functional.avg_pool2d(image, 2)
            parts.append(image.flatten(1))
        if inputs["vector"].shape[1]:
            parts.append(inputs["vector"])
        return self.dense(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        values = self.hidden(inputs)
        if self.output is None:
            return values
        values = self.output(values)
        return functional.selu(values) if self.output_activation == "selu" else values

    def dense_kernels(self) -> list[Tensor]:
        """Kernels of the dense layers, which the published training keeps small."""
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Linear)]
        return [layer.weight for layer in layers]

    def parts(self) -> dict[str, nn.Module]:
        """Named parts for freezing: conv1, ..., dense1, ..., output."""
        found = {f"conv{i}": layer for i, layer in enumerate(self.convolutions, start=1)}
        found |= {f"dense{i}": layer for i, layer in enumerate(self.dense.layers, start=1)}
        return found if self.output is None else found | {"output": self.output}
