"""A data set before it is solved: everything about it but the samples, which are made block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from domains.pde.data.samples import SPLITS, Quantity


@dataclass(frozen=True)
class Block:
    """Samples that are drawn and solved together: rows `start` to `start + count` of the data set.

    Attributes:
        task: index of their task.
        split: (count,) int8, index into `SPLITS`.
        geometry: (count,) int32, index of each sample's geometry.
    """

    start: int
    count: int
    task: int
    split: np.ndarray
    geometry: np.ndarray


@dataclass(frozen=True)
class Solved:
    """The samples of a block: parameters (n, m), functions (n, c, *sensors), solution (n, P), as in `OperatorData`."""

    parameters: np.ndarray
    functions: np.ndarray
    solution: np.ndarray


@dataclass(frozen=True)
class Plan:
    """The fields of `OperatorData` that do not depend on a sample, and the blocks that are left to solve.

    Attributes:
        sensor_shape: shape of one input function.
        blocks: together they cover rows 0 to N, in order.
        solve: draws and solves block number i; a function of the plan's seed and i alone.
    """

    problem: str
    preset: str
    seed: int
    tasks: tuple[str, ...]
    coordinates: np.ndarray
    axes: tuple[Quantity, ...]
    grid_shape: tuple[int, ...]
    parameter_names: tuple[Quantity, ...]
    function_names: tuple[Quantity, ...]
    sensor_shape: tuple[int, ...]
    solution_name: Quantity
    mask: np.ndarray
    distance: np.ndarray | None
    geometry_names: tuple[str, ...]
    blocks: tuple[Block, ...]
    solve: Callable[[int], Solved]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(block.count for block in self.blocks)


class Problem(Protocol):
    """A problem that data can be made for.

    Attributes:
        name: ``"fisher"``, ``"darcy"``, ``"plate"``.
        presets: names of its data presets; ``"tiny"`` is one of them.
    """

    name: str
    presets: tuple[str, ...]

    def plan(self, preset: str, *, seed: int = 0, samples: int | None = None) -> Plan:
        """The data set of a preset; `samples` changes how many samples each task has."""
        ...


def draw_split(count: int, fractions: tuple[float, float, float], generator: np.random.Generator) -> np.ndarray:
    """(count,) int8: a random split into train, validation and test with exact numbers, each rounded."""
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise ValueError(f"the fractions of {', '.join(SPLITS)} must sum to 1, got {fractions}")
    edges = np.round(np.cumsum(fractions) * count).astype(int)
    split = np.searchsorted(edges, np.arange(count), side="right").astype(np.int8)
    return generator.permutation(split)
