"""The MH-MTL systems as plain settings: the published one to the letter, the mended one, and a tiny one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from polyhead.registry import Registry
from polyhead.settings import changed, validated
from polyhead.training.settings import MAPPINGS, TrainConfig


class NetworkConfig(BaseModel):
    """The shape of the network and how its outputs become answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = "efficientnet-b4"
    image_size: int = Field(default=256, multiple_of=32, ge=64)
    keep_aspect: bool = False
    pyramid_channels: int = 256
    decoder_channels: int = 128
    decoder_dropout: float = 0.2
    classification_dropout: float = 0.2
    detection: Literal["grid", "center"] = "grid"
    keypoints: Literal["linear", "heatmap"] = "linear"
    upsample_logits: bool = False
    """True: logits are brought to the image's size before argmax; False: argmax first, then nearest neighbour."""


class DataConfig(BaseModel):
    """How labelled rows are split and images varied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation_fraction: float = Field(default=0.2, ge=0, lt=1)
    split_by: Literal["image", "group"] = "image"
    group_pattern: str | None = None
    split_seed: int = 42
    augmentation: Literal["none", "photometric", "geometric"] = "photometric"
    flip: bool = False
    """Mirror images left to right: off, since sides and the order of points can be the answer."""
    cache_megabytes: int = 2048


class UltrasoundConfig(BaseModel):
    """A whole system: network, data, training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = "mh-mtl"
    preset: str = "mh-mtl"
    network: NetworkConfig = NetworkConfig()
    data: DataConfig = DataConfig()
    training: TrainConfig = TrainConfig()
    train_decoder: bool = True
    segmentation_loss: str = "dice"
    detection_loss: str = "grid"
    keypoints_loss: str = "mse"
    head_lr_scale: float = 10.0
    encoder_weights: str | None = None
    """A local file or hub id of ImageNet weights in the lukemelas or smp key layout; None starts at random."""


PRESETS: Registry[UltrasoundConfig] = Registry("preset")

PRESETS.add("mh-mtl")(
    UltrasoundConfig(
        training=TrainConfig(
            epochs=50,
            batch_size=20,
            sampler="uniform",
            learning_rate=1e-4,
            weight_decay=0.01,
            min_learning_rate=1e-6,
            schedule="cosine-epoch",
            warmup_steps=0,
            clip_norm=None,
            ema_decay=None,
            channels_last=True,
            seed=42,
        ),
        # The published training gives the optimiser the encoder and the heads only.
        train_decoder=False,
    )
)

PRESETS.add("mh-mtl-plus")(
    UltrasoundConfig(
        preset="mh-mtl-plus",
        network=NetworkConfig(keep_aspect=True, detection="center", keypoints="heatmap", upsample_logits=True),
        data=DataConfig(augmentation="geometric"),
        training=TrainConfig(
            epochs=50,
            batch_size=20,
            sampler="proportional",
            learning_rate=1e-4,
            weight_decay=0.01,
            min_learning_rate=1e-6,
            schedule="cosine",
            warmup_steps=200,
            clip_norm=1.0,
            ema_decay=0.999,
            channels_last=True,
            seed=42,
        ),
        segmentation_loss="dice-ce",
        detection_loss="center",
        keypoints_loss="heatmap",
    )
)

PRESETS.add("tiny")(
    UltrasoundConfig(
        preset="tiny",
        network=NetworkConfig(
            encoder="residual-tiny",
            image_size=128,
            keep_aspect=True,
            pyramid_channels=64,
            decoder_channels=32,
            decoder_dropout=0.0,
            classification_dropout=0.0,
            detection="center",
            keypoints="heatmap",
            upsample_logits=True,
        ),
        data=DataConfig(augmentation="geometric"),
        training=TrainConfig(
            epochs=45,
            batch_size=16,
            sampler="proportional",
            learning_rate=2e-3,
            weight_decay=0.01,
            min_learning_rate=1e-5,
            schedule="cosine",
            warmup_steps=50,
            validate_every=5,
            clip_norm=1.0,
            ema_decay=0.99,
            channels_last=True,
            seed=42,
        ),
        head_lr_scale=1.0,
        segmentation_loss="dice-ce",
        detection_loss="center",
        keypoints_loss="heatmap",
    )
)


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> UltrasoundConfig:
    """A preset with settings changed; see `polyhead.settings.changed` for the names.

    Raises:
        ValueError: unknown preset or setting, a bare name that fits twice, or a value that does not fit its field.
    """
    return read_config(changed(PRESETS[preset].model_dump(), overrides or {}, whole=MAPPINGS))


def read_config(values: Mapping[str, Any]) -> UltrasoundConfig:
    """Settings of JSON values; what does not fit is a `ValueError` of one line."""
    return validated(UltrasoundConfig, values)
