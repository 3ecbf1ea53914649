"""From physical quantities to the network's numbers: the input of the branch, the points, the field."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.pde.data.samples import OperatorData
from domains.pde.geometry.plate import DISC_RADIUS, HOLE_RADIUS, HUB_RADIUS, THICKNESS
from domains.pde.networks.description import Description
from domains.pde.settings import NetworkConfig
from domains.pde.solvers.reactions import source_term


def taylor_coefficients(source: str, rate: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """(n, 4) float64: the published labels of a source term, the coefficients of u, u², u³ and u⁴.

    Fisher a [1, -1, 0, 0]; Newell-Whitehead-Segel a [1, 0, -1, 0]; Zeldovich-Frank-Kamenetskii
    a exp(-β) [1, β - 1, β (β/2 - 1), -β²/2], which is a u (1 - u) exp(-β) (1 + β u + β² u²/2): its exponential is cut
    after the second order, so that the last coefficient is not Taylor's.
    """
    rate, beta = (np.asarray(values, dtype=np.float64) for values in (rate, beta))
    one, zero = np.ones_like(rate), np.zeros_like(rate)
    if source == "fisher":
        terms = [one, -one, zero, zero]
    elif source == "nws":
        terms = [one, zero, -one, zero]
    elif source == "zfk":
        decay = np.exp(-beta)
        terms = [decay, decay * (beta - 1), decay * beta * (beta / 2 - 1), -decay * beta**2 / 2]
    else:
        raise ValueError(f"unknown source term {source!r}; known: fisher, nws, zfk")
    return rate[:, None] * np.stack(terms, axis=1)


def hole_features(points: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """(B, n, 5) float32: the place of points among the evenly spaced holes of plates, the first at angle 0.

    Distance from the axis, height, distance from the inward edge between hub and disc, cos(holes · angle), and distance
    to the nearest hole's wall, the lengths over a quarter of the disc's radius. They hold all that an axially symmetric
    problem knows of a point: turning by the angle between two holes, and mirroring, changes none of them.

    Args:
        points: (n, 3) x, y, z in m.
        parameters: (B, 2) number of holes and radius of the circle of their centres in m.
    """
    from_axis = np.hypot(points[:, 0], points[:, 1])
    angle = np.arctan2(points[:, 1], points[:, 0])
    holes, position = np.round(parameters[:, 0])[:, None], parameters[:, 1][:, None]
    between = 2 * np.pi / holes
    folded = np.mod(angle + between / 2, between) - between / 2
    wall = np.hypot(from_axis * np.cos(folded) - position, from_axis * np.sin(folded)) - HOLE_RADIUS
    shape = (len(parameters), len(points))
    unit = DISC_RADIUS / 4
    edge = np.hypot(from_axis - HUB_RADIUS, points[:, 2] - THICKNESS)
    columns = [from_axis / unit, points[:, 2] / unit, edge / unit, np.cos(holes * angle), wall / unit]
    return np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1).astype(np.float32)


class InputEncoding(nn.Module):
    """Parameters and input functions to the branch's ``"vector"`` and ``"image"``; its statistics are buffers.

    The vector holds the source term, the parameters, and, for a dense branch, the input functions; a convolutional
    branch has the functions, and mask and signed distance where asked, as channels of an image.
    """

    parameter_low: Tensor
    parameter_span: Tensor
    function_mean: Tensor
    function_deviation: Tensor
    source_grid: Tensor
    source_mean: Tensor
    source_deviation: Tensor

    def __init__(self, network: NetworkConfig, description: Description):
        super().__init__()
        self.config, self.description = network.encoding, description
        self.is_image = bool(network.branch.channels)
        sensors, channels = description.sensor_shape, len(description.functions)
        if self.is_image and len(sensors) != 2:
            raise ValueError(f"{description.problem}: a convolutional branch needs input functions on a plane's grid")
        statistics = (channels, *sensors) if self.config.functions == "sensor" else (channels, *[1] * len(sensors))
        names = [quantity.name for quantity in description.parameters]
        if self.config.source != "none" and not {"rate", "beta"} <= set(names):
            raise ValueError(f"{description.problem}: a source term needs the parameters rate and beta, not {names}")
        grid = self.config.source_samples if self.config.source == "samples" else 0
        sizes = {
            "parameter_low": (len(names),),
            "parameter_span": (len(names),),
            "function_mean": statistics,
            "function_deviation": statistics,
            "source_grid": (grid,),
            "source_mean": (grid,),
            "source_deviation": (grid,),
        }
        for name, shape in sizes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float32))

    @property
    def numbers(self) -> int:
        """Length of the vector."""
        source = {"none": 0, "taylor": 4, "samples": self.config.source_samples}[self.config.source]
        parameters = len(self.description.parameters) if self.config.parameters else 0
        functions = len(self.description.functions) * int(np.prod(self.description.sensor_shape))
        return source + parameters + (0 if self.is_image or not self.description.functions else functions)

    @property
    def image(self) -> tuple[int, int, int] | None:
        """(C, h, w) of the image."""
        if not self.is_image:
            return None
        size = self.config.image_size
        height, width = (min(size or given, given) for given in self.description.sensor_shape)
        return len(self.description.functions) + len(self.config.geometry), height, width

    def fit(self, data: OperatorData, rows: np.ndarray) -> None:
        """Sets the statistics to those of the named samples."""
        parameters = data.parameters[rows]
        if parameters.shape[1]:
            low, high = parameters.min(axis=0), parameters.max(axis=0)
            _set(self.parameter_low, low)
            _set(self.parameter_span, np.where(high > low, high - low, 1.0))
        functions = data.functions[rows].astype(np.float64)
        if functions.shape[1]:
            axes = (0,) if self.config.functions == "sensor" else (0, *range(2, functions.ndim))
            shape = self.function_mean.shape
            _set(self.function_mean, functions.mean(axis=axes).reshape(shape))
            _set(self.function_deviation, _positive(functions.std(axis=axes)).reshape(shape))
        if self.config.source == "samples":
            fields = data.solution[rows]
            low, high = float(fields.min()), float(fields.max())
            _set(self.source_grid, np.linspace(low, high, self.config.source_samples))
            task = data.task[rows]
            values = np.concatenate(
                [self._source_samples(name, parameters[task == index]) for index, name in enumerate(data.tasks)]
            )
            _set(self.source_mean, values.mean(axis=0))
            _set(self.source_deviation, _positive(values.std(axis=0)))

    def encode(self, task: str, parameters: np.ndarray, functions: np.ndarray) -> dict[str, Tensor]:
        """``"vector"`` (B, numbers) and, for a convolutional branch, the functions' part of ``"image"``, float32."""
        parts = []
        if self.config.source == "taylor":
            parts.append(self._tensor(taylor_coefficients(_source_of(task), *self._rate_and_beta(parameters))))
        elif self.config.source == "samples":
            values = self._tensor(self._source_samples(task, parameters))
            parts.append((values - self.source_mean) / self.source_deviation)
        if self.config.parameters:
            parts.append((self._tensor(parameters) - self.parameter_low) / self.parameter_span)
        encoded: dict[str, Tensor] = {}
        if self.description.functions:
            scaled = (self._tensor(functions) - self.function_mean) / self.function_deviation
            if self.is_image:
                encoded["image"] = self._resize(scaled)
            else:
                parts.append(scaled.flatten(1))
        count = len(parameters)
        encoded["vector"] = torch.cat(parts, dim=1) if parts else self._tensor(np.zeros((count, 0)))
        return encoded

    def geometry_image(self, mask: np.ndarray | None, distance: np.ndarray | None) -> Tensor | None:
        """(G, k, h, w) float32: the channels that tell of geometries, None for none.

        Args:
            mask, distance: (G, *sensors), in or out, and signed distance in the unit of the axes.
        """
        channels = []
        for name in self.config.geometry:
            values = mask if name == "mask" else distance
            if values is None:
                raise ValueError(f"{self.description.problem}: this network needs the {name} of the geometry")
            scale = 1.0 if name == "mask" else self.description.length
            channels.append(self._tensor(values) / scale)
        return self._resize(torch.stack(channels, dim=1)) if channels else None

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.parameter_low.device)

    def _resize(self, image: Tensor) -> Tensor:
        size = self.image
        assert size is not None
        return image if image.shape[-2:] == size[1:] else functional.adaptive_avg_pool2d(image, size[1:])

    def _rate_and_beta(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        names = [quantity.name for quantity in self.description.parameters]
        return parameters[:, names.index("rate")], parameters[:, names.index("beta")]

    def _source_samples(self, task: str, parameters: np.ndarray) -> np.ndarray:
        """(n, K) float64: asinh f(u_k); the values of a source with an exponential span many powers of ten."""
        if not len(parameters):
            return np.zeros((0, len(self.source_grid)))
        rate, beta = self._rate_and_beta(parameters)
        grid = self.source_grid.double().cpu().numpy()
        return np.arcsinh(source_term(_source_of(task), grid[None], rate[:, None], beta[:, None]))


def _source_of(task: str) -> str:
    """The source term that a task is named after: ``"fisher/nws"`` is of ``nws``."""
    return task.rpartition("/")[2]


def _positive(deviation: np.ndarray) -> np.ndarray:
    """A deviation to divide by: where nothing varies, one."""
    return np.where(deviation > 1e-12, deviation, 1.0)


def _set(buffer: Tensor, values: np.ndarray) -> None:
    buffer.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))
