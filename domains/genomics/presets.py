"""The Omni-DNA family, a size for two cores, and a tiny one. No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domains.genomics.settings import GenomicsConfig, PretrainConfig, read_config
from polyhead.registry import Registry
from polyhead.settings import changed
from polyhead.training.settings import MAPPINGS, TrainConfig

__all__ = ["PRESETS", "GenomicsConfig", "read_config", "resolve", "resolve_pretraining"]

PRESETS: Registry[GenomicsConfig] = Registry("preset")

_SIZES = ("20M", "60M", "116M", "300M", "700M", "1B")
"""The published sizes. Their pretraining saw 250 tokens a row; their tuning rows of at most 512."""


def _register(config: GenomicsConfig) -> GenomicsConfig:
    return PRESETS.add(config.preset)(config)


for _size in _SIZES:
    _register(
        GenomicsConfig(
            preset=f"omni-dna-{_size.lower()}",
            model=_size,
            context=512,
            neftune=5.0,
            # What is published of the pretraining is its context; schedule and batch are those of decoders this size.
            pretrain=PretrainConfig(
                context=250,
                training=TrainConfig(
                    epochs=1,
                    batch_size=256,
                    learning_rate=6e-4 if _size in ("20M", "60M", "116M") else 4e-4,
                    min_learning_rate=4e-5,
                    weight_decay=0.1,
                    betas=(0.9, 0.95),
                    warmup_steps=2000,
                    clip_norm=1.0,
                    precision="bf16",
                    snapshot_every=1000,
                    seed=42,
                ),
            ),
            training=TrainConfig(
                epochs=10,
                batch_size=24,
                sampler="proportional",
                learning_rate=5e-5,
                weight_decay=0.0,
                warmup_steps=200,
                clip_norm=1.0,
                precision="bf16",
                snapshot_every=1000,
                seed=42,
            ),
        )
    )

_register(
    GenomicsConfig(
        preset="omni-dna-micro",
        model="micro",
        head="mean",
        context=192,
        pretrain=PretrainConfig(
            context=128,
            bases=800,
            training=TrainConfig(
                epochs=4,
                batch_size=32,
                learning_rate=2e-3,
                min_learning_rate=2e-4,
                weight_decay=0.1,
                betas=(0.9, 0.95),
                warmup_steps=100,
                clip_norm=1.0,
                seed=42,
            ),
        ),
        training=TrainConfig(
            epochs=6,
            batch_size=32,
            sampler="proportional",
            learning_rate=5e-4,
            min_learning_rate=2e-5,
            weight_decay=0.05,
            warmup_steps=100,
            clip_norm=1.0,
            ema_decay=0.998,
            seed=42,
        ),
    )
)

_register(
    GenomicsConfig(
        preset="tiny",
        model="tiny",
        head="mean",
        vocabulary=256,
        context=256,
        text_vocabulary=256,
        pretrain=PretrainConfig(
            context=128,
            bases=400,
            validation_pieces=32,
            training=TrainConfig(
                epochs=5,
                batch_size=16,
                learning_rate=4e-3,
                min_learning_rate=4e-4,
                betas=(0.9, 0.95),
                warmup_steps=10,
                clip_norm=1.0,
                seed=42,
            ),
        ),
        training=TrainConfig(
            epochs=8,
            batch_size=16,
            sampler="proportional",
            learning_rate=2e-3,
            min_learning_rate=1e-4,
            warmup_steps=20,
            validate_every=2,
            clip_norm=1.0,
            ema_decay=0.98,
            seed=42,
        ),
    )
)


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> GenomicsConfig:
    """A preset with settings changed; see `polyhead.settings.changed` for the names.

    A bare name of the schedule, as ``epochs``, is that of the tuning on labelled rows; that of the pretraining is
    ``pretrain.training.epochs``.

    Raises:
        ValueError: unknown preset or setting, a name that fits twice, or a value that does not fit its field.
    """
    return _resolved(preset, overrides or {}, "training")


def resolve_pretraining(preset: str, overrides: Mapping[str, Any] | None = None) -> GenomicsConfig:
    """Like `resolve`, but ``epochs``, ``training.epochs`` and ``context`` are those of the pretraining."""
    return _resolved(preset, overrides or {}, "pretrain.training")


def _resolved(preset: str, overrides: Mapping[str, Any], schedule: str) -> GenomicsConfig:
    own = schedule.startswith("pretrain")
    changes: dict[str, Any] = {}
    for name, value in overrides.items():
        if name in TrainConfig.model_fields:
            changes[f"{schedule}.{name}"] = value
        elif own and (name == "training" or name.startswith("training.") or name in PretrainConfig.model_fields):
            changes[f"pretrain.{name}"] = value
        else:
            changes[name] = value
    return read_config(changed(PRESETS[preset].model_dump(), changes, whole=MAPPINGS))
