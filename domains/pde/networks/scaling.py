"""The field in physical units, and as the network answers it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from domains.pde.data.samples import OperatorData
from domains.pde.networks.description import Description
from domains.pde.settings import NetworkConfig


class FieldScaling(nn.Module):
    """u = offset + unit * z, with z what the network answers; both of one number, or of one a training point.

    Statistics are of the training samples inside their geometries. Those of points are interpolated linearly between
    the training points' grid, and constant beyond it.
    """

    offset: Tensor
    unit: Tensor

    def __init__(self, network: NetworkConfig, description: Description):
        super().__init__()
        self.kind, self.factor, self.description = network.scale, network.factor, description
        at_points = self.kind in ("point", "mean-field")
        if at_points and not description.grid:
            raise ValueError(f"{description.problem}: the scale {self.kind!r} needs points on a grid; take `global`")
        self.register_buffer("offset", torch.zeros((description.points,) if at_points else (1,)))
        self.register_buffer("unit", torch.ones((description.points,) if self.kind == "point" else (1,)))

    def fit(self, data: OperatorData, rows: np.ndarray) -> None:
        """Sets offset and unit to those of the named samples."""
        if self.kind == "factor":
            self.unit.fill_(self.factor)
            return
        fields, mask = data.solution[rows], data.sample_mask(rows)
        if self.kind == "range":
            # The zeros outside the geometry count, as published: least and greatest value of the filled array.
            low, high = float(fields.min()), float(fields.max())
            self.offset.fill_(low)
            self.unit.fill_(high - low if high > low else 1.0)
            return
        inside = fields[mask].astype(np.float64)
        if self.kind == "rms":
            self.unit.fill_(_positive(float(np.sqrt(np.mean(inside**2)))))
        elif self.kind == "global":
            self.offset.fill_(float(inside.mean()))
            self.unit.fill_(_positive(float(inside.std())))
        else:
            count = mask.sum(axis=0)
            seen = np.maximum(count, 1)
            mean = np.where(count > 0, np.where(mask, fields, 0).sum(axis=0, dtype=np.float64) / seen, inside.mean())
            square = np.where(mask, (fields - mean) ** 2, 0).sum(axis=0)
            self.offset.copy_(torch.from_numpy(mean.astype(np.float32)))
            if self.kind == "point":
                deviation = np.sqrt(square / seen)
                deviation = np.where(deviation > 1e-12, deviation, 1.0)
                self.unit.copy_(torch.from_numpy(deviation.astype(np.float32)))
            else:
                self.unit.fill_(_positive(float(np.sqrt(square.sum() / max(count.sum(), 1)))))

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offset and unit at physical points (n, d): each (n,) or (1,) float64."""
        offset, unit = (values.double().cpu().numpy() for values in (self.offset, self.unit))
        return self._interpolate(offset, points), self._interpolate(unit, points)

    def _interpolate(self, values: np.ndarray, points: np.ndarray) -> np.ndarray:
        if len(values) == 1:
            return values
        from scipy.interpolate import RegularGridInterpolator

        axes = self.description.grid
        grid = values.reshape([len(axis) for axis in axes])
        return RegularGridInterpolator(axes, grid)(np.clip(points, self.description.lower, self.description.upper))


def _positive(unit: float) -> float:
    return unit if unit > 1e-12 else 1.0
