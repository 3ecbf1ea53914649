"""The linear parts of an operator network by linear algebra: a trunk of POD modes, a last layer by least squares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from domains.pde.learning.dataset import TaskSamples
from domains.pde.networks.model import InnerProduct, WeightedProduct, backbone_of
from polyhead.model import MultiHeadModel

RIDGES = (1e-10, 1e-8, 1e-6, 1e-4)
"""Ridges that a polish tries, as fractions of the largest eigenvalue."""


def pod_modes(fields: np.ndarray, modes: int) -> np.ndarray:
    """(P, k) float64: the leading POD modes of fields (N, P), each times the deviation of its coefficient.

    So the coefficients of the fields in these functions have unit mean square. k is `modes` or, if less, the rank.
    """
    _, values, vectors = np.linalg.svd(np.asarray(fields, dtype=np.float64), full_matrices=False)
    count = min(modes, int((values > 1e-10 * values[0]).sum()))
    return vectors[:count].T * (values[:count] / math.sqrt(len(fields)))


def fit_trunk_to_pod(
    model: MultiHeadModel, problem: str, data: Sequence[TaskSamples], steps: int, *, seed: int, rows: int = 1000
) -> float:
    """Trains the trunk alone to answer the POD modes of the training fields at their points.

    Args:
        data: the tasks of the problem.
        steps: Adam's, at most 2,048 random points in each.
        rows: most fields that the modes are taken of.

    Returns:
        The share of the fields' energy that the fitted functions miss, in [0, 1] up to their misfit.
    """
    backbone = backbone_of(model)
    generator = np.random.default_rng(seed)
    fields, points = [], torch.empty(0)
    for samples in data:
        share = max(1, rows // len(data))
        chosen = generator.permutation(len(samples))[:share]
        inputs, targets = samples.at(chosen, np.arange(samples.data.solution.shape[1]))
        fields.append((targets["field"] * targets["weight"]).numpy())
        points = inputs["points"]
    modes = torch.from_numpy(pod_modes(np.concatenate(fields), backbone.network(problem).config.latent)).float()
    optimiser = torch.optim.Adam(backbone.network(problem).trunk.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    draws = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = torch.randint(len(points), (2048,), generator=draws) if len(points) > 2048 else slice(None)
        answer = backbone.functions(problem, points[batch])[:, : modes.shape[1]]
        loss = (answer - modes[batch]).square().sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        answer = backbone.functions(problem, points)[:, : modes.shape[1]]
        return float((answer - modes).square().sum() / modes.square().sum())


@dataclass(frozen=True)
class Equations:
    """Normal equations of rows of one task and geometry, float64.

    Attributes:
        rows: A (n, J) where the rows are fewer than J / 2, so that a geometry of few samples costs little; else A^T A.
        points: T^T T (p, p).
        right: A^T Z T (J, p).
    """

    rows: Tensor
    points: Tensor
    right: Tensor

    @classmethod
    def of(cls, a: Tensor, points: Tensor, right: Tensor) -> Equations:
        """From A (n, J)."""
        return cls(a if 2 * len(a) < a.shape[1] else a.T @ a, points, right)

    @property
    def gram(self) -> Tensor:
        """A^T A, (J, J)."""
        return self.rows if len(self.rows) == self.rows.shape[1] else self.rows.T @ self.rows

    def image(self, v: Tensor) -> Tensor:
        """A^T A V T^T T, (J, p)."""
        seen = self.rows @ v @ self.points
        return seen if len(self.rows) == self.rows.shape[1] else self.rows.T @ seen


def last_layer_equations(
    model: MultiHeadModel, problem: str, data: Mapping[str, TaskSamples], *, points: int = 2000
) -> list[Equations]:
    """The least squares equations of the last layer of a problem's branch, over the training samples.

    The answer is linear in that layer V: row b at point n is factor · Σ_k (V a_b)_k t_k(n), with a_b what the layer
    reads and a one. Minimised is the sum over samples of the squared relative error at the points inside.

    Args:
        data: the training samples of the problem's tasks.
        points: most random points of a geometry.
    """
    model.eval()
    found = []
    with torch.no_grad():
        for task, samples in data.items():
            found += _groups(model, problem, task, samples, points)
    return found


def solve_last_layer(model: MultiHeadModel, problem: str, equations: Sequence[Equations], *, ridge: float) -> None:
    """Sets the last layer of a problem's branch to the solution of its equations, in float64.

    `ridge` (relative to the largest eigenvalue) times the squared distance from the present layer is added to what is
    minimised. The equations are solved by conjugate gradients, whose preconditioner is their exact inverse where there
    is one geometry.
    """
    output = backbone_of(model).network(problem).branch.output
    assert isinstance(output, nn.Linear)
    with torch.no_grad():
        start = torch.cat([output.weight, output.bias[:, None]], dim=1).double().T
        found = _conjugate_gradients(equations, start, ridge)
        output.weight.copy_(found[:-1].T)
        output.bias.copy_(found[-1])


def _groups(model: MultiHeadModel, problem: str, task: str, samples: TaskSamples, limit: int) -> list[Equations]:
    backbone, head = backbone_of(model), model.head(task)
    network = backbone.network(problem)
    assert isinstance(head, InnerProduct | WeightedProduct)
    found = []
    for rows, inside in samples.by_geometry():
        generator = np.random.default_rng(0)
        chosen = inside if len(inside) <= limit else np.sort(generator.choice(inside, limit, replace=False))
        hidden, answers, trunk = [], [], torch.empty(0)
        for first in range(0, len(rows), 256):
            inputs, targets = samples.at(rows[first : first + 256], chosen)
            if inputs["points"].ndim == 3:
                # Rows of one geometry have the same points, even where the features follow from their parameters.
                inputs["points"] = inputs["points"][0]
            size = (targets["unit"] / math.sqrt(len(chosen)))[None]
            factor = inputs.get("factor", torch.ones(1, len(chosen)))[:1]
            functions = backbone.functions(problem, inputs["points"]).double()
            field = targets["field"].double()
            if isinstance(head, WeightedProduct):
                functions = functions * head.weight
                field = field - head.bias * factor
            trunk = functions * (factor * size).T
            last = network.branch.hidden(inputs).double()
            weight = 1 / targets["norm"].double()[:, None]
            hidden.append(torch.cat([last, torch.ones(len(last), 1)], dim=1) * weight)
            answers.append((field * size * weight) @ trunk)
        a, right = torch.cat(hidden), torch.cat(answers)
        found.append(Equations.of(a, trunk.T @ trunk, a.T @ right))
    return found


def _conjugate_gradients(groups: Sequence[Equations], start: Tensor, ridge: float, iterations: int = 100) -> Tensor:
    """The V (J, p) that solves Σ (A^T A) V (T^T T) + λ (V - start) = Σ A^T Z T."""
    rows = sum((group.gram for group in groups), start=torch.zeros(()))
    points = sum((group.points for group in groups), start=torch.zeros(())) / len(groups)
    row_values, row_vectors = torch.linalg.eigh(rows)
    point_values, point_vectors = torch.linalg.eigh(points)
    damping = ridge * float(row_values[-1] * point_values[-1])
    scale = row_values.clamp(min=0)[:, None] * point_values.clamp(min=0)[None] + damping

    def apply(v: Tensor) -> Tensor:
        return sum((group.image(v) for group in groups), start=damping * v)

    def precondition(v: Tensor) -> Tensor:
        return row_vectors @ ((row_vectors.T @ v @ point_vectors) / scale) @ point_vectors.T

    residual = sum((group.right for group in groups), start=damping * start) - apply(start)
    v, initial = start.clone(), float(residual.norm())
    direction = precondition(residual)
    product = (residual * direction).sum()
    for _ in range(iterations):
        if float(residual.norm()) <= 1e-8 * initial or float(product) <= 0:
            break
        image = apply(direction)
        length = product / (direction * image).sum()
        v = v + length * direction
        residual = residual - length * image
        preconditioned = precondition(residual)
        following = (residual * preconditioned).sum()
        direction = preconditioned + (following / product) * direction
        product = following
    return v
