"""A plan that is solved at once, or never to its end, for the tests of the writer. Run as a script it makes a file."""

import functools
import sys
import time

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.problems.plan import Block, Plan, Solved, draw_split
from domains.pde.simulator.making import make

SIZES = (3, 2, 4, 3)
POINTS = 12


def solve(number: int, *, seed: int, hold_from: int = 99, fail_at: int = -1, spoil: bool = False) -> Solved:
    """Numbers that depend on the seed and the block alone."""
    if number == fail_at:
        raise KeyboardInterrupt
    if number >= hold_from:
        time.sleep(600)
    generator = np.random.default_rng([seed, number])
    size = SIZES[number]
    solution = generator.normal(size=(size, POINTS)).astype(np.float32)
    if spoil:
        solution[1, 4] = np.nan
    functions = generator.normal(size=(size, 2, 5)).astype(np.float32)
    return Solved(generator.uniform(size=(size, 1)), functions, solution)


def toy_plan(seed: int = 0, **options) -> Plan:
    """12 samples in 4 blocks on a grid of 3 x 4 points, two tasks, two geometries."""
    y, x = np.meshgrid(np.linspace(0, 1, 3), np.linspace(0, 2, 4), indexing="ij")
    generator = np.random.default_rng(seed)
    starts = np.cumsum((0, *SIZES[:-1]))
    blocks = tuple(
        Block(int(start), size, number % 2, draw_split(size, (0.5, 0.2, 0.3), generator), np.full(size, number % 2))
        for number, (start, size) in enumerate(zip(starts, SIZES, strict=True))
    )
    mask = np.ones((2, POINTS), dtype=bool)
    mask[1, :3] = False
    return Plan(
        problem="toy",
        preset="tiny",
        seed=seed,
        tasks=("toy/a", "toy/b"),
        coordinates=np.stack([y, x], axis=-1).reshape(-1, 2),
        axes=(Quantity("y", "m"), Quantity("x", "m")),
        grid_shape=(3, 4),
        parameter_names=(Quantity("rate", "1/s"),),
        function_names=(Quantity("source", "W"), Quantity("log conductivity")),
        sensor_shape=(5,),
        solution_name=Quantity("temperature", "K"),
        mask=mask,
        distance=np.where(mask, 0.5, -0.25).astype(np.float32),
        geometry_names=("whole", "cut"),
        blocks=blocks,
        solve=functools.partial(solve, seed=seed, **options),
        attributes={"equation": "none", "diffusion": 1e-3},
    )


if __name__ == "__main__":
    # As many blocks as processes are solved; the next ones hold until the process is killed.
    make(toy_plan(hold_from=int(sys.argv[2])), sys.argv[1], processes=int(sys.argv[2]))
