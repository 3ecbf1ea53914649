"""Raw outputs of the heads to answers in the pixels of each image, batched and on the device."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.networks.heads import soft_argmax
from domains.medical.ultrasound.presets import NetworkConfig
from polyhead.tasks import TaskSpec

PACKED_FROM = 4_000_000
"""Pixels from which a mask is kept packed: the tasks of a large picture together would take more memory than it."""


class _Mask:
    """The attribute `TaskAnswer.mask`: an array when it is asked for, packed in between where it is large."""

    def __get__(self, answer: Any, owner: type | None = None) -> np.ndarray | None:
        if answer is None:
            return None
        kept = vars(answer)["_mask"]
        if not isinstance(kept, tuple):
            return kept
        packed, shape = kept
        return np.frombuffer(zlib.decompress(packed, bufsize=shape[0] * shape[1]), np.uint8).reshape(shape)

    def __set__(self, answer: Any, mask: np.ndarray | None) -> None:
        if mask is None or mask.size < PACKED_FROM:
            vars(answer)["_mask"] = mask
        else:
            vars(answer)["_mask"] = zlib.compress(np.ascontiguousarray(mask).data, 1), mask.shape


@dataclass(frozen=True)
class TaskAnswer:
    """The answer of one task for one image; what the kind does not have is None.

    Attributes:
        kind: kind of the task.
        labels: names of the classes or points.
        mask: (H, W) uint8 class indices at the image's size; of large images unpacked each time it is asked for.
        probabilities: one a class, summing to 1.
        box: (x_min, y_min, x_max, y_max) in pixels of the image.
        score: in [0, 1], how much the best cell looks like an object.
        points: (x, y) in pixels of the image.
        confidence: in [0, 1]; 1 minus the normalised entropy of the answer's distribution, the score for boxes, None
            for answers that carry no distribution. Of classes it is that of calibrated probabilities where the run has
            a temperature; else it ranks answers and is no probability of being right. Less for inputs unlike the
            training; so is `score`. See `uncertainty.trust`.
        measurements: name, value and unit of what is measured on the answer.
        warnings: stable codes of what is to be minded of the measurements.
    """

    kind: str
    labels: tuple[str, ...]
    mask: _Mask = _Mask()
    probabilities: list[float] | None = None
    box: tuple[float, float, float, float] | None = None
    score: float | None = None
    points: list[tuple[float, float]] | None = None
    confidence: float | None = None
    measurements: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answers:
    """The answers for one image.

    Attributes:
        image: (H, W, 3) uint8, as read.
        spacing: mm per pixel (row, column), where the file tells it.
        tasks: one answer a task.
        unanswered: tasks that were asked and that the model does not have.
        warnings: stable codes of what was odd about the image.
        unlikeness: how unlike the training's the image is: above 1 it has the warning ``unlike-training``; None where
            the run does not know.
        unlikeness_percentile: per cent of held-out images that were less unlike.
    """

    image: np.ndarray
    spacing: tuple[float, float] | None
    tasks: dict[str, TaskAnswer]
    unanswered: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unlikeness: float | None = None
    unlikeness_percentile: float | None = None


def decode(raw: Tensor, task: TaskSpec, frames: Sequence[Frame], network: NetworkConfig) -> list[TaskAnswer]:
    """Answers of one task for a batch.

    Args:
        raw: the head's output for `len(frames)` images.
        task: what was asked.
        frames: where each image lies in the input.
        network: how outputs become answers.
    """
    decoders = {
        "segmentation": _masks,
        "classification": _classes,
        "detection": _boxes,
        "keypoints": _points,
    }
    return decoders[task.kind](raw, task, frames, network)


def _masks(raw: Tensor, task: TaskSpec, frames: Sequence[Frame], network: NetworkConfig) -> list[TaskAnswer]:
    raw = raw.float()
    small = raw.argmax(dim=1)
    confidence = _foreground_certainty(raw, small, frames).tolist()
    answers = []
    for index, frame in enumerate(frames):
        size = (frame.height, frame.width)
        if network.upsample_logits:
            mask = _highest(raw[index, :, : frame.inner_height, : frame.inner_width], size)
        else:
            inner = small[index, : frame.inner_height, : frame.inner_width].to(torch.uint8)
            mask = functional.interpolate(inner[None, None], size=size, mode="nearest")[0, 0]
        answers.append(
            TaskAnswer(
                task.kind, task.labels, mask=mask.to(torch.uint8).cpu().numpy(), confidence=round(confidence[index], 4)
            )
        )
    return answers


def _highest(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W) uint8: the class of the highest logit (C, h, w) at each pixel of the image of `size`, the first of equals.

    As the argmax of all logits brought to that size, but only two of them are there at a time: a picture of 64 million
    pixels takes 0.7 GB and not 0.5 GB a class.
    """

    def at_size(index: int) -> Tensor:
        part = logits[index].contiguous()[None, None]
        return functional.interpolate(part, size=size, mode="bilinear", align_corners=False)[0, 0]

    best = at_size(0)
    highest = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for index in range(1, len(logits)):
        other = at_size(index)
        highest.masked_fill_(other > best, index)
        if index + 1 < len(logits):
            torch.maximum(best, other, out=best)
    return highest


def _foreground_certainty(logits: Tensor, labels: Tensor, frames: Sequence[Frame]) -> Tensor:
    """1 minus the normalised entropy, averaged over the pixels of the image that are foreground (over all, if none)."""
    logs = functional.log_softmax(logits, dim=1)
    certainty = 1 + (logs.exp() * logs).sum(dim=1) / math.log(max(2, logits.shape[1]))
    inside = torch.zeros_like(certainty)
    for index, frame in enumerate(frames):
        inside[index, : frame.inner_height, : frame.inner_width] = 1
    weight = inside * (labels > 0)
    empty = weight.sum(dim=(1, 2), keepdim=True) == 0
    weight = torch.where(empty, inside, weight)
    return ((certainty * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))).clamp(0, 1)


def _classes(raw: Tensor, task: TaskSpec, frames: Sequence[Frame], network: NetworkConfig) -> list[TaskAnswer]:
    # On the host: some accelerators have no float64.
    probabilities = functional.softmax(raw.cpu().double(), dim=1)
    entropy = -(probabilities * probabilities.clamp_min(1e-300).log()).sum(dim=1)
    confidence = (1 - entropy / math.log(max(2, raw.shape[1]))).clamp(0, 1).tolist()
    return [
        TaskAnswer(task.kind, task.labels, probabilities=row, confidence=round(sure, 4))
        for row, sure in zip(probabilities.tolist(), confidence, strict=True)
    ]


def _boxes(raw: Tensor, task: TaskSpec, frames: Sequence[Frame], network: NetworkConfig) -> list[TaskAnswer]:
    raw = raw.float()
    height, width = raw.shape[-2:]
    scores = raw[:, 4] if network.detection == "grid" else raw[:, 0]
    best, cell = scores.flatten(1).max(dim=1)
    row, column = cell // width, cell % width
    values = raw[torch.arange(len(raw), device=raw.device), :, row, column]
    if network.detection == "grid":
        boxes = values[:, :4]
    else:
        offset, size = values[:, 3:5].sigmoid(), values[:, 1:3].sigmoid()
        scale = torch.tensor([width, height], device=raw.device)
        centre = (torch.stack([column, row], dim=1) + offset) / scale
        boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    answers = []
    for index, (box, score) in enumerate(zip(boxes.cpu().double().numpy(), best.sigmoid().tolist(), strict=True)):
        frame = frames[index]
        corners = frame.to_image(box.reshape(2, 2))
        if network.detection == "center":
            corners = np.clip(corners, 0, [frame.width, frame.height])
        x_min, y_min, x_max, y_max = corners.reshape(4).tolist()
        answers.append(
            TaskAnswer(
                task.kind,
                task.labels,
                box=(x_min, y_min, x_max, y_max),
                score=round(score, 4),
                confidence=round(score, 4),
            )
        )
    return answers


def _points(raw: Tensor, task: TaskSpec, frames: Sequence[Frame], network: NetworkConfig) -> list[TaskAnswer]:
    confidence: list[float | None] = [None] * len(frames)
    if network.keypoints == "heatmap":
        points, heat = soft_argmax(raw)
        flat = heat.flatten(2)
        entropy = -(flat * flat.clamp_min(1e-30).log()).sum(-1) / math.log(flat.shape[-1])
        confidence = [round(value, 4) for value in (1 - entropy).clamp(0, 1).mean(dim=1).tolist()]
    else:
        points = raw.float().view(len(raw), -1, 2)
    answers = []
    for index, row in enumerate(points.cpu().double().numpy()):
        frame = frames[index]
        pixels = frame.to_image(row)
        if network.keypoints == "heatmap":
            pixels = np.clip(pixels, 0, [frame.width, frame.height])
        answers.append(
            TaskAnswer(
                task.kind, task.labels, points=[(x, y) for x, y in pixels.tolist()], confidence=confidence[index]
            )
        )
    return answers
