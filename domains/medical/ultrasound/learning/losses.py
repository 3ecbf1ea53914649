"""Losses of the four kinds of task. Targets are in fractions of the network's input unless said otherwise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from domains.medical.ultrasound.networks.heads import at_least_float32, cell_centres, soft_argmax
from polyhead.registry import Registry

LOSSES: Registry[Callable[[Tensor, Tensor], Tensor]] = Registry("loss")


@LOSSES.add("dice")
def dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Soft Dice over the batch, averaged over all classes, background included; absent classes count zero.

    Args:
        logits: (B, C, H, W).
        mask: (B, H, W) int64 in [0, C).
    """
    probabilities = functional.softmax(at_least_float32(logits), dim=1)
    truth = functional.one_hot(mask, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    overlap = (probabilities * truth).sum(dim=(0, 2, 3))
    sizes = (probabilities + truth).sum(dim=(0, 2, 3))
    per_class = 1 - 2 * overlap / sizes.clamp_min(1e-7)
    return (per_class * (truth.sum(dim=(0, 2, 3)) > 0)).mean()


@LOSSES.add("dice-ce")
def dice_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Dice plus cross-entropy, the usual pair in medical segmentation (Isensee et al. 2021)."""
    return dice_loss(logits, mask) + functional.cross_entropy(at_least_float32(logits), mask)


@LOSSES.add("cross-entropy")
def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (B, C), labels (B,) int64."""
    return functional.cross_entropy(at_least_float32(logits), labels)


@LOSSES.add("mse")
def point_mse(outputs: Tensor, points: Tensor) -> Tensor:
    """Mean squared error of (B, 2N) numbers against points (B, N, 2)."""
    return functional.mse_loss(at_least_float32(outputs), points.flatten(1))


@LOSSES.add("grid")
def grid_detection(raw: Tensor, box: Tensor) -> Tensor:
    """The baseline's detection loss: at the cell of the box's centre, BCE of the score to 1 plus 8 x L1 of the box.

    Args:
        raw: (B, 5, H, W) of `GridDetection`.
        box: (B, 4) as (x_min, y_min, x_max, y_max).
    """
    height, width = raw.shape[-2:]
    column = ((box[:, 0] + box[:, 2]) / 2 * width).long().clamp(0, width - 1)
    row = ((box[:, 1] + box[:, 3]) / 2 * height).long().clamp(0, height - 1)
    cells = at_least_float32(raw)[torch.arange(len(raw), device=raw.device), :, row, column]
    score = functional.binary_cross_entropy_with_logits(cells[:, 4], torch.ones_like(cells[:, 4]))
    return score + 8 * functional.l1_loss(cells[:, :4], box)


@LOSSES.add("center")
def center_detection(raw: Tensor, box: Tensor) -> Tensor:
    """Objects as points (Zhou et al. 2019, eq. 1): penalty-reduced focal loss of the heatmap, L1 of size and offset.

    All cells but the centre are negatives, weighted down by a Gaussian about it whose width follows the box.

    Args:
        raw: (B, 5, H, W) of `CenterDetection` for one class of objects.
        box: (B, 4) as (x_min, y_min, x_max, y_max).
    """
    raw = at_least_float32(raw)
    height, width = raw.shape[-2:]
    scale = torch.tensor([width, height], dtype=raw.dtype, device=raw.device)
    centre = (box[:, :2] + box[:, 2:]) / 2
    size = box[:, 2:] - box[:, :2]
    cell = torch.minimum((centre * scale).long().clamp_min(0), (scale - 1).long())

    x = torch.arange(width, device=raw.device)
    y = torch.arange(height, device=raw.device)
    sigma = (size * scale).amax(dim=1).clamp_min(1) / 6
    squared = (x[None, None, :] - cell[:, 0, None, None]) ** 2 + (y[None, :, None] - cell[:, 1, None, None]) ** 2
    gaussian = torch.exp(-squared / (2 * sigma[:, None, None] ** 2))

    logits = raw[:, 0]
    positive = gaussian == 1
    probability = logits.sigmoid()
    at_centre = functional.logsigmoid(logits) * (1 - probability) ** 2
    elsewhere = functional.logsigmoid(-logits) * probability**2 * (1 - gaussian) ** 4
    heatmap = -torch.where(positive, at_centre, elsewhere).sum(dim=(1, 2)).mean()

    cells = raw[torch.arange(len(raw), device=raw.device), :, cell[:, 1], cell[:, 0]]
    size_error = functional.l1_loss(cells[:, 1:3].sigmoid(), size)
    offset_error = functional.l1_loss(cells[:, 3:5].sigmoid(), centre * scale - cell)
    return heatmap + 10 * size_error + offset_error


@LOSSES.add("heatmap")
def heatmap_keypoints(logits: Tensor, points: Tensor) -> Tensor:
    """Distance of the soft-argmax to the point plus Jensen-Shannon divergence of the heatmap to a Gaussian (DSNT).

    Nibali et al. 2018, equations 7 and 8, with a Gaussian of one and a half cells.

    Args:
        logits: (B, N, H, W).
        points: (B, N, 2) as (x, y); a point outside the input is clamped to its border for the divergence.
    """
    predicted, heat = soft_argmax(logits)
    height, width = logits.shape[-2:]
    inside = points.clamp(0, 1)
    x = (cell_centres(width, heat) - inside[..., 0, None]) * width
    y = (cell_centres(height, heat) - inside[..., 1, None]) * height
    target = functional.softmax((-(y[..., :, None] ** 2 + x[..., None, :] ** 2) / (2 * 1.5**2)).flatten(2), dim=-1)
    heat = heat.flatten(2)
    middle = ((heat + target) / 2).clamp_min(1e-12).log()
    divergence = (
        functional.kl_div(middle, target, reduction="none").sum(-1)
        + functional.kl_div(middle, heat.clamp_min(1e-12), reduction="none").sum(-1)
    ) / 2
    distance = (predicted - points).square().sum(-1).add(1e-12).sqrt()
    return 2 * distance.mean() + divergence.mean()
