"""What a baseline is, the registry of baselines, and the inputs that all of them see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domains.pde.data.samples import OperatorData
from polyhead.registry import Registry


class Baseline(Protocol):
    """A model that answers at the points of the data set it was fitted on, and nowhere else."""

    def fit(self, data: OperatorData, rows: NDArray) -> None:
        """Learns from the named rows of `data`, and from no other; points, masks and tasks are taken from `data`."""
        ...

    def predict(self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray) -> NDArray[np.float64]:
        """Fields (n, P) in the unit of the solution, 0 outside each sample's geometry.

        Args:
            parameters: (n, m).
            functions: (n, c, *sensors).
            task: (n,) index into the tasks of the data fitted on.
            geometry: (n,) index into its geometries.

        Raises:
            ValueError: not fitted yet, a wrong shape, or a task that no training row had.
        """
        ...


BASELINES: Registry[Callable[[int], Baseline]] = Registry("baseline")
"""Baselines by name, each made from a seed (which those without chance ignore)."""


def predict_rows(baseline: Baseline, data: OperatorData, rows: NDArray) -> NDArray[np.float64]:
    """What a fitted baseline answers to rows of the data set it was fitted on, or of one with the same points."""
    return baseline.predict(data.parameters[rows], data.functions[rows], data.task[rows], data.geometry[rows])


def require_rows(data: OperatorData, rows: NDArray) -> NDArray[np.intp]:
    """The rows as an array; a `ValueError` where there are fewer than two or one has a solution that is not finite."""
    rows = np.asarray(rows, dtype=np.intp)
    if rows.ndim != 1 or len(rows) < 2:
        raise ValueError(f"{data.problem}: a baseline needs at least two training rows, got {rows.size}")
    broken = ~np.isfinite(data.solution[rows]).all(axis=1)
    if broken.any():
        raise ValueError(f"{data.problem}: the solution of row {rows[np.argmax(broken)]} is not finite")
    return rows


class Inputs:
    """Turns samples into vectors: parameters, functions, task, geometry, each standardised on the training rows.

    The task enters as one value each (1 for the sample's own) where there are several. Geometry enters as its signed
    distance, or mask, at the points, where the training rows have several geometries and no parameters: parameters,
    where there are any, describe the geometry already, as in the plate.

    Args:
        data: the data set.
        rows: training rows.
        per_input: standardise every input by itself; otherwise each group by one mean and deviation.

    Attributes:
        parts: where the groups that there are lie in the vector: parameters, functions, task, geometry.
        size: length of the vector.
    """

    def __init__(self, data: OperatorData, rows: NDArray, *, per_input: bool = True):
        self.tasks = np.unique(data.task[rows])
        self.shapes = data.parameters.shape[1:], data.functions.shape[1:]
        several = len(np.unique(data.geometry[rows])) > 1
        self.geometry: NDArray | None = None
        if several and not data.parameters.shape[1]:
            self.geometry = np.asarray(data.mask if data.distance is None else data.distance, dtype=np.float64)
        groups = self._groups(data.parameters[rows], data.functions[rows], data.task[rows], data.geometry[rows])
        axis = 0 if per_input else None
        self.moments = {name: (group.mean(axis=axis), group.std(axis=axis)) for name, group in groups.items()}
        self.parts: dict[str, slice] = {}
        self.size = 0
        for name, group in groups.items():
            self.parts[name] = slice(self.size, self.size + group.shape[1])
            self.size += group.shape[1]
        if not self.size:
            raise ValueError(f"{data.problem}: the samples have no inputs to learn from")

    def __call__(
        self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray
    ) -> NDArray[np.float64]:
        """(n, size) from what `Baseline.predict` takes; inputs that never change in training are 0."""
        groups = self._groups(parameters, functions, task, geometry)
        columns = []
        for name, group in groups.items():
            mean, std = self.moments[name]
            columns.append(np.where(std > 0, (group - mean) / np.where(std > 0, std, 1), 0))
        return np.concatenate(columns, axis=1)

    def _groups(
        self, parameters: NDArray, functions: NDArray, task: NDArray, geometry: NDArray
    ) -> dict[str, NDArray[np.float64]]:
        check_inputs(self.shapes, self.tasks, parameters, functions, task, geometry)
        groups = {}
        if parameters.shape[1]:
            groups["parameters"] = parameters.astype(np.float64)
        if functions.shape[1]:
            groups["functions"] = functions.reshape(len(functions), -1).astype(np.float64)
        if len(self.tasks) > 1:
            groups["task"] = (task[:, None] == self.tasks).astype(np.float64)
        if self.geometry is not None:
            groups["geometry"] = self.geometry[geometry]
        return groups


def check_inputs(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    tasks: NDArray,
    parameters: NDArray,
    functions: NDArray,
    task: NDArray,
    geometry: NDArray,
) -> None:
    """A `ValueError` where inputs have not the shapes that were fitted, or a task that was not."""
    count = len(task)
    wanted = {
        "parameters": (parameters, (count, *shapes[0])),
        "functions": (functions, (count, *shapes[1])),
        "geometry": (geometry, (count,)),
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    unknown = np.setdiff1d(task, tasks)
    if len(unknown):
        raise ValueError(f"no training row had task number {unknown[0]}; fitted on {', '.join(map(str, tasks))}")
