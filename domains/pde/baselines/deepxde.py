"""DeepXDE's operator networks as they come: DeepONetCartesianProd and PODDeepONet on the PyTorch backend, on the CPU.

Their losses see targets and outputs alone, so a mask for each sample is impossible: they are trained on all points,
the zeros outside each geometry included, and answers are set to 0 outside when predicting.
"""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from domains.pde.baselines.baseline import BASELINES, Inputs, require_rows
from domains.pde.baselines.pod import PodBasis
from domains.pde.data.samples import OperatorData
from domains.pde.deepxde import import_deepxde

_POINTS_AT_ONCE = 65_536


@dataclass(frozen=True)
class DeepXdeSettings:
    """Sizes and schedule of a DeepXDE network.

    Attributes:
        width: units of the hidden layers.
        depth: hidden layers of the trunk; a dense branch has two.
        latent: products that are summed, or POD modes.
        iterations: gradient steps of Adam.
        batch_size: samples a step; the points are always all used.
        learning_rate: at the start, falling as 1 / (1 + 2.5 · step / iterations).
        points: points trained on where there are more, drawn once from those inside any geometry.
        branch: dense, convolutional, or convolutional where there is an input function on a grid of two axes.
    """

    width: int = 128
    depth: int = 3
    latent: int = 128
    iterations: int = 10_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    points: int = 10_000
    branch: Literal["auto", "dense", "convolutional"] = "auto"


class DeepXdeOperator:
    """A DeepXDE operator network for all tasks of a data set at once, the task as an input.

    Args:
        kind: ``"deeponet"`` (DeepONetCartesianProd, Lu et al. 2021) or ``"pod"`` (PODDeepONet, Lu et al. 2022).
        settings: sizes and schedule.
        seed: of weights, batches and points; the global random states are left as they were.
    """

    def __init__(
        self, kind: Literal["deeponet", "pod"] = "deeponet", settings: DeepXdeSettings | None = None, *, seed: int = 0
    ):
        self.kind = kind
        self.settings = settings or DeepXdeSettings()
        self.seed = seed
        self.network: Any = None

    @property
    def parameters_count(self) -> int:
        """Trainable numbers of the fitted network."""
        if self.network is None:
            raise ValueError("the network is not fitted yet: call fit first")
        return sum(parameter.numel() for parameter in self.network.parameters())

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """See `Baseline.fit`; needs the package ``deepxde``, else a ValueError says how to get it."""
        dde = import_deepxde()
        rows = require_rows(data, rows)
        self._mask = data.mask
        self._inputs = Inputs(data, rows)
        x = self._inputs(data.parameters[rows], data.functions[rows], data.task[rows], data.geometry[rows])
        fields = data.solution[rows].astype(np.float64)
        self._mean = fields.mean(axis=0)
        self._scale = float((fields - self._mean).std()) or 1.0
        targets = (fields - self._mean) / self._scale
        lower, upper = data.coordinates.min(axis=0), data.coordinates.max(axis=0)
        self._coordinates = 2 * (data.coordinates - lower) / np.where(upper > lower, upper - lower, 1) - 1
        points = self._training_points(data, rows)
        with _own_randomness(self.seed), contextlib.redirect_stdout(io.StringIO()):
            branch = (x.shape[1], self._branch(data, x.shape[1]))
            if self.kind == "pod":
                basis = PodBasis.of(targets, self.settings.latent)
                # Branch outputs of unit variance: each mode carries the deviation of its coefficient.
                self._basis = basis.modes * np.sqrt(basis.energies)
                branch = (x.shape[1], self._branch(data, x.shape[1], outputs=self._basis.shape[1]))
                self.network = dde.nn.PODDeepONet(self._basis[points], branch, "relu", "Glorot normal")
            else:
                trunk = [data.coordinates.shape[1], *[self.settings.width] * self.settings.depth, self.settings.latent]
                self.network = dde.nn.DeepONetCartesianProd(branch, trunk, "relu", "Glorot normal")
            self._train(dde, x.astype(np.float32), targets[:, points].astype(np.float32), points)

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """See `Baseline.predict`."""
        if self.network is None:
            raise ValueError("the network is not fitted yet: call fit first")
        x = torch.as_tensor(self._inputs(parameters, functions, task, geometry), dtype=torch.float32)
        with torch.no_grad():
            if self.kind == "pod":
                # The network keeps its basis at the training points only; the coefficients hold everywhere.
                fields = self.network.branch(x).double().numpy() @ self._basis.T
            else:
                where = torch.as_tensor(self._coordinates, dtype=torch.float32).split(_POINTS_AT_ONCE)
                fields = torch.cat([self.network((x, part)) for part in where], dim=1).double().numpy()
        return (self._mean + self._scale * fields) * self._mask[geometry]

    def _training_points(self, data: OperatorData, rows: NDArray) -> NDArray[np.intp]:
        count = len(data.coordinates)
        if count <= self.settings.points:
            return np.arange(count)
        inside = np.flatnonzero(data.mask[np.unique(data.geometry[rows])].any(axis=0))
        drawn = np.random.default_rng(self.seed).permutation(inside)[: self.settings.points]
        return np.sort(drawn)

    def _branch(self, data: OperatorData, size: int, outputs: int | None = None) -> nn.Module:
        outputs = outputs or self.settings.latent
        width = self.settings.width
        sensors = data.functions.shape[2:]
        image = "functions" in self._inputs.parts and len(sensors) == 2
        if self.settings.branch == "convolutional" and not image:
            raise ValueError(f"{data.problem} has no input function on a grid of two axes: take a dense branch")
        if self.settings.branch == "dense" or not image:
            layers = [nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)]
            return nn.Sequential(*layers)
        as_image = ["functions"]
        if data.grid_shape == sensors and "geometry" in self._inputs.parts:
            as_image.append("geometry")
        return _ConvolutionalBranch(self._inputs.parts, as_image, sensors, width, outputs)

    def _train(self, dde: ModuleType, x: NDArray, targets: NDArray, points: NDArray) -> None:
        where = self._coordinates[points].astype(np.float32)
        # DeepXDE wants test data; a few training rows keep its two evaluations cheap and tell it nothing.
        few = slice(0, min(8, len(x)))
        data = dde.data.TripleCartesianProd((x, where), targets, (x[few], where), targets[few])
        model = dde.Model(data, self.network)
        steps = self.settings.iterations
        decay = ("inverse time", max(1, steps // 5), 0.5)
        model.compile("adam", lr=self.settings.learning_rate, loss="MSE", decay=decay, verbose=0)
        # The batch size is a number, never a pair: with a pair DeepXDE 1.15 pairs samples with wrong targets.
        batch = min(self.settings.batch_size, len(x))
        model.train(iterations=steps, batch_size=batch, display_every=steps, verbose=0)
        self.network.eval()


class _ConvolutionalBranch(nn.Module):
    """Two convolutions of stride 2 over the input functions, two dense layers over them and the other inputs."""

    def __init__(
        self, parts: dict[str, slice], images: Sequence[str], sensors: tuple[int, ...], width: int, outputs: int
    ):
        super().__init__()
        self.images = [parts[name] for name in images]
        self.others = [part for name, part in parts.items() if name not in images]
        self.sensors = sensors
        channels = sum(part.stop - part.start for part in self.images) // int(np.prod(sensors))
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        reduced = int(np.prod([(length + 3) // 4 for length in sensors])) * 64
        plain = sum(part.stop - part.start for part in self.others)
        self.dense = nn.Sequential(nn.Linear(reduced + plain, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = torch.cat([x[:, part].reshape(len(x), -1, *self.sensors) for part in self.images], dim=1)
        return self.dense(torch.cat([self.convolutions(image), *(x[:, part] for part in self.others)], dim=1))


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seeds the global generators that DeepXDE draws from, and gives them back as they were."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])  # noqa: NPY002
            random.setstate(before[1])


def _registered(kind: Literal["deeponet", "pod"]) -> Callable[[int], DeepXdeOperator]:
    return lambda seed=0: DeepXdeOperator(kind, seed=seed)


BASELINES.add("deepxde deeponet")(_registered("deeponet"))
BASELINES.add("deepxde pod-deeponet")(_registered("pod"))
