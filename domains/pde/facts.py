"""What a preset's network is for the data that it is meant for, without any data."""

from __future__ import annotations

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.networks.description import Description
from domains.pde.presets import PRESETS

_TASKS = {
    "fisher": ("fisher/fisher", "fisher/nws", "fisher/zfk"),
    "darcy": ("darcy/square", "darcy/circle", "darcy/triangle"),
    "plate": ("plate",),
}


def usual_description(problem: str) -> Description:
    """The problem as its full-size data preset describes it."""
    ticks = {
        "fisher": (np.linspace(0, 0.2, 20), np.linspace(0, 1, 64)),
        "darcy": (np.linspace(0, 1, 100), np.linspace(0, 1, 100)),
        "plate": (np.linspace(-2, 2, 81), np.linspace(-2, 2, 81), np.linspace(0, 1, 21)),
    }[problem]
    axes = {
        "fisher": (Quantity("t", "s"), Quantity("x", "m")),
        "darcy": (Quantity("y", "m"), Quantity("x", "m")),
        "plate": (Quantity("x", "m"), Quantity("y", "m"), Quantity("z", "m")),
    }[problem]
    grid = tuple(tuple(map(float, axis)) for axis in ticks)
    sensors = {"fisher": grid[1:], "darcy": grid, "plate": ()}[problem]
    functions = {"fisher": (Quantity("initial value"),), "darcy": (Quantity("log conductivity"),), "plate": ()}[problem]
    parameters = {
        "fisher": (Quantity("rate", "1/s"), Quantity("beta")),
        "darcy": (),
        "plate": (Quantity("holes"), Quantity("hole position", "m")),
    }[problem]
    return Description(
        problem=problem,
        axes=axes,
        lower=tuple(axis[0] for axis in grid),
        upper=tuple(axis[-1] for axis in grid),
        grid=grid,
        points=int(np.prod([len(axis) for axis in grid])),
        parameters=parameters,
        functions=functions,
        sensors=sensors,
        solution=Quantity("solution"),
    )


def parameters(preset: str) -> int:
    """Numbers that a preset's training learns, with heads for all tasks of the problems that it is made for."""
    from domains.pde.networks.model import build_model, size, task_specs

    config = PRESETS[preset]
    descriptions = {problem: usual_description(problem) for problem in config.problems}
    tasks = {task: problem for problem in descriptions for task in _TASKS[problem]}
    return size(build_model(task_specs(tasks, descriptions), config, descriptions))
