"""The PDE solvers against closed forms, independent integrations and finer grids; seconds a sample.

    python -m benchmarks.pde_solvers

The tables of `docs/pde.md` are these. Everything is computed in float64 and without random numbers but for the random
fields, whose seeds are fixed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import pde_closed_forms as exact
from benchmarks.results import table, write_section
from domains.pde.geometry.plate import PlateDesign, plate_distance
from domains.pde.geometry.shapes import shape
from domains.pde.problems.darcy import KERNEL, LENGTH, SOURCE_SHAPES, STANDARD_DEVIATION, TARGET_SHAPES, TERMS
from domains.pde.problems.fisher import FISHER, PRESETS
from domains.pde.solvers.darcy import solve_darcy
from domains.pde.solvers.embedded import DIRECTIONS, Embedding, embed, unit_grid
from domains.pde.solvers.plan_view import PlanView, perforated_disc
from domains.pde.solvers.plate import plate_axes, solve_plate, steady_heat
from domains.pde.solvers.random_fields import gaussian_field
from domains.pde.solvers.reaction_diffusion import solve_reaction_diffusion
from domains.pde.solvers.reactions import SOURCES, source_term

NODES = (26, 50, 100)
REPEATS = 5
DESIGNS = (PlateDesign(2, 1.6), PlateDesign(4, 0.9), PlateDesign(6, 1.2), PlateDesign(7, 1.4), PlateDesign(9, 0.9))


def main() -> None:
    accuracy = [reaction_diffusion(), darcy(), plate()]
    # As the data are made: matrices this narrow gain nothing from a second thread.
    with threadpool_limits(1):
        write_section("PDE solvers", "\n\n".join([*accuracy, seconds()]))


def relative(answer: np.ndarray, truth: np.ndarray, inside: np.ndarray | None = None) -> float:
    """Relative L2 difference over the nodes inside."""
    where = np.ones(truth.shape, dtype=bool) if inside is None else inside
    return float(np.linalg.norm((answer - truth)[where]) / np.linalg.norm(truth[where]))


def with_orders(label: str, errors: Sequence[float], steps: Sequence[float]) -> list[str]:
    """A row: errors over falling steps, and the observed order between each two."""
    orders = np.diff(np.log(errors)) / np.diff(np.log(steps))
    return [label, *(f"{error:.1e}" for error in errors), ", ".join(f"{order:.2f}" for order in orders)]


def waves(points: int = 65) -> np.ndarray:
    """(3, points) smooth initial values in [0.1, 2] with zero slope at both ends."""
    x = np.linspace(0, 1, points)
    return 0.1 + 0.95 * (1 + np.stack([np.cos(np.pi * k * x) for k in (1, 2, 3)]))


def reaction_diffusion() -> str:
    rows = [splitting(source) for source in SOURCES]
    parts = [
        "**Reaction-diffusion.** Greatest error at t = 1 s (values in [0.1, 2], D = 0.05 m²/s, a = 1 /s, β = 1).",
        table(["Strang splitting, steps", "16", "32", "64", "observed order"], rows),
    ]
    lengths = (0.5, 0.25, 0.125)
    errors = []
    for points in (201, 401, 801):
        x = np.linspace(-40, 60, points)
        start = exact.travelling_wave(x, 0)[None]
        answer = solve_reaction_diffusion(
            "fisher", start, 1.0, horizon=5.0, snapshots=2, diffusion=1.0, length=100.0, substeps=points
        )
        errors.append(float(np.abs(answer[0, -1] - exact.travelling_wave(x, 5.0)).max()))
    row = with_orders("Ablowitz and Zeppetella, t = 5", errors, lengths)
    parts.append(table(["travelling wave, node spacing", *map(str, lengths), "observed order"], [row]))
    start, middle = waves(), np.full(65, 1 / 64)
    middle[[0, -1]] /= 2
    still = solve_reaction_diffusion("fisher", start, 0.0, horizon=3.0, snapshots=4, diffusion=0.01)
    mass = still @ middle
    drift = float(np.abs(mass / mass[:, :1] - 1).max())
    rows = [[f"fisher/{source}", f"{lines(source):.1e}", *own_error(source)] for source in SOURCES]
    parts.append(
        table(["task", "difference from the method of lines (Radau)", "preset paper", "preset diffusive"], rows)
    )
    parts.append(
        "The two last columns are what the data themselves are off: relative L2, mean and greatest of 20 samples, "
        "against four times the steps on four times the nodes. Mass under diffusion alone drifts by "
        f"{drift:.0e} of itself."
    )
    return "\n\n".join(parts)


def splitting(source: str) -> list[str]:
    def end(substeps: int) -> np.ndarray:
        return solve_reaction_diffusion(
            source, waves(), 1.0, 1.0, horizon=1.0, snapshots=2, diffusion=0.05, substeps=substeps
        )[:, -1]

    counts = (16, 32, 64)
    fine = end(1024)
    errors = [float(np.abs(end(count) - fine).max()) for count in counts]
    return with_orders(f"fisher/{source}", errors, [1 / count for count in counts])


def lines(source: str) -> float:
    """Greatest difference from an implicit integration of the same nodes' ordinary differential equations."""
    from scipy.integrate import solve_ivp

    start, spacing = waves(33)[:1], 1 / 32
    laplacian = (-2 * np.eye(33) + np.eye(33, k=1) + np.eye(33, k=-1)) / spacing**2
    laplacian[0, 1] = laplacian[-1, -2] = 2 / spacing**2
    answer = solve_reaction_diffusion(source, start, 1.0, 1.0, horizon=1.0, snapshots=2, diffusion=0.05, substeps=512)
    other = solve_ivp(
        lambda t, u: 0.05 * laplacian @ u + source_term(source, u, 1.0, 1.0),
        (0, 1),
        start[0],
        method="Radau",
        rtol=1e-9,
        atol=1e-11,
    )
    return float(np.abs(answer[0, -1] - other.y[:, -1]).max())


def own_error(source: str) -> list[str]:
    """Samples of each preset as the data hold them, against finer steps and nodes."""
    found = []
    for preset in ("paper", "diffusive"):
        plan = FISHER.plan(preset, samples=20)
        solved = plan.solve(SOURCES.index(source))
        setting = PRESETS[preset]
        finer = plan.attributes | {"substeps": 4 * setting.substeps, "refine": 4 * setting.refine}
        given = (f"fisher/{source}", solved.parameters, solved.functions)
        answer, truth = (FISHER.solve(*given, attributes) for attributes in (plan.attributes, finer))
        errors = np.linalg.norm(answer - truth, axis=1) / np.linalg.norm(truth, axis=1)
        found.append(f"{errors.mean():.1e}, {errors.max():.1e}")
    return found


def on_grid(name: str, nodes: int) -> tuple[Embedding, np.ndarray, np.ndarray]:
    """A shape on the unit square's grid, and the nodes' x and y."""
    axes = unit_grid(nodes)
    y, x = np.meshgrid(*axes, indexing="ij")
    return embed(shape(name).distance, *axes), x, y


def staircase(embedding: Embedding) -> Embedding:
    """The same nodes with whole links: what a 0/1 mask alone knows of the boundary."""
    return replace(embedding, fraction=np.ones_like(embedding.fraction))


def darcy() -> str:
    steps = [1 / (nodes - 1) for nodes in NODES]
    rows, manufactured = [], []
    closed = {
        "circle": exact.torsion_circle,
        "triangle": exact.torsion_triangle,
        "annulus": exact.torsion_annulus,
    }
    for name, form in closed.items():
        errors, stairs = [], 0.0
        for nodes in NODES:
            embedding, x, y = on_grid(name, nodes)
            errors.append(relative(solve_darcy(embedding, np.ones_like(x)), form(x, y), embedding.inside))
            stairs = relative(solve_darcy(staircase(embedding), np.ones_like(x)), form(x, y), embedding.inside)
        rows.append([*with_orders(name, errors, steps), f"{stairs:.1e}", f"{stairs / errors[-1]:.0f}"])
    for name in ("square", "circle", "triangle", "annulus", "l_shape"):
        errors = []
        for nodes in NODES:
            embedding, x, y = on_grid(name, nodes)
            ends = [
                (x + dx * embedding.spacing[1] * part, y + dy * embedding.spacing[0] * part)
                for (dy, dx), part in zip(DIRECTIONS, embedding.fraction, strict=True)
            ]
            head = np.stack([exact.manufactured_head(*place) for place in ends])
            answer = solve_darcy(embedding, exact.smooth_conductivity(x, y), exact.manufactured_source(x, y), head)
            errors.append(relative(answer, exact.manufactured_head(x, y), embedding.inside))
        manufactured.append(with_orders(name, errors, steps))
    heading = [f"{nodes} nodes" for nodes in NODES]
    names = (*SOURCE_SHAPES, *(f"{name}:0" if name in ("star", "ellipse") else name for name in TARGET_SHAPES))
    return "\n\n".join(
        [
            "**Darcy flow.** Relative L2 error inside the geometry.",
            table(["K = 1, closed form", *heading, "observed order", "staircase at 100", "times as much"], rows),
            table(["smooth K, manufactured solution", *heading, "observed order"], manufactured),
            table(
                ["K as in the data", "32 nodes", "50 nodes", "100 nodes", "staircase at 100"],
                [finer(name) for name in names],
            ),
            "The staircase has the same nodes and equations, and knows of the boundary only which nodes lie inside; "
            "square and right triangle end on nodes. In the last table one random field a grid is held against about "
            "300 nodes, where a bicubic spline of log K gives its values.",
        ]
    )


def finer(name: str) -> list[str]:
    """A shape on the grids of the data presets against grids that hold their nodes among about three hundred."""
    errors = [coarse_error(name, nodes, fine) for nodes, fine in ((32, 280), (50, 295), (100, 298))]
    return [name, *(f"{error:.1e}" for error, _ in errors), f"{errors[-1][1]:.1e}"]


def coarse_error(name: str, nodes: int, fine_nodes: int) -> tuple[float, float]:
    """Relative L2 error of the embedded boundary and of the staircase."""
    from scipy.interpolate import RectBivariateSpline

    coarse, fine = on_grid(name, nodes)[0], on_grid(name, fine_nodes)[0]
    step = (fine_nodes - 1) // (nodes - 1)
    field = gaussian_field(KERNEL, (nodes, nodes), LENGTH, terms=TERMS)
    logarithm = STANDARD_DEVIATION * field.draw(1, np.random.default_rng(0))[0]
    smooth = RectBivariateSpline(coarse.y, coarse.x, logarithm)
    truth = solve_darcy(fine, np.exp(smooth(fine.y, fine.x)))[::step, ::step]
    answers = [solve_darcy(each, np.exp(logarithm)) for each in (coarse, staircase(coarse))]
    return relative(answers[0], truth, coarse.inside), relative(answers[1], truth, coarse.inside)


def plate() -> str:
    counts = (16, 32, 64)
    forms: list[tuple[str, float, Callable[[np.ndarray], np.ndarray]]] = [
        ("cylinder, losing heat on its wall", 0.0, lambda points: exact.cylinder(points, 0.75, 1.5)),
        ("cylinder with a bore", 0.33, lambda points: exact.tube(points, 0.33, 0.75, 1.5)),
    ]
    rows = []
    for label, bore, form in forms:
        errors = [series_error(cells, bore, form) for cells in counts]
        rows.append(with_orders(label, errors, [1 / cells for cells in counts]))
    imbalance = max(abs(heat.heat_in / heat.heat_out - 1) for heat in (solve_plate(each, 64) for each in DESIGNS))
    return "\n\n".join(
        [
            "**Heated plate.** Relative L2 error in the solid below the heated top.",
            table(["Bessel series, cells across", *map(str, counts), "observed order"], rows),
            f"A slab with heat loss on one side is exact to {slab():.0e}. Heat that enters differs from heat that "
            f"leaves by {imbalance:.0e} of itself at most, over {len(DESIGNS)} designs.",
            grid_study(),
        ]
    )


def series_error(cells: int, bore: float, form: Callable[[np.ndarray], np.ndarray]) -> float:
    across = np.linspace(-0.8, 0.8, cells + 1)
    axes = across, across, np.linspace(0, 1, cells + 1)
    holes = np.zeros((int(bore > 0), 2))
    section = perforated_disc(across, across, radius=0.75, holes=holes, hole_radius=bore)
    heat = steady_heat([section] * cells, axes, heat_transfer=1.5)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    radius = np.hypot(points[..., 0], points[..., 1])
    return relative(heat.temperature, form(points), (radius <= 0.75) & (radius >= bore) & (points[..., 2] <= 0.75))


def slab() -> float:
    """T = (1 + biot z) / (1 + biot top) with T = 1 at the top and loss at the bottom."""
    axes = np.linspace(0, 0.2, 3), np.linspace(0, 0.4, 4), np.linspace(0, 0.5, 9)
    heat = steady_heat([PlanView.whole((3, 4))] * 8, axes, conductivity=2.0, heat_transfer=3.0)
    return float(np.abs(heat.temperature - (1 + 1.5 * axes[2]) / (1 + 1.5 * 0.5)).max())


def grid_study() -> str:
    """The design in the middle on finer and finer cells, at nodes that all grids share."""
    design, finest = DESIGNS[2], 256
    points = np.stack(np.meshgrid(*plate_axes(32), indexing="ij"), axis=-1).reshape(-1, 3)
    inside = plate_distance(design, points) >= -1e-9
    fields, heats = {}, {}
    for cells in (32, 64, 128, 160, finest):
        heat = solve_plate(design, cells)
        step = cells // 32
        fields[cells], heats[cells] = heat.temperature[::step, ::step, ::step].ravel()[inside], heat
    rows = []
    for cells, used in ((32, ""), (64, "tiny"), (128, ""), (160, "paper, holes-held-out"), (finest, "")):
        difference = np.abs(fields[cells] - fields[finest])
        off = [f"{relative(fields[cells], fields[finest]):.1e}", f"{difference.max():.1e}"]
        off = off if cells != finest else ["reference", ""]
        rows.append([str(cells), used, f"{heats[cells].solid.sum():,}", f"{heats[cells].heat_in:.4f}", *off])
    changes = [np.linalg.norm(fields[2 * cells] - fields[cells]) for cells in (32, 64, 128)]
    orders = ", ".join(f"{order:.2f}" for order in np.log2(np.divide(changes[:-1], changes[1:])))
    header = ["cells across", "data presets", "nodes in the solid", "heat in, W/K", "off, relative L2", "off, greatest"]
    return (
        f"{design.name.capitalize()}, at nodes that all grids share:\n\n{table(header, rows)}\n\n"
        f"Observed order of the field between doublings: {orders}. The re-entrant edge under the hub allows "
        "about 4/3; without it the order is that of the series above."
    )


def seconds() -> str:
    rows = []
    plan = FISHER.plan("paper", samples=500)
    for block, source in enumerate(SOURCES):
        plan.solve(block)
        rows.append([f"fisher/{source}, 20 x 64", f"{1e3 * median(lambda b=block: plan.solve(b)) / 500:.2g}"])
    field = gaussian_field(KERNEL, (100, 100), LENGTH, terms=TERMS)
    conductivity = np.exp(STANDARD_DEVIATION * field.draw(10, np.random.default_rng(1)))
    for name in (*SOURCE_SHAPES, "annulus", "star:0"):
        embedding = on_grid(name, 100)[0]
        taken = median(lambda e=embedding: solve_darcy(e, conductivity)) / len(conductivity)
        rows.append([f"darcy/{name.partition(':')[0]}, 100 x 100", f"{1e3 * taken:.2g}"])
    times = [timed(lambda d=design: solve_plate(d, 160)) for design in DESIGNS]
    rows.append(["plate, 160 x 160 x 40 cells", f"{1e3 * statistics.median(times):,.0f}"])
    return (
        "**Milliseconds a sample**, median of five runs (plate: of five designs); linear algebra on one thread; "
        "drawing the inputs included for fisher; compiling, and laying a shape on its grid, left out.\n\n"
        + table(["solver", "ms a sample"], rows)
    )


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(work: Callable[[], object]) -> float:
    return statistics.median(timed(work) for _ in range(REPEATS))


if __name__ == "__main__":
    main()
