"""Losses of operator networks, on answers (B, n) and the targets that `dataset.TaskSamples` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from polyhead.registry import Registry

Targets = Mapping[str, Tensor]
"""``"field"`` (B, n) as the network should answer it, ``"weight"`` (1 or B, n) one inside the geometry and zero
outside, ``"unit"`` (n,) or (1,) physical units of one, ``"norm"`` (B,) root mean square of the whole field inside its
geometry in physical units."""

Loss = Callable[[Tensor, Targets], Tensor]

LOSSES: Registry[Loss] = Registry("loss")


@LOSSES.add("mse")
def mean_square(answer: Tensor, targets: Targets) -> Tensor:
    """The mean square over all points, those outside the geometry included, as published for Fisher and Darcy."""
    return (answer - targets["field"]).square().mean()


@LOSSES.add("mse-masked")
def masked_mean_square(answer: Tensor, targets: Targets) -> Tensor:
    """The mean square over the points inside the geometries."""
    weight = targets["weight"].expand_as(answer)
    return (weight * (answer - targets["field"]).square()).sum() / weight.sum().clamp(min=1)


@LOSSES.add("relative")
def relative_l2(answer: Tensor, targets: Targets) -> Tensor:
    """The mean over samples of the relative L2 error: root mean square error at the points inside, over ``norm``."""
    error = (answer - targets["field"]) * targets["unit"]
    weight = targets["weight"].expand_as(answer)
    square = (weight * error.square()).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    # The tiny addend keeps the gradient of the root finite where the answer is exact.
    return ((square + 1e-20).sqrt() / targets["norm"]).mean()


def with_penalty(loss: Loss, kernels: Iterable[Tensor], factor: float) -> Loss:
    """A loss plus `factor` times the sum of squares of the kernels."""
    kept = list(kernels)

    def penalised(answer: Tensor, targets: Targets) -> Tensor:
        return loss(answer, targets) + factor * torch.stack([kernel.square().sum() for kernel in kept]).sum()

    return penalised
