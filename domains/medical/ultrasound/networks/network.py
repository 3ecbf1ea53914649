"""MH-MTL: one encoder, a feature pyramid, and a head for each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from domains.medical.ultrasound.networks.encoders import ENCODERS
from domains.medical.ultrasound.networks.fpn import FeaturePyramid
from domains.medical.ultrasound.networks.heads import CenterDetection, GridDetection, HeatmapKeypoints
from domains.medical.ultrasound.presets import NetworkConfig, UltrasoundConfig
from polyhead.heads import DenseLogits, PooledLinear
from polyhead.model import MultiHeadModel
from polyhead.tasks import TaskSet, TaskSpec

LEVELS = "levels"
"""The feature by which inputs unlike the training are told; no head reads it."""


class PyramidBackbone(nn.Module):
    """Images to the features ``"c5"`` (last encoder map, stride 32), ``"fpn"`` (pyramid, stride 4) and ``"levels"``.

    The pyramid runs only for the rows that need it; for ``"levels"`` see `level_means`.
    """

    def __init__(self, encoder: nn.Module, decoder: FeaturePyramid):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor, needed: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        maps = self.encoder(images)
        features: dict[str, Tensor] = {}
        for name, rows in needed.items():
            if name == "c5":
                features[name] = take_rows(maps[-1], rows)
            elif name == "fpn":
                features[name] = self.decoder([take_rows(feature, rows) for feature in maps[-4:]])
            elif name == LEVELS:
                features[name] = take_rows(level_means(maps), rows)
            else:
                raise ValueError(f"this backbone has the features c5, fpn and {LEVELS}, not {name!r}")
        return features


def level_means(maps: Sequence[Tensor]) -> Tensor:
    """Means over space of all channels of the encoder's maps (B, C_k, H_k, W_k): (B, Σ C_k)."""
    return torch.cat([feature.mean(dim=(2, 3)) for feature in maps], dim=1)


def take_rows(feature: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of a feature, without a copy where they are all of it."""
    return feature if rows is None or len(rows) == len(feature) else feature.index_select(0, rows)


def task_specs(
    tasks: Mapping[str, tuple[str, int]],
    config: UltrasoundConfig,
    labels: Mapping[str, Iterable[str]] | None = None,
) -> TaskSet:
    """The tasks of a data set as the network answers them.

    Segmentation and detection read the pyramid, classification the last encoder map, keypoints the last encoder map
    when they are numbers and the pyramid when they are heatmaps.

    Args:
        tasks: for each name its kind and its number of classes or points.
        config: the system.
        labels: names of the classes or points, where they are known.

    Raises:
        ValueError: an unknown kind, or detection of several classes of objects.
    """
    reads = {
        "segmentation": "fpn",
        "detection": "fpn",
        "classification": "c5",
        "keypoints": "fpn" if config.network.keypoints == "heatmap" else "c5",
    }
    for name, (kind, outputs) in tasks.items():
        if kind not in reads:
            raise ValueError(f"task {name!r}: unknown kind {kind!r}; known: {', '.join(reads)}")
        if kind == "detection" and outputs != 1:
            raise ValueError(
                f"task {name!r}: {outputs} classes of objects, but rows name no class; num_classes must be 1"
            )
    named = {name: tuple(values) for name, values in (labels or {}).items()}
    return TaskSet(
        TaskSpec(
            name=name,
            kind=kind,
            reads=reads[kind],
            outputs=outputs,
            labels=named.get(name, ()),
            unit="px" if kind in ("keypoints", "detection") else None,
            lr_scale=config.head_lr_scale,
        )
        for name, (kind, outputs) in tasks.items()
    )


def build_model(tasks: TaskSet, network: NetworkConfig) -> MultiHeadModel:
    """A model with random weights for `tasks`."""
    encoder = ENCODERS[network.encoder]()
    channels = cast(tuple[int, ...], encoder.channels)
    decoder = FeaturePyramid(
        channels[-4:],
        pyramid=network.pyramid_channels,
        outputs=network.decoder_channels,
        dropout=network.decoder_dropout,
    )
    heads = {name: _head(task, network, channels[-1]) for name, task in tasks.items()}
    return MultiHeadModel(PyramidBackbone(encoder, decoder), heads, tasks)


def _head(task: TaskSpec, network: NetworkConfig, last_channels: int) -> nn.Module:
    dense = network.decoder_channels
    if task.kind == "segmentation":
        return DenseLogits(dense, task.outputs, scale=4, align_corners=True)
    if task.kind == "classification":
        return PooledLinear(last_channels, task.outputs, dropout=network.classification_dropout)
    if task.kind == "detection":
        if network.detection == "grid":
            return GridDetection(dense, task.outputs)
        return CenterDetection(dense, task.outputs, width=max(32, dense // 2))
    if task.kind == "keypoints":
        if network.keypoints == "linear":
            return PooledLinear(last_channels, 2 * task.outputs)
        return HeatmapKeypoints(dense, task.outputs, width=max(32, dense // 2))
    raise ValueError(f"task {task.name!r}: no head for the kind {task.kind!r}")
