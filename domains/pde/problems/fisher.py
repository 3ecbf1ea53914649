"""Reaction-diffusion with three source terms: from initial value and rate to the concentration in space and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.problems.plan import Block, Plan, Solved, draw_split
from domains.pde.solvers.random_fields import gaussian_field
from domains.pde.solvers.reaction_diffusion import solve_reaction_diffusion
from domains.pde.solvers.reactions import SOURCES

SNAPSHOTS, SENSORS = 20, 64
BLOCK = 500
SPLIT = (0.72, 0.08, 0.20)
BETAS = tuple(np.linspace(0.5, 2.0, 10).tolist())
GENERATOR = "polyhead fisher 1"


@dataclass(frozen=True)
class FisherPreset:
    """How one data set is drawn.

    Attributes:
        samples: of each source term, in the order of `SOURCES`.
        horizon: last time, s.
        diffusion: D, m²/s.
        mean: of the Gaussian field of initial values.
        deviation: standard deviation of that field.
        bounded: the field is taken to (0, 1) by the normal distribution function, so that each value is uniform.
        rates: the values of a, 1/s.
        correlation_length: of the squared exponential covariance, m.
        substeps: Strang steps between snapshots.
        refine: computing intervals for each interval of the grid.
    """

    samples: tuple[int, int, int]
    horizon: float
    diffusion: float
    mean: float
    deviation: float
    bounded: bool
    rates: tuple[float, ...]
    correlation_length: float = 0.2
    substeps: int = 2
    refine: int = 4


_PAPER = {
    "horizon": 0.2,
    "diffusion": 1e-3,
    "mean": 5.0,
    "deviation": float(np.sqrt(2.0)),
    "bounded": False,
    "rates": tuple(round(0.1 * k, 6) for k in range(1, 11)),
}
PRESETS: dict[str, FisherPreset] = {
    "paper": FisherPreset(samples=(1000, 1000, 2000), **_PAPER),
    "diffusive": FisherPreset(
        samples=(1000, 1000, 2000),
        horizon=2.0,
        diffusion=1e-2,
        mean=0.0,
        deviation=1.0,
        bounded=True,
        rates=tuple(round(0.5 * k, 6) for k in range(1, 11)),
        substeps=8,
    ),
    "tiny": FisherPreset(samples=(60, 60, 120), **_PAPER),
}


class FisherProblem:
    """Fisher, Newell-Whitehead-Segel and Zeldovich-Frank-Kamenetskii equations with zero flux at both ends.

    u_t = D u_xx + a f(u) on [0, 1] m from time 0 to the horizon, on 20 times and 64 points; tasks ``"fisher/fisher"``,
    ``"fisher/nws"`` and ``"fisher/zfk"``. The setting of ``"paper"`` is inferred from the weights that were published
    with MT-DeepONet (arXiv 2408.02198): the initial values lie far above the equilibrium 1 and come down.
    """

    name: str = "fisher"
    presets: tuple[str, ...] = tuple(PRESETS)

    def plan(self, preset: str, *, seed: int = 0, samples: int | None = None) -> Plan:
        """The data set of a preset; `samples` changes how many samples each task has.

        Rates and betas run through their values in turn, so that every task has as many samples of each; the split is
        drawn in every block of at most 500 samples: 72 % train, 8 % validation, 20 % test.
        """
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}; {self.name} has: {', '.join(self.presets)}")
        if samples is not None and samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        setting = PRESETS[preset]
        counts = setting.samples if samples is None else (samples,) * len(SOURCES)
        blocks, _ = _blocks(counts, seed)
        time = np.linspace(0.0, setting.horizon, SNAPSHOTS)
        place = np.linspace(0.0, 1.0, SENSORS)
        attributes = _attributes(preset, seed, setting)

        return Plan(
            problem=self.name,
            preset=preset,
            seed=seed,
            tasks=tuple(f"{self.name}/{source}" for source in SOURCES),
            coordinates=np.stack(np.meshgrid(time, place, indexing="ij"), axis=-1).reshape(-1, 2),
            axes=(Quantity("t", "s"), Quantity("x", "m")),
            grid_shape=(SNAPSHOTS, SENSORS),
            parameter_names=(Quantity("rate", "1/s"), Quantity("beta")),
            function_names=(Quantity("initial value"),),
            sensor_shape=(SENSORS,),
            solution_name=Quantity("concentration"),
            mask=np.ones((1, SNAPSHOTS * SENSORS), dtype=bool),
            distance=None,
            geometry_names=("interval",),
            blocks=blocks,
            solve=partial(_solve_block, preset, seed, counts),
            attributes=attributes,
        )

    def solve(
        self, task: str, parameters: np.ndarray, functions: np.ndarray, attributes: Mapping[str, Any]
    ) -> np.ndarray:
        """The solver's answer to given inputs.

        Args:
            task: ``"fisher/fisher"``, ``"fisher/nws"`` or ``"fisher/zfk"``.
            parameters: (B, 2), rate and beta.
            functions: (B, 1, 64), initial values.
            attributes: of the data: horizon, diffusion, substeps and refine are used.

        Returns:
            (B, 20·64) float64 at the problem's points.
        """
        parameters, functions = np.asarray(parameters), np.asarray(functions)
        if parameters.shape != (len(functions), 2) or functions.shape[1:] != (1, SENSORS):
            raise ValueError(
                f"{task} needs parameters (B, 2) and initial values (B, 1, {SENSORS}), "
                f"got {parameters.shape} and {functions.shape}"
            )
        solution = solve_reaction_diffusion(
            task.removeprefix(f"{self.name}/"),
            functions[:, 0],
            parameters[:, 0],
            parameters[:, 1],
            horizon=attributes["horizon"],
            snapshots=SNAPSHOTS,
            diffusion=attributes["diffusion"],
            substeps=attributes["substeps"],
            refine=attributes["refine"],
        )
        return solution.reshape(len(solution), -1)


FISHER = FisherProblem()


def _solve_block(preset: str, seed: int, counts: tuple[int, ...], number: int) -> Solved:
    """Draws and solves one block of a plan."""
    setting = PRESETS[preset]
    blocks, first = _blocks(counts, seed)
    block = blocks[number]
    generator = np.random.default_rng([seed, number, 1])
    index = first[number] + np.arange(block.count)
    parameters = np.zeros((block.count, 2))
    parameters[:, 0] = np.take(setting.rates, index % len(setting.rates))
    if SOURCES[block.task] == "zfk":
        parameters[:, 1] = np.take(BETAS, index // len(setting.rates) % len(BETAS))
    functions = _initial_values(setting, block.count, generator).astype(np.float32)[:, None]
    task = f"{FISHER.name}/{SOURCES[block.task]}"
    solution = FISHER.solve(task, parameters, functions, _attributes(preset, seed, setting))
    return Solved(parameters, functions, solution.astype(np.float32))


def _blocks(counts: tuple[int, ...], seed: int) -> tuple[tuple[Block, ...], list[int]]:
    """The blocks of all tasks, and the index of each block's first sample within its task."""
    blocks: list[Block] = []
    first: list[int] = []
    start = 0
    for task, samples in enumerate(counts):
        for offset in range(0, samples, BLOCK):
            count = min(BLOCK, samples - offset)
            split = draw_split(count, SPLIT, np.random.default_rng([seed, len(blocks), 0]))
            blocks.append(Block(start, count, task, split, np.zeros(count, dtype=np.int32)))
            first.append(offset)
            start += count
    return tuple(blocks), first


def _initial_values(setting: FisherPreset, count: int, generator: np.random.Generator) -> np.ndarray:
    """(count, 64) float64: fields that are nowhere negative; those that are, a few in ten thousand, are drawn again."""
    from scipy.special import ndtr

    field = gaussian_field("squared_exponential", (SENSORS,), setting.correlation_length)
    values = setting.mean + setting.deviation * field.draw(count, generator)
    if setting.bounded:
        return ndtr(values)
    while (negative := values.min(axis=1) < 0).any():
        values[negative] = setting.mean + setting.deviation * field.draw(int(negative.sum()), generator)
    return values


def _attributes(preset: str, seed: int, setting: FisherPreset) -> dict[str, Any]:
    constants = {name: value for name, value in asdict(setting).items() if name != "samples"}
    return {
        "preset": preset,
        "seed": seed,
        "generator": GENERATOR,
        "licence": "CC0-1.0",
        "equation": "u_t = D u_xx + a f(u)",
        "sources": {"fisher": "u (1 - u)", "nws": "u (1 - u^2)", "zfk": "u (1 - u) exp(-beta (1 - u))"},
        "boundary": "neumann",
        "initial_value": (
            "normal distribution function of a Gaussian field"
            if setting.bounded
            else "Gaussian field, drawn again where it is negative"
        ),
        "kernel": "squared_exponential",
        "length": 1.0,
        "betas": list(BETAS),
        **constants,
        "rates": list(setting.rates),
    }
