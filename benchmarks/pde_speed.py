"""Speed of operator networks: training steps, seconds to a target error, and answers against our own solvers.

    python -m benchmarks.pde_speed --work DIR [--repeats 5] [--minutes 4] [--only steps|target|inference]

Training steps: our loop against DeepXDE's DeepONetCartesianProd on PyTorch, alternating in one run, with the same
branch module, trunk layers, optimiser, rows in a step and data. DeepXDE takes all points in each step (a pair of batch
sizes pairs its samples with wrong targets); ours is measured with all of them, and with our presets' random points.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.pde_common import Work, scaled
from benchmarks.pde_target import LIMIT, TARGETS, to_target
from benchmarks.results import table, write_section
from domains.pde.data.samples import OperatorData
from domains.pde.deepxde import import_deepxde
from domains.pde.learning.dataset import TaskSamples
from domains.pde.learning.losses import LOSSES
from domains.pde.learning.starting import set_statistics
from domains.pde.learning.training import train
from domains.pde.networks.description import Description
from domains.pde.networks.model import backbone_of, build_model, task_specs
from domains.pde.predicting.ensemble import load_operator
from domains.pde.presets import PdeConfig
from domains.pde.saved import describe
from polyhead.runs.run import Run
from polyhead.train import fit
from polyhead.training.session import Session


@dataclass(frozen=True)
class Case:
    """What is timed: the published network of a problem, its rows in a step, and the points of our preset."""

    problem: str
    rows: int
    points: int
    steps: int
    changes: dict[str, Any]


CASES = (
    Case("fisher", 200, 256, 30, {}),
    Case("darcy", 24, 1024, 4, {}),
    # What DeepXDE's trunk cannot have: normalisation and skips.
    Case("plate", 12, 512, 4, {"branch.norm": "none", "trunk.norm": "none", "trunk.skip": False}),
)
DEEPXDE_POINTS = 10_000


class Ours:
    """Our training loop on a problem's first task, as `polyhead pde train` runs it, without validation."""

    def __init__(self, data: OperatorData, config: PdeConfig, case: Case, points: int | None, folder: Path):
        self.data, self.case, self.points, self.folder = data, case, points, folder
        training = config.training.model_copy(
            update={
                "epochs": 1,
                "steps_per_epoch": case.steps,
                "batch_size": case.rows,
                "tasks_per_step": 1,
                "snapshot_every": 10**6,
            }
        )
        self.config = config.model_copy(update={"training": training})
        self.count = itertools.count()

    def steps(self) -> float:
        """Seconds a step, without the first, which waits for the loader."""
        task = self.data.tasks[0]
        rows = self.data.rows(task=task, split="train")
        descriptions = {self.data.problem: Description.of(self.data, (task,))}
        specs = task_specs({task: self.data.problem}, descriptions)
        torch.manual_seed(0)
        model = build_model(specs, self.config, descriptions)
        set_statistics(model, {self.data.problem: self.data}, {task: self.data.problem}, {task: rows})
        network = backbone_of(model).network(self.data.problem)
        samples = TaskSamples(self.data, task, rows, network, self.points)
        run = Run.begin(self.folder / str(next(self.count)), describe(self.config, specs, descriptions, {}))
        ticks: list[float] = []
        fit(
            model,
            {task: LOSSES["mse"]},
            {task: samples},
            self.config.training,
            run,
            on_step=lambda step: ticks.append(time.perf_counter()),
            progress="quiet",
        )
        return (ticks[-1] - ticks[0]) / (len(ticks) - 1)


class DeepXde:
    """DeepXDE's loop on the same rows; its trunk is its own, of the same layers, its branch is our module."""

    def __init__(self, data: OperatorData, config: PdeConfig, case: Case, points: int):
        self.case = case
        task = data.tasks[0]
        rows = data.rows(task=task, split="train")
        descriptions = {data.problem: Description.of(data, (task,))}
        specs = task_specs({task: data.problem}, descriptions)
        torch.manual_seed(0)
        model = build_model(specs, config, descriptions)
        set_statistics(model, {data.problem: data}, {task: data.problem}, {task: rows})
        network = backbone_of(model).network(data.problem)
        inside = np.flatnonzero(data.mask.any(axis=0))
        chosen = np.arange(len(data.coordinates))
        if len(chosen) > points:
            chosen = np.sort(np.random.default_rng(0).choice(inside, points, replace=False))
        inputs, targets = TaskSamples(data, task, rows, network).at(np.arange(len(rows)), chosen)
        name = "image" if "image" in inputs else "vector"
        branch = _AsBranch(network.branch, name)
        self.x, self.y = inputs[name].numpy(), targets["field"].numpy()
        self.where = network.coordinates(data.coordinates[chosen])
        self.dde = import_deepxde()
        settings = config.network_of(data.problem)
        trunk = [self.where.shape[1], *settings.trunk.widths, settings.latent]
        size = int(np.prod(self.x.shape[1:]))
        self.network = self.dde.nn.DeepONetCartesianProd((size, branch), trunk, "relu", "Glorot normal")

    def steps(self) -> float:
        """Seconds a step."""
        few = slice(0, 2)
        data = self.dde.data.TripleCartesianProd((self.x, self.where), self.y, (self.x[few], self.where), self.y[few])
        model = self.dde.Model(data, self.network)
        with contextlib.redirect_stdout(io.StringIO()):
            model.compile("adam", lr=1e-3, loss="MSE", verbose=0)
            ticks = _Ticks(self.dde)
            steps = self.case.steps + 1
            model.train(
                iterations=steps,
                batch_size=min(self.case.rows, len(self.x)),
                display_every=10**6,
                callbacks=[ticks.callback],
                verbose=0,
            )
        return (ticks.times[-1] - ticks.times[0]) / (len(ticks.times) - 1)


class _AsBranch(nn.Module):
    """Our branch as DeepXDE calls one: a tensor in, coefficients out."""

    def __init__(self, branch: nn.Module, name: str):
        super().__init__()
        self.branch, self.name = branch, name

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        empty = values.new_zeros((len(values), 0))
        return self.branch({"vector": empty} | {self.name: values})


class _Ticks:
    """The time after each of DeepXDE's steps."""

    def __init__(self, dde: Any):
        times: list[float] = []

        class Callback(dde.callbacks.Callback):
            def on_batch_end(self) -> None:
                times.append(time.perf_counter())

        self.times, self.callback = times, Callback()


def training_steps(work: Work, repeats: int) -> str:
    rows = []
    for case in CASES:
        data = work.data(case.problem, "paper")
        config = scaled(f"mt-deeponet-{case.problem}", 1.0, **case.changes)
        folder = work.folder / "speed" / f"{case.problem}-{time.time_ns()}"
        inside = int(data.mask.any(axis=0).sum())
        every = min(DEEPXDE_POINTS, inside)
        sides: dict[str, Callable[[], float]] = {
            "deepxde": DeepXde(data, config, case, every).steps,
            "all points": Ours(data, config, case, None if inside == every else every, folder / "all").steps,
            "drawn": Ours(data, config, case, case.points, folder / "drawn").steps,
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for repeat in range(repeats + 1):
            for name, side in sides.items():
                value = side()
                if repeat:
                    seconds[name].append(value)
        ratios = {
            name: statistics.median(a / b for a, b in zip(seconds["deepxde"], seconds[name], strict=True))
            for name in ("all points", "drawn")
        }
        per_second = {name: f"{1 / statistics.median(values):.1f}" for name, values in seconds.items()}
        rows.append(
            [
                case.problem,
                f"{case.rows} x {every:,}",
                per_second["deepxde"],
                per_second["all points"],
                f"**{ratios['all points']:.2f}**",
                f"{case.points:,}",
                per_second["drawn"],
                f"**{ratios['drawn']:.2f}**",
            ]
        )
        print(rows[-1], flush=True)
    header = [
        "problem",
        "rows x points",
        "DeepXDE, steps/s",
        "ours, same points",
        "ratio",
        "drawn points",
        "ours, drawn points",
        "ratio",
    ]
    return table(header, rows)


def inference(work: Work, repeats: int) -> str:
    """Milliseconds a sample: operator and solver, one sample and many, answers at the points of the data."""
    rows = []
    for problem in ("fisher", "darcy", "plate"):
        times = _answer_times(work, work.data(problem, "paper"), repeats)
        one, many = times["solver, one"] / times["operator, one"], times["solver, many"] / times["operator, many"]
        rows.append([problem, *(f"{value:.3g}" for value in times.values()), f"**{one:.3g}**", f"**{many:.3g}**"])
        print(rows[-1], flush=True)
    header = ["problem", "operator, one", "operator, many", "solver, one", "solver, many", "ratio, one", "ratio, many"]
    return f"{table(header, rows)}\n\nMilliseconds a sample; many: up to 200 at once, of the plate's solver one."


def _answer_times(work: Work, data: OperatorData, repeats: int) -> dict[str, float]:
    problem, task = data.problem, data.tasks[0]
    out = work.folder / "speed" / f"{problem}-untrained"
    config = scaled(f"mt-deeponet-{problem}-plus", 1.0, **{"training.epochs": 1, "steps_per_epoch": 1, "pod_steps": 0})
    # What an answer costs does not depend on the weights.
    config = config.model_copy(update={"polish": False})
    few = data.take(data.rows(task=task, split="train")[:16])
    train({problem: few}, out, config, session=Session(overwrite=True))
    operator = load_operator(out)
    chosen = data.rows(task=task, split="test")[:200]
    distance = None if data.distance is None else data.distance[data.geometry[chosen[0]]]
    sensors = data.functions.shape[2:]
    at_sensors = distance.reshape(sensors) if distance is not None and len(sensors) == 2 else None

    def ask(rows: np.ndarray) -> None:
        inputs = data.parameters[rows], data.functions[rows], data.coordinates
        operator.answer(task, *inputs, distance=distance, sensor_distance=at_sensors)

    solve = _solver(problem, data)
    solved = chosen if problem != "plate" else chosen[:1]
    return {
        "operator, one": _milliseconds(lambda: ask(chosen[:1]), repeats),
        "operator, many": _milliseconds(lambda: ask(chosen), repeats) / len(chosen),
        "solver, one": _milliseconds(lambda: solve(chosen[:1]), repeats),
        "solver, many": _milliseconds(lambda: solve(solved), repeats) / len(solved),
    }


def _solver(problem: str, data: OperatorData) -> Callable[[np.ndarray], object]:
    task = data.tasks[0]
    if problem == "fisher":
        from domains.pde.problems.fisher import FISHER

        return lambda rows: FISHER.solve(task, data.parameters[rows], data.functions[rows], data.attributes)
    if problem == "darcy":
        from domains.pde.geometry.shapes import shape
        from domains.pde.solvers.darcy import solve_darcy
        from domains.pde.solvers.embedded import embed, unit_grid

        embedding = embed(shape(task.removeprefix("darcy/")).distance, *unit_grid(data.grid_shape[0]))
        return lambda rows: solve_darcy(embedding, np.exp(data.functions[rows, 0].astype(np.float64)), 1.0)
    from domains.pde.geometry.plate import plate_designs
    from domains.pde.problems.plate import CELLS, solve_design

    designs = tuple(plate_designs())
    return lambda rows: solve_design(designs, CELLS["paper"], int(rows[0]))


def _milliseconds(act: Callable[[], object], repeats: int) -> float:
    act()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        act()
        found.append(1000 * (time.perf_counter() - started))
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and curves; reused")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=4.0, help="of the mended presets' training towards a target error, at most"
    )
    parser.add_argument("--problems", nargs="*", default=list(TARGETS), help="of the part `target`")
    parser.add_argument("--only", nargs="*", default=["steps", "target", "inference"])
    given = parser.parse_args()
    work = Work(given.work, 1, 1.0, ())
    parts = {
        "steps": (
            "Training steps a second, alternating, medians; the published networks, one task.",
            lambda: training_steps(work, given.repeats),
        ),
        "target": (
            "Seconds of training, validation not counted, until the validation error is reached. The published "
            f"configuration is stopped after {LIMIT} times the seconds of ours.",
            lambda: to_target(work, given.minutes, given.problems),
        ),
        "inference": (
            "Answers at the points of the data, against our own solvers on the same machine.",
            lambda: inference(work, given.repeats),
        ),
    }
    for name in given.only:
        words, measure = parts[name]
        write_section(f"PDE speed: {name}", f"{words}\n\n{measure()}")


if __name__ == "__main__":
    main()
