"""MT-DeepONet on the shared core: one branch and one trunk a problem, one head a task."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor, nn

from domains.pde.networks.branch import Branch
from domains.pde.networks.dense import DenseStack, initialise
from domains.pde.networks.description import Description
from domains.pde.networks.encoding import InputEncoding, hole_features
from domains.pde.networks.scaling import FieldScaling
from domains.pde.networks.trunk import Trunk
from domains.pde.settings import NetworkConfig, PdeConfig
from polyhead.model import MultiHeadModel
from polyhead.tasks import TaskSet, TaskSpec

Inputs = Mapping[str, Tensor]
"""``"vector"`` (B, numbers), ``"image"`` (B, C, h, w) for a convolutional branch, ``"points"`` (n, k) for all rows or
(B, n, k), and ``"factor"`` (1 or B, n) where the answer is multiplied by one; float32."""


@dataclass(frozen=True)
class OperatorFeature:
    """What a head reads: coefficients (B, p), functions (n, p) or (B, n, p), and a factor (1 or B, n) or None."""

    branch: Tensor
    trunk: Tensor
    factor: Tensor | None

    def __len__(self) -> int:
        return len(self.branch)

    def index_select(self, dimension: int, rows: Tensor) -> OperatorFeature:
        """The feature of some rows; the dimension is 0."""
        trunk = self.trunk.index_select(0, rows) if self.trunk.ndim == 3 else self.trunk
        factor = self.factor
        if factor is not None and len(factor) > 1:
            factor = factor.index_select(0, rows)
        return OperatorFeature(self.branch.index_select(dimension, rows), trunk, factor)


class InnerProduct(nn.Module):
    """factor · Σ_k b_k t_k, (B, n)."""

    def forward(self, feature: OperatorFeature) -> Tensor:
        branch, trunk = feature.branch, feature.trunk
        answer = branch @ trunk.T if trunk.ndim == 2 else torch.einsum("bp,bnp->bn", branch, trunk)
        return answer if feature.factor is None else answer * feature.factor


class WeightedProduct(nn.Module):
    """factor · (c + Σ_k w_k b_k t_k), (B, n), with w (p,) and c () of the task."""

    def __init__(self, latent: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(latent))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, feature: OperatorFeature) -> Tensor:
        branch, trunk = feature.branch * self.weight, feature.trunk
        answer = branch @ trunk.T if trunk.ndim == 2 else torch.einsum("bp,bnp->bn", branch, trunk)
        answer = answer + self.bias
        return answer if feature.factor is None else answer * feature.factor


class ProblemNetwork(nn.Module):
    """Encoding, branch, trunk and scaling of one problem; where bodies are shared, branch and trunk are stems."""

    def __init__(self, config: NetworkConfig, description: Description, *, stems: bool):
        super().__init__()
        self.config, self.description = config, description
        self.encoding = InputEncoding(config, description)
        self.scaling = FieldScaling(config, description)
        latent = None if stems else config.latent
        functions = len(description.functions)
        self.branch = Branch(config.branch, self.encoding.numbers, self.encoding.image, latent, functions)
        features = {"none": len(description.axes), "distance": len(description.axes) + 1, "holes": 5}
        if config.trunk.features == "holes" and (len(description.axes) != 3 or len(description.parameters) != 2):
            raise ValueError(f"{description.problem}: hole features need points x, y, z and the parameters of a plate")
        self.trunk = Trunk(config.trunk, features[config.trunk.features], latent)
        initialise(self, config.init)

    @property
    def needs_distance(self) -> bool:
        """Whether points need their signed distance."""
        return self.config.boundary == "distance" or self.config.trunk.features == "distance"

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """(n, d) float32: physical points in the units of the trunk."""
        lower, upper = np.array(self.description.lower), np.array(self.description.upper)
        span = np.where(upper > lower, upper - lower, 1.0)
        if self.config.trunk.coordinates == "unit":
            points = (points - lower) / span
        elif self.config.trunk.coordinates == "symmetric":
            points = 2 * (points - lower) / span - 1
        return np.asarray(points, dtype=np.float32)

    def point_inputs(self, points: np.ndarray, distance: np.ndarray | None, parameters: np.ndarray) -> np.ndarray:
        """The trunk's input at physical points (n, d): (n, k) where it is the same for all rows, else (B, n, k).

        Args:
            distance: (1 or B, n) signed distance of the points, where the network needs it.
            parameters: (B, m), for the features that follow from them.
        """
        features = self.config.trunk.features
        if features == "holes":
            return hole_features(points, parameters)
        coordinates = self.coordinates(points)
        if features == "none":
            return coordinates
        assert distance is not None
        scaled = (distance / self.description.length).astype(np.float32)
        spread = np.broadcast_to(coordinates, (len(scaled), *coordinates.shape))
        joined = np.concatenate([spread, scaled[..., None]], axis=-1)
        return joined[0] if len(joined) == 1 else joined

    def factor(self, distance: np.ndarray | None, mask: np.ndarray | None = None) -> np.ndarray | None:
        """What multiplies the answer at points, (1 or B, n) float32, None for nothing.

        Args:
            distance: (1 or B, n) signed distance of the points.
            mask: (1 or B, n) whether they lie inside; None takes where the distance is positive.
        """
        if self.config.boundary == "none":
            return None
        if self.config.boundary == "mask":
            inside = mask if mask is not None else None if distance is None else distance > 0
            return None if inside is None else inside.astype(np.float32)
        assert distance is not None
        width = self.config.boundary_width * self.description.length
        return np.tanh(np.maximum(distance, 0) / width).astype(np.float32)


class OperatorBackbone(nn.Module):
    """The problems' networks and what they share; the feature of a problem has its name and is an `OperatorFeature`.

    Inputs are of one problem, that of the one feature that is needed.
    """

    def __init__(self, config: PdeConfig, descriptions: Mapping[str, Description]):
        super().__init__()
        shared = config.shared
        self.networks = nn.ModuleDict(
            {
                quote(name, safe="").replace(".", "%2E"): ProblemNetwork(
                    config.network_of(name), description, stems=shared is not None
                )
                for name, description in descriptions.items()
            }
        )
        self.bodies = nn.ModuleDict()
        self.stems = nn.ModuleDict()
        if shared is not None:
            for side in ("branch", "trunk"):
                width = shared.widths[0]
                for key, network in self.networks.items():
                    stem = getattr(network, side)
                    self.stems[f"{side}_{key}"] = nn.Linear(stem.outputs, width)
                hidden = DenseStack(width, shared.widths, activation=shared.activation)
                self.bodies[side] = nn.Sequential(hidden, nn.Linear(hidden.outputs, shared.latent))
            initialise(self.stems, "glorot")
            initialise(self.bodies, "glorot")

    def network(self, problem: str) -> ProblemNetwork:
        found = self.networks[quote(problem, safe="").replace(".", "%2E")]
        assert isinstance(found, ProblemNetwork)
        return found

    def coefficients(self, problem: str, inputs: Inputs) -> Tensor:
        """(B, p): what the branch makes of the encoded samples."""
        return self._through_body("branch", problem, self.network(problem).branch(inputs))

    def functions(self, problem: str, points: Tensor) -> Tensor:
        """(..., p): what the trunk makes of points (..., k)."""
        return self._through_body("trunk", problem, self.network(problem).trunk(points))

    def _through_body(self, side: str, problem: str, values: Tensor) -> Tensor:
        if side not in self.bodies:
            return values
        key = quote(problem, safe="").replace(".", "%2E")
        return self.bodies[side](self.stems[f"{side}_{key}"](values))

    def forward(self, inputs: Inputs, needed: Mapping[str, Tensor | None]) -> dict[str, OperatorFeature]:
        if len(needed) != 1:
            raise ValueError(f"inputs are of one problem, but features of {', '.join(needed)} are needed")
        ((problem, rows),) = needed.items()
        feature = OperatorFeature(
            self.coefficients(problem, inputs), self.functions(problem, inputs["points"]), inputs.get("factor")
        )
        return {problem: feature if rows is None else feature.index_select(0, rows)}


def task_specs(tasks: Mapping[str, str], descriptions: Mapping[str, Description]) -> TaskSet:
    """The tasks of a model.

    Args:
        tasks: for each task its problem.
        descriptions: by problem.
    """
    return TaskSet(
        TaskSpec(
            name=task,
            kind="operator",
            reads=problem,
            outputs=1,
            labels=(descriptions[problem].solution.name,),
            unit=None if descriptions[problem].solution.unit == "1" else descriptions[problem].solution.unit,
        )
        for task, problem in tasks.items()
    )


def build_model(tasks: TaskSet, config: PdeConfig, descriptions: Mapping[str, Description]) -> MultiHeadModel:
    """A model with random weights, its statistics not yet set."""

    def head(task: TaskSpec) -> nn.Module:
        network = config.network_of(task.reads)
        latent = network.latent if config.shared is None else config.shared.latent
        return InnerProduct() if network.head == "product" else WeightedProduct(latent)

    heads = {task.name: head(task) for task in tasks.values()}
    return MultiHeadModel(OperatorBackbone(config, descriptions), heads, tasks)


def backbone_of(model: MultiHeadModel) -> OperatorBackbone:
    assert isinstance(model.backbone, OperatorBackbone)
    return model.backbone


def freeze_parts(model: MultiHeadModel, problem: str, patterns: Iterable[str]) -> list[str]:
    """Freezes the named parts of a problem's branch and trunk; returns their names.

    Parts are ``branch.conv1``, ..., ``branch.dense1``, ..., ``branch.output``, ``trunk.layer1``, ..., ``trunk.output``.

    Raises:
        ValueError: a pattern that fits no part.
    """
    network = backbone_of(model).network(problem)
    parts = {f"branch.{name}": part for name, part in network.branch.parts().items()}
    parts |= {f"trunk.{name}": part for name, part in network.trunk.parts().items()}
    frozen = []
    for pattern in patterns:
        found = fnmatch.filter(parts, pattern)
        if not found:
            raise ValueError(f"no part of {problem!r} is named {pattern!r}; parts: {', '.join(parts)}")
        frozen += found
    for name in frozen:
        parts[name].requires_grad_(False)
    return list(dict.fromkeys(frozen))


def size(model: MultiHeadModel, *, buffers: bool = False) -> int:
    """Number of parameters of branches, trunks and heads; with `buffers` also the statistics of batch normalisation.

    The published count of the plate's network, 240,880, has these statistics: 238,448 of its numbers are trained.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    if buffers:
        layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
        count += sum(2 * layer.num_features for layer in layers)
    return count
