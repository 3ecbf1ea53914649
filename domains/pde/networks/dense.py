"""Stacks of dense layers, as branches and trunks use them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from domains.pde.settings import Activation, Norm

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
}


def normalisation(norm: Norm, width: int) -> nn.Module:
    """A normalisation layer; batch normalisation with the constants of Keras, which the published networks use."""
    if norm == "layer":
        return nn.LayerNorm(width, eps=1e-3)
    if norm == "batch":
        return nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)
    return nn.Identity()


class DenseStack(nn.Module):
    """Hidden dense layers: linear, normalisation, activation, dropout; (B, inputs) to (B, widths[-1]).

    With `skip` the output of layer i (from the third, counted from 1, on) is increased by a linear map, with bias, of
    the output of layer i - 2. Batch normalisation takes its statistics over the rows.

    Attributes:
        layers: one module a hidden layer.
        outputs: width of the output, `inputs` where there is no layer.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        *,
        activation: Activation,
        norm: Norm = "none",
        dropout: float = 0.0,
        skip: bool = False,
    ):
        super().__init__()
        sizes = [inputs, *widths]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(before, after), normalisation(norm, after), ACTIVATIONS[activation]())
            for before, after in itertools.pairwise(sizes)
        )
        self.skips = nn.ModuleList(nn.Linear(sizes[i - 2], sizes[i]) for i in range(3, len(sizes)) if skip)
        self.dropout = dropout
        self.outputs = sizes[-1]

    def forward(self, values: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            values = layer(values)
            if index >= 2 and len(self.skips):
                values = values + self.skips[index - 2](outputs[index - 2])
            values = functional.dropout(values, self.dropout, self.training)
            outputs.append(values)
        return values


def initialise(module: nn.Module, init: str) -> None:
    """Kernels by Glorot's uniform distribution or a normal one of deviation 1e-3, biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if init == "normal":
                nn.init.normal_(layer.weight, std=1e-3)
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
