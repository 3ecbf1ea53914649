"""Trunk networks: a point, to the functions that the coefficients of a branch combine."""

from __future__ import annotations

from torch import Tensor, nn

from domains.pde.networks.dense import DenseStack
from domains.pde.settings import TrunkConfig


class Trunk(nn.Module):
    """Dense layers and a linear layer: (..., inputs) to (..., outputs), or the last hidden layer for None."""

    def __init__(self, config: TrunkConfig, inputs: int, outputs: int | None):
        super().__init__()
        self.dense = DenseStack(inputs, config.widths, activation=config.activation, norm=config.norm, skip=config.skip)
        self.output = None if outputs is None else nn.Linear(self.dense.outputs, outputs)

    @property
    def outputs(self) -> int:
        return self.dense.outputs if self.output is None else self.output.out_features

    def forward(self, points: Tensor) -> Tensor:
        # Batch normalisation reads two axes only: rows of points.
        values = self.dense(points.reshape(-1, points.shape[-1]))
        values = values if self.output is None else self.output(values)
        return values.reshape(*points.shape[:-1], -1)

    def parts(self) -> dict[str, nn.Module]:
        """Named parts for freezing: layer1, ..., output."""
        found: dict[str, nn.Module] = {f"layer{i}": layer for i, layer in enumerate(self.dense.layers, start=1)}
        found |= {f"skip{i}": layer for i, layer in enumerate(self.dense.skips, start=3)}
        return found if self.output is None else found | {"output": self.output}
