"""What an operator must know of the problem that it was trained on, beside its weights: plain values, saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.networks.input_range import InputRange
from polyhead.uncertainty.distance import Mahalanobis

Axis = tuple[float, ...]

ROWS_A_NUMBER = 5
"""Training samples a number of the joint test; with fewer a covariance says little, and there is no such test."""


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
        joint: for each task the distance of `joint_values` from those of its training samples; none for a task with
            few samples, or whose inputs never change.
        geometries: for each task the names of the geometries of its training samples, of a family its name alone.
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
    joint: Mapping[str, Mahalanobis] = field(default_factory=dict)
    geometries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
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
        """Describes a problem; ranges, distances and geometries are those of its training samples."""
        rows = {task: data.rows(task=task, split="train") for task in tasks}
        grid = grid_axes(data.coordinates, data.grid_shape)
        ranges = {
            task: InputRange.of(input_values(data, rows[task]), input_names(data))
            for task in tasks
            if data.parameter_names or data.function_names
        }
        joint = {task: _joint(data, rows[task]) for task in ranges}
        geometries = {
            task: tuple(dict.fromkeys(data.geometry_names[k].partition(":")[0] for k in data.geometry[rows[task]]))
            for task in tasks
            if data.geometry_names
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
            joint={task: distance for task, distance in joint.items() if distance is not None},
            geometries=geometries,
            attributes=data.attributes,
        )

    def to_json(self) -> dict[str, Any]:
        joint = {task: distance.to_json() for task, distance in self.joint.items()}
        return {**asdict(replace(self, joint={})), "joint": joint}

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
                # Runs of earlier versions have neither.
                joint={task: Mahalanobis.from_json(entry) for task, entry in values.get("joint", {}).items()},
                geometries={task: tuple(names) for task, names in values.get("geometries", {}).items()},
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


def joint_values(parameters: np.ndarray, functions: np.ndarray) -> np.ndarray:
    """(n, m + 5c) float64: the parameters, and of each function least, greatest, mean, deviation and roughness.

    Roughness is the root mean square of the steps between neighbouring sensors.
    """
    columns = [joined_inputs(parameters, functions)]
    if functions.shape[1]:
        axes = tuple(range(2, functions.ndim))
        columns += [functions.mean(axis=axes, dtype=np.float64), functions.std(axis=axes, dtype=np.float64)]
        steps = [np.diff(functions, axis=axis) for axis in axes if functions.shape[axis] > 1]
        squares = [np.mean(np.square(step), axis=axes, dtype=np.float64) for step in steps]
        columns.append(np.sqrt(np.sum(squares, axis=0)) if squares else np.zeros(functions.shape[:2]))
    return np.concatenate(columns, axis=1)


def _joint(data: OperatorData, rows: np.ndarray) -> Mahalanobis | None:
    values = joint_values(data.parameters[rows], data.functions[rows])
    if len(rows) < max(2, ROWS_A_NUMBER * values.shape[1]) or not np.ptp(values, axis=0).any():
        return None
    found = Mahalanobis.fit(values)
    return found if np.isfinite(found.threshold) else None
