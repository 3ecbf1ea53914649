"""Darcy flow with random conductivity in many shapes: the source tasks, and the targets that are kept for transfer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.problems.plan import Block, Plan, Solved, draw_split
from domains.pde.solvers.embedded import Embedding, embed, unit_grid

EQUATION = "-div(K grad h) = f in the geometry, h = 0 on its boundary"
SOURCE = 1.0
KERNEL = "spherical"
LENGTH = 0.25
TERMS = 100
STANDARD_DEVIATION = 0.5

SOURCE_SHAPES = ("square", "circle", "triangle")
MORE_SHAPES = ("star", "ellipse", "annulus", "l_shape", "right_triangle", "notched_triangle")
"""Further sources, of the preset ``shapes``: all targets but the square with a cross, which is left to transfer to."""
TARGET_SHAPES = ("square_with_cross", "l_shape", "annulus", "right_triangle", "notched_triangle", "star", "ellipse")
RANDOM_SHAPES = ("star", "ellipse")
FIELDS_OF_A_SHAPE = 10
BLOCK = 100

Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class Preset:
    """Nodes along each side of the unit square; samples of a task, and how they are split; further shapes."""

    nodes: int
    samples: int
    fractions: Fractions
    more_shapes: tuple[str, ...] = ()


SOURCE_PRESETS = {
    "paper": Preset(100, 2000, (0.85, 0.05, 0.10)),
    "shapes": Preset(100, 1000, (0.85, 0.05, 0.10), MORE_SHAPES),
    "medium": Preset(50, 600, (0.8, 0.1, 0.1)),
    "tiny": Preset(32, 60, (0.6, 0.2, 0.2)),
}
# 100 samples to learn from, as published; the test takes what is left.
TARGET_PRESETS = {
    "paper": Preset(100, 700, (100 / 700, 50 / 700, 550 / 700)),
    "medium": Preset(50, 420, (100 / 420, 20 / 420, 300 / 420)),
    "tiny": Preset(32, 60, (30 / 60, 10 / 60, 20 / 60)),
}


@dataclass(frozen=True)
class Darcy:
    """-div(K grad h) = 1, h = 0 on the boundary, log K a Gaussian field of standard deviation 0.5 on the unit square.

    log K is a Karhunen-Loève expansion of 100 terms of the spherical covariance with a range of 0.25. A task is a shape
    within the unit square. The random shapes (``darcy/star``, ``darcy/ellipse``) change every 10 samples; where there
    is more than one of them, all samples of one are in the same split: those of the test are never seen in training.
    """

    name: str
    shapes: tuple[str, ...]
    settings: dict[str, Preset]

    @property
    def presets(self) -> tuple[str, ...]:
        return tuple(self.settings)

    def plan(self, preset: str, *, seed: int = 0, samples: int | None = None) -> Plan:
        """The data set of a preset; `samples` changes how many samples each task has, in the same proportions.

        Raises:
            ValueError: an unknown preset, a negative seed, or no samples.
        """
        if preset not in self.settings:
            raise ValueError(f"unknown preset {preset!r} of {self.name}; known: {', '.join(self.settings)}")
        chosen = self.settings[preset]
        count = chosen.samples if samples is None else samples
        if count < 1 or seed < 0:
            raise ValueError(f"{self.name} needs at least one sample and a seed >= 0, got {count} and {seed}")
        geometries: list[str] = []
        blocks: list[Block] = []
        recipes: list[tuple[str, int, tuple[str, ...]]] = []
        shapes = (*self.shapes, *chosen.more_shapes)
        for task, shape in enumerate(shapes):
            # A target's shape has other samples where it is a source: none of a test is among them.
            stream = f"{shape}/source" if shape in chosen.more_shapes else shape
            index, names = _geometries(shape, count, _generator(seed, stream, "shapes"))
            split = _split(index, chosen.fractions, _generator(seed, stream, "split"))
            for number, start in enumerate(range(0, count, BLOCK)):
                part = slice(start, min(start + BLOCK, count))
                geometry = (len(geometries) + index[part]).astype(np.int32)
                blocks.append(Block(task * count + start, len(geometry), task, split[part], geometry))
                recipes.append((stream, number, tuple(names[k] for k in index[part])))
            geometries.extend(names)
        y, x = unit_grid(chosen.nodes)
        embeddings = [_embedding(name, chosen.nodes) for name in geometries]
        quantities = (Quantity("y", "m"), Quantity("x", "m"))
        return Plan(
            problem=self.name,
            preset=preset,
            seed=seed,
            tasks=tuple(f"darcy/{shape}" for shape in shapes),
            coordinates=np.stack([axis.ravel() for axis in np.meshgrid(y, x, indexing="ij")], axis=1),
            axes=quantities,
            grid_shape=(chosen.nodes, chosen.nodes),
            parameter_names=(),
            function_names=(Quantity("log conductivity"),),
            sensor_shape=(chosen.nodes, chosen.nodes),
            solution_name=Quantity("hydraulic head", "m"),
            mask=np.stack([embedding.inside.ravel() for embedding in embeddings]),
            distance=np.stack([embedding.distance.ravel() for embedding in embeddings]).astype(np.float32),
            geometry_names=tuple(geometries),
            blocks=tuple(blocks),
            solve=partial(_solve, seed, chosen.nodes, tuple(recipes)),
            attributes={
                "equation": EQUATION,
                "source": SOURCE,
                "log_conductivity": {
                    "unit": "ln(m/s)",
                    "kernel": KERNEL,
                    "range": LENGTH,
                    "terms": TERMS,
                    "standard_deviation": STANDARD_DEVIATION,
                },
                "fields_of_a_random_shape": FIELDS_OF_A_SHAPE,
                "discretisation": "finite volumes, embedded boundary, second order",
                "generator": "polyhead, domains.pde.problems.darcy",
                "licence": "CC0-1.0",
            },
        )


DARCY = Darcy("darcy", SOURCE_SHAPES, SOURCE_PRESETS)
DARCY_TARGET = Darcy("darcy-target", TARGET_SHAPES, TARGET_PRESETS)


def _generator(seed: int, stream: str, purpose: str, number: int = 0) -> np.random.Generator:
    """A stream of its own for each use, so that blocks and tasks do not depend on each other."""
    return np.random.default_rng([seed, zlib.crc32(f"darcy/{stream}/{purpose}".encode()), number])


def _geometries(shape: str, count: int, generator: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """(count,) each sample's geometry, and the geometries' names."""
    if shape not in RANDOM_SHAPES:
        return np.zeros(count, dtype=np.int64), [shape]
    index = np.arange(count) // FIELDS_OF_A_SHAPE
    seeds = generator.permutation(2**16)[: index[-1] + 1]
    return index, [f"{shape}:{member}" for member in seeds]


def _split(index: np.ndarray, fractions: Fractions, generator: np.random.Generator) -> np.ndarray:
    """(count,) int8: samples are split one by one, or, where there are several geometries, by geometry."""
    if index[-1] == 0:
        return draw_split(len(index), fractions, generator)
    return draw_split(int(index[-1]) + 1, fractions, generator)[index]


# A block of random shapes has ten of them; the plan itself goes through all of them once.
@lru_cache(maxsize=16)
def _embedding(geometry: str, nodes: int) -> Embedding:
    from domains.pde.geometry.shapes import shape

    return embed(shape(geometry).distance, *unit_grid(nodes))


def _solve(seed: int, nodes: int, recipes: tuple[tuple[str, int, tuple[str, ...]], ...], block: int) -> Solved:
    """Draws the fields of a block and solves them."""
    from threadpoolctl import threadpool_limits

    # Matrices this narrow gain nothing from a second thread, and blocks are solved in several processes.
    with threadpool_limits(1):
        return _draw_and_solve(seed, nodes, *recipes[block])


def _draw_and_solve(seed: int, nodes: int, stream: str, number: int, geometries: tuple[str, ...]) -> Solved:
    from domains.pde.solvers.darcy import solve_darcy
    from domains.pde.solvers.random_fields import gaussian_field

    field = gaussian_field(KERNEL, (nodes, nodes), LENGTH, terms=TERMS)
    drawn = STANDARD_DEVIATION * field.draw(len(geometries), _generator(seed, stream, "fields", number))
    # What is stored is what is solved: log K is rounded before K is taken from it.
    logarithm = drawn.astype(np.float32)
    conductivity = np.exp(logarithm.astype(np.float64))
    solution = np.empty((len(geometries), nodes * nodes), dtype=np.float32)
    for name in dict.fromkeys(geometries):
        rows = [row for row, geometry in enumerate(geometries) if geometry == name]
        solution[rows] = solve_darcy(_embedding(name, nodes), conductivity[rows], SOURCE).reshape(len(rows), -1)
    return Solved(np.zeros((len(geometries), 0)), logarithm[:, None], solution)
