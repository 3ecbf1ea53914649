"""What our own solver answers to a question, at the question's points: to compare with, on request."""

from __future__ import annotations

import numpy as np

from domains.pde.asking.outlines import between
from domains.pde.asking.questions import Question
from domains.pde.networks.description import Description

DARCY_NODES, PLATE_CELLS = 100, 96
"""Grids of the solvers where the question's points are none that they could solve on."""


def solve(question: Question, about: Description) -> np.ndarray | None:
    """(n,) float64, 0 outside the geometry; None where no solver knows the problem.

    The solver works on the question's own grid where it can, else on a grid of its own, between whose nodes its field
    is linear.

    Raises:
        ValueError: inputs that the solver refuses.
    """
    if question.task.startswith("fisher/") and "horizon" in about.attributes:
        answer = _fisher(question, about)
    elif about.problem.startswith("darcy") and question.shape is not None:
        answer = _darcy(question, about)
    elif about.problem == "plate":
        answer = _plate(question)
    else:
        return None
    return np.where(question.mask, answer, 0)


def on_sensors(functions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Input functions (c, *grid) on another grid (c, *shape) of the same box, both with nodes on its ends; linear."""
    if functions.shape[1:] == shape:
        return functions
    from scipy.ndimage import map_coordinates

    ticks = [np.linspace(0, old - 1, new) for old, new in zip(functions.shape[1:], shape, strict=True)]
    where = np.meshgrid(*ticks, indexing="ij")
    return np.stack([map_coordinates(each, where, order=1) for each in functions.astype(np.float64)])


def _fisher(question: Question, about: Description) -> np.ndarray:
    from domains.pde.problems.fisher import FISHER

    solved = FISHER.solve(question.task, question.parameters[None], question.functions[None], about.attributes)[0]
    shape = tuple(len(axis) for axis in about.grid)
    mesh = np.meshgrid(*[np.array(axis) for axis in about.grid], indexing="ij")
    grid = np.stack(mesh, axis=-1).reshape(-1, len(shape))
    if question.points.shape == grid.shape and np.allclose(question.points, grid):
        return solved
    return between(solved, grid, shape, question.points)


def _darcy(question: Question, about: Description) -> np.ndarray:
    from domains.pde.solvers.darcy import solve_darcy
    from domains.pde.solvers.embedded import embed, unit_grid

    own = len(question.grid_shape) == 2 and question.grid_shape[0] == question.grid_shape[1]
    nodes = question.grid_shape[0] if own and 16 <= question.grid_shape[0] <= 400 else DARCY_NODES
    y, x = unit_grid(nodes)
    assert question.shape is not None
    embedding = embed(question.shape.distance, y, x)
    logarithm = on_sensors(question.functions, (nodes, nodes))[0]
    head = solve_darcy(embedding, np.exp(logarithm.astype(np.float64)), float(about.attributes.get("source", 1.0)))
    grid = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    if question.points.shape == grid.shape and np.allclose(question.points, grid):
        return head.ravel()
    return between(head.ravel(), grid, (nodes, nodes), question.points)


def _plate(question: Question) -> np.ndarray:
    from domains.pde.geometry.plate import PlateDesign
    from domains.pde.problems.plate import REFINEMENT
    from domains.pde.solvers.plate import plate_axes, solve_plate

    across = question.grid_shape[0] - 1
    own = len(question.grid_shape) == 3 and question.grid_shape == (across + 1, across + 1, across // 4 + 1)
    cells = REFINEMENT * across if own and across % 16 == 0 and across <= PLATE_CELLS else PLATE_CELLS
    design = PlateDesign(round(float(question.parameters[0])), float(question.parameters[1]))
    field = solve_plate(design, cells).temperature
    ticks = plate_axes(cells)
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    return between(field.ravel(), grid, field.shape, question.points)
