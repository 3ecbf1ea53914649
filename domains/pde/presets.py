"""The MT-DeepONet systems as plain settings: the published ones, the mended ones, and tiny ones. No heavy import."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from polyhead.registry import Registry
from polyhead.schedule import TrainConfig

Activation = Literal["relu", "leaky_relu", "swish", "tanh", "gelu"]
Norm = Literal["none", "layer", "batch"]


class EncodingConfig(BaseModel):
    """What the branch is told of a sample.

    Attributes:
        source: of a reaction's source term: its Taylor coefficients of u, u^2, u^3, u^4 (``taylor``, published), its
            values on a grid of u (``samples``, exact where the Taylor label is not), or nothing.
        source_samples: points of that grid, which spans the fields of the training data.
        parameters: whether the sample's numbers are inputs, each scaled to [0, 1] over the training samples.
        functions: normalisation of the input functions: a mean and deviation at every sensor, or one for all sensors.
        image_size: side of the image that a convolutional branch sees, by averaging; None, and where there are fewer
            sensors, keeps them.
        geometry: further channels of a convolutional branch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["none", "taylor", "samples"] = "none"
    source_samples: int = Field(default=32, ge=4)
    parameters: bool = False
    functions: Literal["sensor", "global"] = "sensor"
    image_size: int | None = Field(default=None, ge=8)
    geometry: tuple[Literal["mask", "distance"], ...] = ()


class BranchConfig(BaseModel):
    """The branch: dense layers, after convolutions where `channels` is not empty.

    Attributes:
        channels: output channels of the convolutions, each 5 x 5 (`kernel`) and halving the image, by average pooling
            (``pool``, published) or by its stride (``stride``).
        widths: hidden dense layers.
        output_activation: of the branch's coefficients.
        l2: factor of the sum of squares of the dense kernels, which is added to the loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...] = ()
    kernel: int = Field(default=5, ge=1)
    downsample: Literal["pool", "stride"] = "pool"
    widths: tuple[int, ...] = (128, 128)
    activation: Activation = "leaky_relu"
    norm: Norm = "none"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    output_activation: Literal["none", "selu"] = "none"
    l2: float = Field(default=0.0, ge=0)


class TrunkConfig(BaseModel):
    """The trunk.

    Attributes:
        coordinates: the box of the training points becomes [0, 1] (``unit``) or [-1, 1] (``symmetric``), or stays.
        features: further inputs of a point: its signed distance to the boundary over the longest side of the box, or
            its place among a plate's holes (see `networks.encoding.hole_features`).
        skip: adds to the output of layer i a linear map of the output of layer i - 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinates: Literal["unit", "symmetric", "raw"] = "unit"
    features: Literal["none", "distance", "holes"] = "none"
    widths: tuple[int, ...] = (128, 128, 128)
    activation: Activation = "leaky_relu"
    norm: Norm = "none"
    skip: bool = False


class NetworkConfig(BaseModel):
    """The operator network of one problem.

    Attributes:
        latent: terms of the inner product of branch and trunk.
        scale: how the field is normalised over the training samples: a mean and deviation at every point (``point``), a
            mean at every point and one deviation (``mean-field``), one of both (``global``), least to greatest value of
            the zero-filled array (``range``, published for the plate), the root mean square alone (``rms``), or the
            constant `factor` (``factor``, published for Darcy).
        boundary: what multiplies the answer: nothing, the mask, or tanh(distance / `boundary_width`), which makes it
            zero on the boundary; the width is a fraction of the longest side of the box.
        head: the inner product alone, or with a factor for each of its terms and a constant, both of the task.
        init: Glorot's uniform distribution, or a normal one of deviation 1e-3; biases start at zero.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: EncodingConfig = EncodingConfig()
    branch: BranchConfig = BranchConfig()
    trunk: TrunkConfig = TrunkConfig()
    latent: int = Field(default=300, ge=1)
    scale: Literal["point", "mean-field", "global", "range", "rms", "factor"] = "point"
    factor: float = Field(default=1.0, gt=0)
    boundary: Literal["none", "mask", "distance"] = "none"
    boundary_width: float = Field(default=0.1, gt=0)
    head: Literal["product", "linear"] = "product"
    init: Literal["glorot", "normal"] = "glorot"

    @model_validator(mode="after")
    def _zero_on_the_boundary(self) -> NetworkConfig:
        if self.boundary != "none" and self.scale not in ("rms", "factor"):
            raise ValueError("a factor that vanishes on the boundary needs a scale without offset: rms or factor")
        return self


class SharedConfig(BaseModel):
    """Bodies that the branches, and the trunks, of all problems share; each problem keeps its stems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[int, ...] = (128, 128)
    latent: int = Field(default=128, ge=1)
    activation: Activation = "gelu"


class LossConfig(BaseModel):
    """What is minimised.

    Attributes:
        kind: the mean square over all points of the normalised field (``mse``, published), over the points in the mask
            (``mse-masked``), or the mean over samples of the relative L2 error in the mask (``relative``).
        points: random points of a step, in the mask of some geometry; None takes all points, inside or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mse", "mse-masked", "relative"] = "mse"
    points: int | None = Field(default=None, ge=1)


class PdeConfig(BaseModel):
    """A whole system.

    Attributes:
        problems: the network of each problem by name; data of another name take the only one there is.
        shared: bodies shared between the problems.
        pod_steps: steps in which the trunk is fitted to the leading POD modes of the training fields beforehand.
        polish: after training, solve for the branch's last layer by least squares; kept if the validation gains.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = "mt-deeponet"
    preset: str
    problems: dict[str, NetworkConfig] = Field(min_length=1)
    shared: SharedConfig | None = None
    loss: LossConfig = LossConfig()
    training: TrainConfig = TrainConfig()
    pod_steps: int = Field(default=0, ge=0)
    polish: bool = False

    @model_validator(mode="after")
    def _parts_fit(self) -> PdeConfig:
        linear = all(network.branch.output_activation == "none" for network in self.problems.values())
        if self.polish and (self.shared is not None or not linear):
            raise ValueError(
                "polish solves for a branch's own last layer: without shared bodies or an activation on it"
            )
        plain = all(network.trunk.features == "none" for network in self.problems.values())
        if self.pod_steps and (self.shared is not None or not plain):
            raise ValueError("pod_steps fit a trunk of coordinates alone: without shared bodies or trunk features")
        return self

    def network_of(self, problem: str) -> NetworkConfig:
        """The network of a problem: the one of its name, or the only one there is."""
        if problem in self.problems:
            return self.problems[problem]
        if len(self.problems) == 1:
            return next(iter(self.problems.values()))
        raise ValueError(f"preset {self.preset!r} has no network for {problem!r}; it has {', '.join(self.problems)}")


PRESETS: Registry[PdeConfig] = Registry("preset")


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
            schedule="cosine",
            warmup_steps=200,
            clip_norm=1.0,
            ema_decay=0.998,
            snapshot_every=5000,
            seed=42,
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
            schedule="cosine",
            warmup_steps=200,
            clip_norm=1.0,
            ema_decay=0.998,
            validate_every=5,
            snapshot_every=2000,
            seed=42,
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
            schedule="cosine",
            warmup_steps=100,
            clip_norm=1.0,
            ema_decay=0.995,
            snapshot_every=1000,
            seed=42,
        ),
        polish=True,
    )
)

_register(
    PdeConfig(
        preset="mt-deeponet-joint",
        problems={
            "fisher": NetworkConfig(
                encoding=EncodingConfig(source="samples", parameters=True),
                branch=BranchConfig(widths=(128,), activation="gelu"),
                trunk=TrunkConfig(coordinates="symmetric", widths=(64,), activation="gelu"),
                scale="mean-field",
                head="linear",
            ),
            "darcy": NetworkConfig(
                encoding=EncodingConfig(functions="global", image_size=50, geometry=("mask", "distance")),
                branch=BranchConfig(channels=(32, 64, 64, 64), downsample="stride", widths=(128,), activation="gelu"),
                trunk=TrunkConfig(coordinates="symmetric", features="distance", widths=(64,), activation="gelu"),
                scale="rms",
                boundary="distance",
                head="linear",
            ),
            "plate": NetworkConfig(
                encoding=EncodingConfig(parameters=True),
                branch=BranchConfig(widths=(64,), activation="gelu"),
                trunk=TrunkConfig(coordinates="symmetric", features="holes", widths=(64,), activation="gelu"),
                scale="global",
                head="linear",
            ),
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
            schedule="cosine",
            warmup_steps=200,
            clip_norm=1.0,
            ema_decay=0.998,
            validate_every=5,
            snapshot_every=2000,
            seed=42,
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


def read_config(values: Mapping[str, Any]) -> PdeConfig:
    """Settings of JSON values; what does not fit is a `ValueError` of one line."""
    try:
        return PdeConfig.model_validate(values)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}".lstrip(": ") + f", got {each['input']!r}"[:80]
            for each in error.errors()
        ]
        raise ValueError(f"settings that do not fit: {'; '.join(wrong)}") from error


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
