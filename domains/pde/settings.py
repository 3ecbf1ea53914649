"""The settings of an operator system: plain typed values, saved beside the weights. No heavy import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polyhead.settings import validated
from polyhead.training.settings import TrainConfig

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
        linear_size: side of a coarse image of the input functions that reaches the last layer past the hidden ones, so
            that the part of the answer that is linear in the functions need not be learned by them; None for none.
        gates: copies of that image, each times a share, positive and summing to one, that a softmax layer draws from
            the geometry channels: every geometry gets a linear part of its own. Without such channels there is one.
        output_activation: of the branch's coefficients.
        l2: factor of the sum of squares of the dense kernels, which is added to the loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[int, ...] = ()
    kernel: int = Field(default=5, ge=1)
    downsample: Literal["pool", "stride"] = "pool"
    widths: tuple[int, ...] = (128, 128)
    linear_size: int | None = Field(default=None, ge=2)
    gates: int = Field(default=4, ge=1)
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
        frequencies: sines and cosines of each coordinate c that join the inputs, of (c + 1) j π/2 for j = 1 to this
            number: of functions without them an MLP learns the smooth ones first and the others late (Tancik et al.,
            "Fourier features let networks learn high frequency functions", NeurIPS 2020).
        skip: adds to the output of layer i a linear map of the output of layer i - 2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinates: Literal["unit", "symmetric", "raw"] = "unit"
    features: Literal["none", "distance", "holes"] = "none"
    frequencies: int = Field(default=0, ge=0)
    widths: tuple[int, ...] = (128, 128, 128)
    activation: Activation = "leaky_relu"
    norm: Norm = "none"
    skip: bool = False

    @model_validator(mode="after")
    def _waves_of_coordinates(self) -> TrunkConfig:
        if self.frequencies and self.features == "holes":
            raise ValueError("frequencies are of coordinates, which a trunk with hole features does not see")
        return self


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
        symmetries: train on samples in all positions of the square that leave their geometry in place, one drawn for
            each batch. For equations and functions without a direction of their own, and points on a square's grid;
            data whose problem has not this network's name, or this name and a dash before more, stay as they are.
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
    symmetries: bool = False

    @model_validator(mode="after")
    def _zero_on_the_boundary(self) -> NetworkConfig:
        if self.symmetries and (self.encoding.functions != "global" or not self.branch.channels):
            raise ValueError("symmetries turn images: they need a convolutional branch and encoding.functions=global")
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
        points: random points of a step, of those in the mask of some geometry, or of all for ``mse``; None takes all
            points, inside or not.
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

    def turns(self, problem: str) -> bool:
        """Whether a problem's samples are trained on in all positions that leave their geometry in place."""
        return any(
            network.symmetries and (problem == name or problem.startswith(f"{name}-"))
            for name, network in self.problems.items()
        )

    def network_of(self, problem: str) -> NetworkConfig:
        """The network of a problem: the one of its name, or the only one there is."""
        if problem in self.problems:
            return self.problems[problem]
        if len(self.problems) == 1:
            return next(iter(self.problems.values()))
        raise ValueError(f"preset {self.preset!r} has no network for {problem!r}; it has {', '.join(self.problems)}")


def read_config(values: Mapping[str, Any]) -> PdeConfig:
    """Settings of JSON values; what does not fit is a `ValueError` of one line."""
    return validated(PdeConfig, values)
