"""Trunk networks: a point, to the functions that the coefficients of a branch combine."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from domains.pde.networks.dense import DenseStack
from domains.pde.settings import TrunkConfig


class Trunk(nn.Module):
    """Dense layers and a linear layer: (..., inputs) to (..., outputs), or the last hidden layer for None."""

    def __init__(self, config: TrunkConfig, inputs: int, outputs: int | None):
        super().__init__()
        self.frequencies = config.frequencies
        # Of the inputs the coordinates come first; only they have waves.
        self.axes = inputs if config.features == "none" else inputs - 1
        inputs += 2 * self.axes * self.frequencies
        self.dense = DenseStack(inputs, config.widths, activation=config.activation, norm=config.norm, skip=config.skip)
        self.output = None if outputs is None else nn.Linear(self.dense.outputs, outputs)

    @property
    def outputs(self) -> int:
        return self.dense.outputs if self.output is None else self.output.out_features

    def forward(self, points: Tensor) -> Tensor:
        # Batch normalisation reads two axes only: rows of points.
        rows = points.reshape(-1, points.shape[-1])
        values = self.dense(torch.cat([rows, self._waves(rows)], dim=1) if self.frequencies else rows)
        values = values if self.output is None else self.output(values)
        return values.reshape(*points.shape[:-1], -1)

    def _waves(self, rows: Tensor) -> Tensor:
        """(n, 2·axes·frequencies): sines and cosines of the coordinates."""
        steps = torch.arange(1, self.frequencies + 1, dtype=rows.dtype, device=rows.device) * (torch.pi / 2)
        angles = ((rows[:, : self.axes, None] + 1) * steps).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def parts(self) -> dict[str, nn.Module]:
        """Named parts for freezing: layer1, ..., output."""
        found: dict[str, nn.Module] = {f"layer{i}": layer for i, layer in enumerate(self.dense.layers, start=1)}
        found |= {f"skip{i}": layer for i, layer in enumerate(self.dense.skips, start=3)}
        return found if self.output is None else found | {"output": self.output}
