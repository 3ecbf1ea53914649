"""The MT-DeepONet systems: the published ones, the mended ones, and tiny ones. No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domains.pde import published
from domains.pde.settings import (
    BranchConfig,
    EncodingConfig,
    LossConfig,
    NetworkConfig,
    PdeConfig,
    SharedConfig,
    TrunkConfig,
    read_config,
)
from polyhead.registry import Registry
from polyhead.settings import changed
from polyhead.training.settings import MAPPINGS, TrainConfig

__all__ = ["PRESETS", "PdeConfig", "read_config", "resolve"]

PRESETS: Registry[PdeConfig] = Registry("preset")

_PLUS: Mapping[str, Any] = {
    "schedule": "cosine",
    "warmup_steps": 200,
    "clip_norm": 1.0,
    "ema_decay": 0.998,
    "seed": 42,
}
"""What the trainings of all mended presets share, unless they say otherwise."""

_JOINT_TRUNK = (64,)
"""Own trunk layers of each problem in the joint preset; the bodies after them are shared."""


def _register(config: PdeConfig) -> PdeConfig:
    return PRESETS.add(config.preset)(config)


_register(published.FISHER)

_register(
    PdeConfig(
        preset="mt-deeponet-fisher-plus",
        problems={
            "fisher": NetworkConfig(
                encoding=EncodingConfig(source="samples", parameters=True),
                branch=BranchConfig(widths=(256, 256, 256), activation="gelu"),
                trunk=TrunkConfig(activation="gelu", coordinates="symmetric"),
                scale="mean-field",
                latent=128,
                head="linear",
            )
        },
        loss=LossConfig(kind="relative", points=256),
        training=TrainConfig(
            epochs=20,
            steps_per_epoch=500,
            batch_size=67,
            tasks_per_step=3,
            learning_rate=2e-3,
            weight_decay=1e-5,
            snapshot_every=5000,
            **_PLUS,
        ),
        pod_steps=1000,
        polish=True,
    )
)

_register(published.DARCY)

_register(
    PdeConfig(
        preset="mt-deeponet-darcy-plus",
        problems={
            "darcy": NetworkConfig(
                encoding=EncodingConfig(functions="global", image_size=50, geometry=("mask", "distance")),
                branch=BranchConfig(
                    channels=(32, 64, 64, 64),
                    downsample="stride",
                    widths=(256, 256),
                    linear_size=16,
                    activation="gelu",
                ),
                trunk=TrunkConfig(
                    coordinates="symmetric",
                    features="distance",
                    frequencies=8,
                    widths=(128, 128, 128),
                    activation="gelu",
                ),
                latent=150,
                scale="rms",
                boundary="distance",
                head="linear",
                symmetries=True,
            )
        },
        loss=LossConfig(kind="relative", points=1024),
        training=TrainConfig(
            epochs=150,
            batch_size=64,
            sampler="proportional",
            learning_rate=1e-3,
            weight_decay=1e-4,
            validate_every=5,
            snapshot_every=2000,
            **_PLUS,
        ),
        polish=True,
    )
)

_register(published.PLATE)

_register(
    PdeConfig(
        preset="mt-deeponet-plate-plus",
        problems={
            "plate": NetworkConfig(
                encoding=EncodingConfig(parameters=True),
                branch=BranchConfig(widths=(64, 64), activation="gelu"),
                trunk=TrunkConfig(
                    coordinates="symmetric",
                    features="holes",
                    widths=(128, 128, 128, 128),
                    activation="gelu",
                ),
                latent=100,
                scale="global",
            )
        },
        loss=LossConfig(kind="relative", points=512),
        training=TrainConfig(
            epochs=50,
            steps_per_epoch=100,
            batch_size=12,
            learning_rate=3e-3,
            weight_decay=1e-5,
            snapshot_every=1000,
            **{**_PLUS, "warmup_steps": 100, "ema_decay": 0.995},
        ),
        polish=True,
    )
)


def _before_shared_bodies(problem: str, width: int) -> NetworkConfig:
    """The mended network of a problem with one own layer of each kind: the shared bodies do the rest."""
    values = PRESETS[f"mt-deeponet-{problem}-plus"].problems[problem].model_dump(exclude={"latent"})
    values["branch"]["widths"], values["trunk"]["widths"] = (width,), _JOINT_TRUNK
    values["branch"]["linear_size"] = None
    return NetworkConfig.model_validate(values | {"head": "linear"})


_register(
    PdeConfig(
        preset="mt-deeponet-joint",
        problems={
            "fisher": _before_shared_bodies("fisher", 128),
            "darcy": _before_shared_bodies("darcy", 128),
            "plate": _before_shared_bodies("plate", 64),
        },
        shared=SharedConfig(),
        loss=LossConfig(kind="relative", points=512),
        training=TrainConfig(
            epochs=50,
            steps_per_epoch=200,
            batch_size=32,
            tasks_per_step=3,
            learning_rate=1e-3,
            weight_decay=1e-5,
            validate_every=5,
            snapshot_every=2000,
            **_PLUS,
        ),
    )
)


def _tiny(preset: str, source: str, changes: Mapping[str, Any], **training: Any) -> None:
    values = changed(PRESETS[source].model_dump(), {**changes, "preset": preset}, whole=MAPPINGS)
    values["training"] |= {"warmup_steps": 20, "ema_decay": 0.98, "snapshot_every": 500} | training
    _register(read_config(values))


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> PdeConfig:
    """A preset with settings changed; see `polyhead.settings.changed` for the names.

    Raises:
        ValueError: unknown preset or setting, a name that fits twice, or a value that does not fit its field.
    """
    return read_config(changed(PRESETS[preset].model_dump(), overrides or {}, whole=MAPPINGS))


_tiny(
    "tiny-fisher",
    "mt-deeponet-fisher-plus",
    {"branch.widths": (128, 128), "trunk.widths": (64, 64), "latent": 64, "points": 128, "pod_steps": 300},
    epochs=20,
    steps_per_epoch=100,
    batch_size=32,
    validate_every=5,
)
_tiny(
    "tiny-darcy",
    "mt-deeponet-darcy-plus",
    {
        "channels": (16, 32, 32),
        "branch.widths": (128,),
        "trunk.widths": (64, 64),
        "latent": 64,
        "points": 256,
        "image_size": 24,
        "linear_size": 8,
        "frequencies": 4,
    },
    epochs=30,
    steps_per_epoch=50,
    batch_size=32,
    validate_every=10,
)
_tiny(
    "tiny-plate",
    "mt-deeponet-plate-plus",
    {"branch.widths": (32,), "trunk.widths": (64, 64, 64), "latent": 48, "points": 256},
    epochs=15,
    steps_per_epoch=50,
    learning_rate=5e-3,
    validate_every=5,
)
