"""A trained run at work: parameters and input functions in, fields out, in physical units, at any points."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.pde.networks.description import Axis, Description, joined_inputs, joint_values
from domains.pde.networks.input_range import InputRange
from domains.pde.networks.model import OperatorFeature, ProblemNetwork, backbone_of
from domains.pde.settings import PdeConfig
from polyhead.model import MultiHeadModel
from polyhead.runs.run import RunInfo
from polyhead.tasks import TaskSet

TRUNKS_KEPT = 8
"""Sets of points whose trunk answers are kept."""


class Operator:
    """Trained operator networks.

    Attributes:
        tasks: what it answers.
        info: run.json.
        descriptions: of each problem its axes, grid, sensors, units.
        ranges: for each task the training range of every parameter and input function; none for a problem without.
    """

    def __init__(
        self, model: MultiHeadModel, config: PdeConfig, descriptions: Mapping[str, Description], info: RunInfo
    ):
        self.model, self.config, self.descriptions, self.info = model.eval(), config, dict(descriptions), info
        self.tasks: TaskSet = model.tasks
        self.ranges: dict[str, InputRange] = {
            task: description.inputs[task]
            for description in descriptions.values()
            for task in self.tasks
            if task in description.inputs
        }
        self._device = next(model.parameters()).device
        self._trunks: OrderedDict[str, Tensor] = OrderedDict()

    def description(self, task: str) -> Description:
        """The problem of a task; an unknown task is a `ValueError`."""
        return self.descriptions[self.tasks[task].reads]

    def network(self, task: str) -> ProblemNetwork:
        return backbone_of(self.model).network(self.tasks[task].reads)

    def answer(
        self,
        task: str,
        parameters: np.ndarray,
        functions: np.ndarray,
        points: np.ndarray,
        *,
        distance: np.ndarray | None = None,
        sensor_mask: np.ndarray | None = None,
        sensor_distance: np.ndarray | None = None,
        function_axes: Sequence[Axis | np.ndarray] | None = None,
        rows_at_once: int = 256,
    ) -> np.ndarray:
        """The fields of B samples at n points, (B, n) float32 in physical units.

        Input functions, `sensor_mask` and `sensor_distance` may be given on any grid: they are interpolated linearly to
        the network's sensors, a mask by its nearest neighbour, and beyond the given grid they stay constant. Where the
        answer is multiplied by a mask or a factor of the distance it is zero at points with a distance of zero or less.

        Args:
            task: one of `tasks`.
            parameters: (B, m) in their units.
            functions: (B, c, *sensors).
            points: (n, d) in the units of the axes.
            distance: (n,), (1, n) or (B, n) signed distance of the points to the boundary, positive inside.
            sensor_mask: (1 or B, *sensors) whether the sensors lie inside; None takes where their distance is positive.
            sensor_distance: (1 or B, *sensors) signed distance of the sensors.
            function_axes: values of the given sensors' axes; None spreads them evenly over the box of the training.
            rows_at_once: samples answered together.

        Raises:
            ValueError: unknown task, wrong shapes, numbers that are not finite, or a distance that is missing.
        """
        description, network = self.description(task), self.network(task)
        parameters, functions = self._checked_inputs(task, parameters, functions)
        points = _finite("points", np.asarray(points, dtype=np.float64))
        if points.ndim != 2 or points.shape[1] != len(description.axes):
            names = ", ".join(axis.name for axis in description.axes)
            raise ValueError(
                f"{task}: points must have shape (n, {len(description.axes)}) ({names}), got {points.shape}"
            )
        count = len(parameters)
        if distance is not None:
            distance = np.atleast_2d(_finite("distance", np.asarray(distance, dtype=np.float64)))
            if distance.shape[1] != len(points) or len(distance) not in (1, count):
                raise ValueError(
                    f"{task}: distance must have shape (1 or {count}, {len(points)}), got {distance.shape}"
                )
        elif network.needs_distance:
            raise ValueError(f"{task}: this network needs the signed distance of every point to the boundary")

        functions = self._at_sensors(functions, description, function_axes)
        channels = self._channels(task, sensor_mask, sensor_distance, function_axes, count)
        encoded = network.encoding.encode(task, parameters, functions)
        offset, unit = network.scaling.at(points)
        backbone, head = backbone_of(self.model), self.model.head(task)
        answers = np.empty((count, len(points)), dtype=np.float32)
        with torch.no_grad():
            for first in range(0, count, rows_at_once):
                rows = slice(first, min(first + rows_at_once, count))
                inputs = {name: values[rows] for name, values in encoded.items()}
                if channels is not None:
                    mine = channels if len(channels) == 1 else channels[rows]
                    mine = mine.expand(rows.stop - first, -1, -1, -1)
                    inputs["image"] = torch.cat([inputs["image"], mine], dim=1)
                near = distance if distance is None or len(distance) == 1 else distance[rows]
                coefficients = backbone.coefficients(description.problem, inputs)
                functions_here = self._functions(task, points, near, parameters[rows])
                factor = network.factor(near)
                feature = OperatorFeature(
                    coefficients,
                    functions_here,
                    None if factor is None else torch.from_numpy(factor).to(self._device),
                )
                answers[rows] = offset + unit * head(feature).cpu().numpy()
        return answers

    def answer_and_spread(self, *question: Any, **geometry: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """What `answer` says, and how far the members of an ensemble are from each other; None for a single run."""
        return self.answer(*question, **geometry), None

    def out_of_range(self, task: str, parameters: np.ndarray, functions: np.ndarray) -> list[list[str]]:
        """For each sample one line a parameter or input function outside its training range.

        Where each number lies within its range there is one line for a sample whose numbers together are far from those
        of the training: see `Description.joint`.
        """
        parameters, functions = self._checked_inputs(task, parameters, functions)
        if task not in self.ranges:
            return [[] for _ in parameters]
        description = self.description(task)
        found = self.ranges[task].outside(joined_inputs(parameters, functions))
        if task not in description.joint:
            return found
        values = joint_values(parameters, self._at_sensors(functions, description, None))
        together = description.joint[task].outside(values)
        return [lines or far for lines, far in zip(found, together, strict=True)]

    def _checked_inputs(
        self, task: str, parameters: np.ndarray, functions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        description = self.description(task)
        parameters = _finite("parameters", np.asarray(parameters, dtype=np.float64))
        functions = _finite("functions", np.asarray(functions, dtype=np.float32))
        names = ", ".join(quantity.name for quantity in description.parameters) or "none"
        if parameters.ndim != 2 or parameters.shape[1] != len(description.parameters):
            raise ValueError(
                f"{task}: parameters must have shape (B, {len(description.parameters)}) ({names}), "
                f"got {parameters.shape}"
            )
        axes, channels = len(description.sensors), len(description.functions)
        wrong = channels and (functions.ndim != 2 + axes or min(functions.shape[2:], default=2) < 2)
        if functions.shape[:2] != (len(parameters), channels) or wrong:
            raise ValueError(
                f"{task}: functions must have shape ({len(parameters)}, {channels}{', sensors' * axes}), "
                f"got {functions.shape}"
            )
        return parameters, functions

    def _at_sensors(
        self,
        values: np.ndarray,
        description: Description,
        axes: Sequence[Axis | np.ndarray] | None,
        *,
        nearest: bool = False,
    ) -> np.ndarray:
        """(B, c, *given) to (B, c, *sensors)."""
        given = values.shape[2:]
        if not description.sensors or (axes is None and given == description.sensor_shape):
            return values
        if axes is None:
            axes = [np.linspace(axis[0], axis[-1], size) for axis, size in zip(description.sensors, given, strict=True)]
        axes = [np.asarray(axis, dtype=np.float64) for axis in axes]
        if tuple(map(len, axes)) != given:
            raise ValueError(f"function_axes of lengths {[len(axis) for axis in axes]} for a grid of {list(given)}")
        from scipy.interpolate import RegularGridInterpolator

        wanted = np.meshgrid(
            *(np.clip(sensors, axis[0], axis[-1]) for sensors, axis in zip(description.sensors, axes, strict=True)),
            indexing="ij",
        )
        method = "nearest" if nearest else "linear"
        moved = np.moveaxis(values.reshape(-1, *given), 0, -1)
        found = RegularGridInterpolator(axes, moved, method=method)(np.stack(wanted, axis=-1))
        return np.moveaxis(found, -1, 0).reshape(*values.shape[:2], *description.sensor_shape)

    def _channels(
        self,
        task: str,
        mask: np.ndarray | None,
        distance: np.ndarray | None,
        axes: Sequence[Axis | np.ndarray] | None,
        count: int,
    ) -> Tensor | None:
        """(1 or B, k, h, w): what the branch sees of the geometry, None for nothing."""
        network, description = self.network(task), self.description(task)
        if not network.encoding.config.geometry:
            return None
        at_sensors = {}
        for name, values in (("mask", mask), ("distance", distance)):
            if values is None:
                continue
            given = np.asarray(values, dtype=np.float64)
            if given.ndim == len(description.sensors):
                given = given[None]
            if given.ndim != 1 + len(description.sensors) or len(given) not in (1, count):
                raise ValueError(f"{task}: sensor_{name} must have shape (1 or {count}, sensors), got {given.shape}")
            at_sensors[name] = self._at_sensors(given[:, None], description, axes, nearest=name == "mask")[:, 0]
        inside = at_sensors.get("mask")
        if inside is None and "distance" in at_sensors:
            inside = at_sensors["distance"] > 0
        return network.encoding.geometry_image(inside, at_sensors.get("distance"))

    def _functions(self, task: str, points: np.ndarray, distance: np.ndarray | None, parameters: np.ndarray) -> Tensor:
        """The trunk's answer at points, kept for the next call with the same."""
        problem, network = self.tasks[task].reads, self.network(task)
        if network.config.trunk.features == "holes" and len(parameters) > 1 and not np.ptp(parameters, axis=0).any():
            parameters = parameters[:1]
        inputs = network.point_inputs(points, distance, parameters)
        if inputs.ndim == 3 and len(inputs) == 1:
            inputs = inputs[0]
        key = problem + str(inputs.shape) + hashlib.blake2b(inputs.tobytes()).hexdigest()
        if key in self._trunks:
            self._trunks.move_to_end(key)
            return self._trunks[key]
        found = backbone_of(self.model).functions(problem, torch.from_numpy(inputs).to(self._device))
        self._trunks[key] = found
        while len(self._trunks) > TRUNKS_KEPT:
            self._trunks.popitem(last=False)
        return found


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} hold a value that is not finite, at index {tuple(np.argwhere(~np.isfinite(values))[0])}"
        )
    return values
