"""A Fourier neural operator by neuraloperator, where that package is installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from domains.pde.baselines.baseline import BASELINES, Inputs, require_rows
from domains.pde.data.samples import OperatorData


@dataclass(frozen=True)
class FnoSettings:
    """Sizes and schedule of an FNO.

    Attributes:
        modes: most Fourier modes an axis; an axis of n points has at most n // 2.
        hidden: channels of the Fourier layers.
        layers: number of Fourier layers.
        epochs: passes over the training rows.
        batch_size: samples a step.
        learning_rate: of Adam at the start, falling to 0 along a cosine.
    """

    modes: int = 16
    hidden: int = 32
    layers: int = 4
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 2e-3


class FnoField:
    """An FNO (Li et al. 2021) from input functions on the points' grid to the field, all tasks in one network.

    Parameters and the task enter as constant channels, input functions on fewer axes (an initial value over x) are
    repeated along the leading ones, and the mask is a channel where a geometry leaves points out. The loss is the mean
    of each sample's relative L2 error in its mask.

    Args:
        settings: sizes and schedule.
        seed: of weights and batches; torch's global random state is left as it was.
        network: builds the network from the number of input channels and the grid's shape; None is neuraloperator's
            FNO. It maps (n, channels, *grid) to (n, 1, *grid).
        device: where it is trained and asked.
    """

    def __init__(
        self,
        settings: FnoSettings | None = None,
        *,
        seed: int = 0,
        network: Callable[[int, tuple[int, ...]], nn.Module] | None = None,
        device: str = "cpu",
    ):
        self.settings = settings or FnoSettings()
        self.seed = seed
        self.device = device
        self._build = network or self._fno
        self.network: nn.Module | None = None

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """See `Baseline.fit`.

        Raises:
            ImportError: neuraloperator is not installed, and no other network was given.
            ValueError: the points are no grid, or an input function does not lie on its trailing axes.
        """
        rows = require_rows(data, rows)
        sensors = data.functions.shape[2:]
        if len(data.grid_shape) != data.coordinates.shape[1]:
            raise ValueError(f"{data.problem}: an FNO needs points on a grid; these are scattered")
        if data.functions.shape[1] and (not sensors or data.grid_shape[-len(sensors) :] != sensors):
            raise ValueError(
                f"{data.problem}: an FNO needs input functions on the points' grid {data.grid_shape} or its last axes, "
                f"got sensors {sensors}"
            )
        self._grid, self._sensors, self._mask = data.grid_shape, sensors, data.mask
        self._masked = not data.mask.all()
        self._inputs = Inputs(data, rows, per_input=False)
        counted = data.solution[rows][data.sample_mask(rows)].astype(np.float64)
        self._mean, self._scale = float(counted.mean()), float(counted.std()) or 1.0
        channels = self._channels(data.parameters[rows], data.functions[rows], data.task[rows], data.geometry[rows])
        mask = torch.as_tensor(data.sample_mask(rows), dtype=torch.float32).reshape(len(rows), 1, *self._grid)
        target = torch.as_tensor(data.solution[rows]).reshape(len(rows), 1, *self._grid)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = self._build(channels.shape[1], self._grid).to(self.device)
            self._train(self.network, channels, target, mask)

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """See `Baseline.predict`."""
        if self.network is None:
            raise ValueError("the FNO is not fitted yet: call fit first")
        channels = self._channels(parameters, functions, task, geometry)
        self.network.eval()
        with torch.no_grad():
            parts = [self.network(part.to(self.device)).cpu() for part in channels.split(self.settings.batch_size)]
        fields = torch.cat(parts).double().numpy().reshape(len(task), -1)
        return (self._mean + self._scale * fields) * self._mask[geometry]

    def _train(self, network: nn.Module, channels: Tensor, target: Tensor, mask: Tensor) -> None:
        size = min(self.settings.batch_size, len(channels))
        steps = self.settings.epochs * -(-len(channels) // size)
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.settings.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        network.train()
        for _ in range(self.settings.epochs):
            for rows in torch.randperm(len(channels)).split(size):
                x, true, inside = (array[rows].to(self.device) for array in (channels, target, mask))
                error = (self._mean + self._scale * network(x) - true) * inside
                below = (true * inside).flatten(1).norm(dim=1).clamp_min(1e-12 * self._scale)
                loss = (error.flatten(1).norm(dim=1) / below).mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()

    def _channels(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> Tensor:
        values = self._inputs(parameters, functions, task, geometry)
        channels = []
        for name, part in self._inputs.parts.items():
            group = values[:, part]
            if name == "functions":
                lead = (1,) * (len(self._grid) - len(self._sensors))
                group = group.reshape(len(task), -1, *lead, *self._sensors)
            elif name == "geometry":
                group = group.reshape(len(task), 1, *self._grid)
            else:
                group = group.reshape(*group.shape, *(1,) * len(self._grid))
            channels.append(np.broadcast_to(group, (*group.shape[:2], *self._grid)))
        if self._masked:
            channels.append(self._mask[geometry].reshape(len(task), 1, *self._grid).astype(np.float64))
        return torch.as_tensor(np.concatenate(channels, axis=1), dtype=torch.float32)

    def _fno(self, channels: int, grid: tuple[int, ...]) -> nn.Module:
        try:
            from neuralop.models import FNO  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "neuralop":
                raise
            raise ImportError("the FNO baseline needs neuraloperator: pip install neuraloperator") from None
        modes = tuple(max(1, min(self.settings.modes, length // 2)) for length in grid)
        return FNO(
            n_modes=modes,
            in_channels=channels,
            out_channels=1,
            hidden_channels=self.settings.hidden,
            n_layers=self.settings.layers,
        )


@BASELINES.add("fno")
def fno(seed: int = 0) -> FnoField:
    """An FNO with the settings' defaults."""
    return FnoField(seed=seed)
