"""The samples of one problem: what the operator is given, where its answer is wanted, and the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

SPLITS = ("train", "validation", "test")
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Quantity:
    """A named physical quantity with its unit; "1" where it has no dimension."""

    name: str
    unit: str = "1"


@dataclass(frozen=True)
class OperatorData:
    """N samples of one problem, with P points that all samples share.

    A sample is given by `parameters` (numbers), `functions` (input functions on a grid of sensors) and its geometry,
    any of which may be empty; its answer is one scalar field at the points. Outside its geometry the field is 0 and
    does not count.

    Attributes:
        problem: ``"fisher"``, ``"darcy"``, ``"plate"``, or the name of imported data.
        tasks: names of the tasks, e.g. ``"darcy/circle"``.
        coordinates: (P, d) float64, the points, in C order of `grid_shape`.
        axes: d quantities that name the coordinates.
        grid_shape: lengths of the d axes of the points' grid, or (P,) for scattered points.
        parameters: (N, m) float64.
        parameter_names: m quantities.
        functions: (N, c, *sensors) float32, c input functions on a grid of sensors.
        function_names: c quantities.
        solution: (N, P) float32, 0 outside the geometry.
        solution_name: what it is.
        task: (N,) int16, index into `tasks`.
        split: (N,) int8, index into `SPLITS`.
        geometry: (N,) int32, index into `mask` and `distance`.
        mask: (G, P) bool, the points inside each geometry.
        distance: (G, P) float32, signed distance to the boundary, positive inside, in the unit of the axes; None where
            there is no boundary to speak of.
        geometry_names: G names.
        attributes: JSON values: equation, constants, seed, preset, generator, licence.
    """

    problem: str
    tasks: tuple[str, ...]
    coordinates: np.ndarray
    axes: tuple[Quantity, ...]
    grid_shape: tuple[int, ...]
    parameters: np.ndarray
    parameter_names: tuple[Quantity, ...]
    functions: np.ndarray
    function_names: tuple[Quantity, ...]
    solution: np.ndarray
    solution_name: Quantity
    task: np.ndarray
    split: np.ndarray
    geometry: np.ndarray
    mask: np.ndarray
    distance: np.ndarray | None = None
    geometry_names: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples, points = self.solution.shape if self.solution.ndim == 2 else (-1, -1)
        geometries = len(self.mask)
        expected = {
            "coordinates": (points, len(self.axes)),
            "parameters": (samples, len(self.parameter_names)),
            "solution": (samples, points),
            "task": (samples,),
            "split": (samples,),
            "geometry": (samples,),
            "mask": (geometries, points),
        }
        if self.distance is not None:
            expected["distance"] = (geometries, points)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{self.problem}: {name} must have shape {shape}, got {getattr(self, name).shape}")
        if self.functions.shape[:2] != (samples, len(self.function_names)):
            raise ValueError(
                f"{self.problem}: functions must have shape ({samples}, {len(self.function_names)}, sensors...), "
                f"got {self.functions.shape}"
            )
        if int(np.prod(self.grid_shape)) != points:
            raise ValueError(f"{self.problem}: the grid {self.grid_shape} has not {points} points")
        if len(self.grid_shape) not in (1, len(self.axes)):
            raise ValueError(f"{self.problem}: a grid of {len(self.axes)} axes cannot have shape {self.grid_shape}")
        if len(self.geometry_names) not in (0, geometries):
            raise ValueError(f"{self.problem}: {len(self.geometry_names)} names for {geometries} geometries")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"{self.problem}: a task is there twice: {', '.join(self.tasks)}")
        for name, bound in (("task", len(self.tasks)), ("split", len(SPLITS)), ("geometry", geometries)):
            values = getattr(self, name)
            if len(values) and not 0 <= values.min() <= values.max() < bound:
                low, high = values.min(), values.max()
                raise ValueError(f"{self.problem}: {name} must lie in [0, {bound}), got {low} to {high}")

    def __len__(self) -> int:
        return len(self.solution)

    def take(self, rows: Sequence[int] | np.ndarray) -> OperatorData:
        """The named samples, in that order; points and geometries stay as they are."""
        rows = np.asarray(rows, dtype=np.intp)
        changed = ("parameters", "functions", "solution", "task", "split", "geometry")
        return replace(self, **{name: getattr(self, name)[rows] for name in changed})

    def rows(self, *, task: str | None = None, split: Split | None = None) -> np.ndarray:
        """Indices of the samples of a task and a split, ascending."""
        wanted = np.ones(len(self), dtype=bool)
        if task is not None:
            if task not in self.tasks:
                raise ValueError(f"unknown task {task!r}; {self.problem} has: {', '.join(self.tasks)}")
            wanted &= self.task == self.tasks.index(task)
        if split is not None:
            wanted &= self.split == SPLITS.index(split)
        return np.flatnonzero(wanted)

    def sample_mask(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(rows), P) bool: where each of the samples counts."""
        return self.mask[self.geometry[np.asarray(rows)]]

    def fingerprint(self) -> str:
        """SHA-256 of all arrays and names: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, np.ndarray):
                digest.update(f"{entry.name}{value.dtype}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            elif entry.name != "attributes":
                digest.update(f"{entry.name}{value}".encode())
        return digest.hexdigest()
