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
        functions: how many of the image's channels, the first ones, are input functions; the others tell of geometry.
    """

    def __init__(
        self,
        config: BranchConfig,
        numbers: int,
        image: tuple[int, int, int] | None,
        outputs: int | None,
        functions: int = 0,
    ):
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
        self.linear = None
        if config.linear_size is not None and image is not None:
            self.linear = LinearPart(config.linear_size, config.gates, functions, image[0] - functions)
        self.width = self.dense.outputs + (0 if self.linear is None else self.linear.outputs)
        self.output = None if outputs is None else nn.Linear(self.width, outputs)
        self.output_activation = config.output_activation

    @property
    def outputs(self) -> int:
        return self.width if self.output is None else self.output.out_features

    def hidden(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the last layer reads, (B, width): the last hidden layer, and the linear part where there is one."""
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
        hidden = self.dense(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        return hidden if self.linear is None else torch.cat([hidden, self.linear(inputs["image"])], dim=1)

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
        if self.linear is not None and self.linear.gates is not None:
            found["gates"] = self.linear.gates
        return found if self.output is None else found | {"output": self.output}


class LinearPart(nn.Module):
    """The input functions on a coarse grid, once for each gate and times it: (B, C, h, w) to (B, outputs).

    Args:
        size: side of the coarse grid.
        gates: how many; one, which is 1, where no channel tells of geometry.
        functions, geometry: channels of the image, in this order.
    """

    GATE_SIDE = 10
    """Side of the grid on which the gates see the geometry."""

    def __init__(self, size: int, gates: int, functions: int, geometry: int):
        super().__init__()
        self.size, self.functions = size, functions
        self.gates = nn.Linear(geometry * self.GATE_SIDE**2, gates) if geometry else None
        self.outputs = functions * size**2 * (gates if geometry else 1)

    def forward(self, image: Tensor) -> Tensor:
        coarse = functional.adaptive_avg_pool2d(image[:, : self.functions], self.size).flatten(1)
        if self.gates is None:
            return coarse
        geometry = functional.adaptive_avg_pool2d(image[:, self.functions :], self.GATE_SIDE).flatten(1)
        gates = functional.softmax(self.gates(geometry), dim=1)
        return (gates[:, :, None] * coarse[:, None, :]).flatten(1)
