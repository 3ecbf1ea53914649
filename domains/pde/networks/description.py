"""What an operator must know of the problem that it was trained on, beside its weights: plain values, saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from domains.pde.input_range import InputRange
from domains.pde.samples import OperatorData, Quantity

Axis = tuple[float, ...]


@dataclass(frozen=True)
class Description:
    """A problem without its samples.

    Attributes:
        axes: d quantities that name the coordinates.
        lower, upper: d corners of the box of the training points.
        grid: values of each axis of the training points, empty for scattered points.
        sensors: values of each axis of the input functions' grid, empty without functions.
        inputs: for each task the training range of its inputs: of every parameter, and of the least and the greatest
            value of every input function.
        attributes: of the data.
    """

    problem: str
    axes: tuple[Quantity, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    grid: tuple[Axis, ...]
    points: int
    parameters: tuple[Quantity, ...]
    functions: tuple[Quantity, ...]
    sensors: tuple[Axis, ...]
    solution: Quantity
    inputs: Mapping[str, InputRange] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> float:
        """The longest side of the box; one, where it is a point."""
        return float(np.max(np.subtract(self.upper, self.lower))) or 1.0

    @property
    def sensor_shape(self) -> tuple[int, ...]:
        return tuple(len(axis) for axis in self.sensors)

    @classmethod
    def of(cls, data: OperatorData, tasks: tuple[str, ...]) -> Description:
        """Describes a problem; the ranges are those of its training samples."""
        grid = grid_axes(data.coordinates, data.grid_shape)
        ranges = {
            task: InputRange.of(input_values(data, data.rows(task=task, split="train")), input_names(data))
            for task in tasks
            if data.parameter_names or data.function_names
        }
        return cls(
            problem=data.problem,
            axes=data.axes,
            lower=tuple(map(float, data.coordinates.min(axis=0))),
            upper=tuple(map(float, data.coordinates.max(axis=0))),
            grid=grid,
            points=data.coordinates.shape[0],
            parameters=data.parameter_names,
            functions=data.function_names,
            sensors=_sensor_axes(data, grid),
            solution=data.solution_name,
            inputs=ranges,
            attributes=data.attributes,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Description:
        """The inverse of `to_json`, from what a JSON file gives; anything else is a `ValueError`."""
        try:
            return cls(
                problem=values["problem"],
                axes=_quantities(values["axes"]),
                lower=tuple(values["lower"]),
                upper=tuple(values["upper"]),
                grid=tuple(map(tuple, values["grid"])),
                points=values["points"],
                parameters=_quantities(values["parameters"]),
                functions=_quantities(values["functions"]),
                sensors=tuple(map(tuple, values["sensors"])),
                solution=Quantity(**values["solution"]),
                inputs={
                    task: InputRange(_quantities(entry["names"]), tuple(entry["low"]), tuple(entry["high"]))
                    for task, entry in values["inputs"].items()
                },
                attributes=values["attributes"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the description of a problem is damaged: {type(error).__name__}: {error}") from error


def _quantities(values: Any) -> tuple[Quantity, ...]:
    return tuple(Quantity(**value) for value in values)


def grid_axes(coordinates: np.ndarray, shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """The values of each axis of points (P, d) in C order of `shape`; empty where they are no tensor grid."""
    dimensions = coordinates.shape[1]
    if len(shape) != dimensions:
        return ()
    grid = coordinates.reshape(*shape, dimensions)
    axes = []
    for axis in range(dimensions):
        values = np.moveaxis(grid[..., axis], axis, 0).reshape(shape[axis], -1)
        if np.ptp(values, axis=1).max() > 1e-9 * max(np.ptp(values), 1e-300) or (np.diff(values[:, 0]) <= 0).any():
            return ()
        axes.append(tuple(map(float, values[:, 0])))
    return tuple(axes)


def _sensor_axes(data: OperatorData, grid: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Sensors that are as many as the points of the last axes lie on them; others are evenly spaced in their box."""
    shape = data.functions.shape[2:]
    if not data.function_names:
        return ()
    if grid and shape == data.grid_shape[-len(shape) :]:
        return grid[-len(shape) :]
    if len(shape) > len(data.axes):
        return tuple(tuple(np.linspace(0.0, 1.0, count).tolist()) for count in shape)
    low, high = (corner[-len(shape) :] for corner in (data.coordinates.min(axis=0), data.coordinates.max(axis=0)))
    return tuple(tuple(np.linspace(a, b, n).tolist()) for a, b, n in zip(low, high, shape, strict=True))


def input_names(data: OperatorData | Description) -> tuple[Quantity, ...]:
    """Names of what `input_values` gives."""
    parameters, functions = (
        (data.parameters, data.functions)
        if isinstance(data, Description)
        else (data.parameter_names, data.function_names)
    )
    ends = [Quantity(f"{end} {each.name}", each.unit) for each in functions for end in ("least", "greatest")]
    return (*parameters, *ends)


def input_values(data: OperatorData, rows: np.ndarray) -> np.ndarray:
    """(n, m + 2c) float64: the parameters, and the least and the greatest value of each input function."""
    return joined_inputs(data.parameters[rows], data.functions[rows])


def joined_inputs(parameters: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """(n, m + 2c) float64 of parameters (n, m) and functions (n, c, *sensors)."""
    if not functions.shape[1]:
        return np.asarray(parameters, dtype=np.float64)
    flat = functions.reshape(*functions.shape[:2], -1)
    ends = np.stack([flat.min(axis=2), flat.max(axis=2)], axis=2).reshape(len(flat), -1)
    return np.concatenate([parameters, ends], axis=1).astype(np.float64)
