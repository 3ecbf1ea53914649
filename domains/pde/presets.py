"""The MT-DeepONet systems: the published ones, the mended ones, and tiny ones. No heavy import."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

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
from polyhead.schedule import TrainConfig

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


_register(
    PdeConfig(
        preset="mt-deeponet-fisher",
        problems={
            "fisher": NetworkConfig(
                encoding=EncodingConfig(source="taylor"),
                branch=BranchConfig(norm="layer", l2=1e-3),
            )
        },
        # 100,000 steps of 200 rows; the published step mixes the sources by size, this one takes them equally.
        training=TrainConfig(
            epochs=200,
            steps_per_epoch=500,
            batch_size=67,
            tasks_per_step=3,
            learning_rate=1e-3,
            weight_decay=0.0,
            schedule="staircase",
            decay=0.95,
            decay_every=1000,
            validate_every=1,
            snapshot_every=5000,
            seed=42,
        ),
    )
)

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

_DARCY_BRANCH = BranchConfig(channels=(16, 32, 64, 64), activation="tanh", dropout=0.1)

_register(
    PdeConfig(
        preset="mt-deeponet-darcy",
        problems={
            "darcy": NetworkConfig(
                encoding=EncodingConfig(geometry=("mask",)),
                branch=_DARCY_BRANCH,
                trunk=TrunkConfig(coordinates="symmetric", widths=(64, 128, 128, 128)),
                latent=150,
                scale="factor",
                factor=0.1,
                boundary="mask",
            )
        },
        # 30,000 steps of 1,000 rows, the three geometries in equal parts.
        training=TrainConfig(
            epochs=5000,
            steps_per_epoch=6,
            batch_size=334,
            tasks_per_step=3,
            learning_rate=1e-3,
            weight_decay=0.0,
            betas=(0.9, 0.99),
            schedule="pieces",
            pieces=((5001, 0.5), (8001, 0.1)),
            validate_every=50,
            seed=42,
        ),
    )
)

_register(
    PdeConfig(
        preset="mt-deeponet-darcy-plus",
        problems={
            "darcy": NetworkConfig(
                encoding=EncodingConfig(functions="global", image_size=50, geometry=("mask", "distance")),
                branch=BranchConfig(
                    channels=(32, 64, 64, 64), downsample="stride", widths=(256, 256), activation="gelu"
                ),
                trunk=TrunkConfig(
                    coordinates="symmetric", features="distance", widths=(128, 128, 128), activation="gelu"
                ),
                latent=150,
                scale="rms",
                boundary="distance",
                head="linear",
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

_register(
    PdeConfig(
        preset="mt-deeponet-plate",
        problems={
            "plate": NetworkConfig(
                encoding=EncodingConfig(parameters=True),
                branch=BranchConfig(
                    widths=(32, 64, 128, 128),
                    activation="swish",
                    norm="batch",
                    dropout=0.1,
                    output_activation="selu",
                ),
                trunk=TrunkConfig(
                    coordinates="raw",
                    widths=(32, 64, 64, 64, 128, 128, 128, 128, 128),
                    activation="swish",
                    norm="batch",
                    skip=True,
                ),
                latent=200,
                scale="range",
                boundary="none",
                init="normal",
            )
        },
        loss=LossConfig(kind="mse-masked"),
        # The published run changes to Lion for its last 5,000 steps; here Adam's staircase goes on.
        training=TrainConfig(
            epochs=200,
            steps_per_epoch=100,
            batch_size=24,
            learning_rate=1e-3,
            weight_decay=0.0,
            betas=(0.9, 0.95),
            schedule="staircase",
            decay=0.9,
            decay_every=1000,
            snapshot_every=5000,
            seed=42,
        ),
    )
)

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
    values = PRESETS[source].model_dump()
    for name, value in changes.items():
        _set(values, name, value)
    values["preset"] = preset
    values["training"] |= {"warmup_steps": 20, "ema_decay": 0.98, "snapshot_every": 500} | training
    _register(read_config(values))


def resolve(preset: str, overrides: Mapping[str, Any] | None = None) -> PdeConfig:
    """A preset with settings changed; a name is the end of a dotted path that fits once: ``epochs``, ``loss.points``.

    Raises:
        ValueError: unknown preset or setting, a name that fits twice, or a value that does not fit its field.
    """
    values = PRESETS[preset].model_dump()
    for name, value in (overrides or {}).items():
        _set(values, name, value)
    return read_config(values)


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and key != "balancer_options":
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _set(values: dict[str, Any], name: str, value: Any) -> None:
    wanted = tuple(name.split("."))
    leaves = list(_leaves(values))
    homes = [path for path in leaves if path[-len(wanted) :] == wanted]
    homes = [path for path in homes if path == wanted] or homes
    if len(homes) > 1:
        fits = " and ".join(".".join(path) for path in homes)
        raise ValueError(f"the setting {name!r} fits {fits}: name one")
    if not homes:
        known = [".".join(path) for path in leaves]
        near = difflib.get_close_matches(name, known + [path[-1] for path in leaves], n=3, cutoff=0.5)
        raise ValueError(f"unknown setting {name!r}" + (f"; near: {', '.join(dict.fromkeys(near))}" if near else ""))
    for key in homes[0][:-1]:
        values = values[key]
    values[homes[0][-1]] = value


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
