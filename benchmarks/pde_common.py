"""What the PDE benchmarks share: data made once, every fit kept as it ends, errors over seeds with intervals."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.results import table
from domains.pde.baselines import BASELINES
from domains.pde.baselines.baseline import predict_rows
from domains.pde.data.samples import OperatorData
from domains.pde.data.store import read_data
from domains.pde.evaluation.metrics import score
from domains.pde.learning.training import train
from domains.pde.predicting.ensemble import load_operator
from domains.pde.presets import PdeConfig, resolve
from domains.pde.problems.catalogue import problem
from domains.pde.simulator.making import make
from polyhead.training.session import Session

Errors = dict[str, dict[str, float]]
"""For each task the means over its test samples, by metric."""

METRICS = ("relative_l2", "range_error")


def shared_data(folder: str) -> Path:
    """A folder of the sample data: below POLYHEAD_SHARED_DATA, else below ``../shared/data``."""
    return Path(os.environ.get("POLYHEAD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / folder


@dataclass(frozen=True)
class Fit:
    """Something to fit and score.

    Attributes:
        run: takes a folder for its run; gives its errors.
        key: what the errors depend on besides the seed, as JSON: settings, data, steps.
    """

    run: Callable[[Path], Errors]
    key: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Where a benchmark keeps its data, its runs and what it has measured, so that it goes on where it stopped."""

    folder: Path
    seeds: int
    scale: float
    only: tuple[str, ...]

    def data(self, name: str, preset: str, seed: int = 0) -> OperatorData:
        path = self.folder / "data" / preset / f"{name}.h5"
        started = time.perf_counter()
        make(problem(name).plan(preset, seed=seed), path)
        taken = time.perf_counter() - started
        if taken > 1:
            print(f"{name} ({preset}) made in {taken:.0f} s", flush=True)
        return read_data(path)

    def measure(self, label: str, seed: int, fit: Fit) -> tuple[Errors, float] | None:
        """Errors and seconds of a fit, from what was measured before if it was; None where it is not asked for.

        Raises:
            SystemExit: what was measured under this label depends on other settings or data than those of now.
        """
        kept = self.folder / "measured" / f"{label.replace('/', '-')}.{seed}.json"
        key = json.loads(json.dumps(dict(fit.key)))
        if kept.is_file():
            found = json.loads(kept.read_text(encoding="utf-8"))
            if found["key"] != key:
                differ = [name for name in key if found["key"].get(name) != key[name]]
                raise SystemExit(
                    f"{kept} was measured with another {', '.join(differ)}: remove it, or take other --work"
                )
            return found["errors"], found["seconds"]
        if self.only and not any(word in label for word in self.only):
            return None
        started = time.perf_counter()
        errors = fit.run(self.folder / "runs" / label / str(seed))
        seconds = time.perf_counter() - started
        kept.parent.mkdir(parents=True, exist_ok=True)
        record = {"errors": errors, "seconds": seconds, "key": key}
        kept.write_text(json.dumps(record, indent=1), encoding="utf-8")
        worst = ", ".join(f"{task} {values['relative_l2']:.2%}" for task, values in errors.items())
        print(f"{label}, seed {seed}: {worst}; {seconds:.0f} s", flush=True)
        return errors, seconds

    def over_seeds(self, label: str, fit: Callable[[int], Fit], seeds: int | None = None) -> list[tuple[Errors, float]]:
        """What `measure` gives for each seed, without those that are not asked for."""
        found = [self.measure(label, seed, fit(seed)) for seed in range(self.seeds if seeds is None else seeds)]
        return [one for one in found if one is not None]


def arguments(description: str | None, **extra: Any) -> Work:
    """The flags of a PDE benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs and figures; reused")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the epochs of the mended presets")
    parser.add_argument("--only", nargs="*", default=[], help="measure what is named so; the rest as it was measured")
    given = parser.parse_args()
    return Work(given.work, given.seeds, given.scale, tuple(given.only))


def operator_errors(run: Path, data: OperatorData, tasks: Sequence[str]) -> Errors:
    """A run on the test samples, answered as users are answered, through `Operator`."""
    operator = load_operator(run)
    found: Errors = {}
    for task in tasks:
        rows = data.rows(task=task, split="test")
        field = np.empty((len(rows), len(data.coordinates)), dtype=np.float32)
        geometry = data.geometry[rows]
        for index in np.unique(geometry):
            mine = np.flatnonzero(geometry == index)
            distance = None if data.distance is None else data.distance[index]
            sensors = data.functions.shape[2:]
            at_sensors = distance is not None and int(np.prod(sensors)) == len(distance)
            field[mine] = operator.answer(
                task,
                data.parameters[rows[mine]],
                data.functions[rows[mine]],
                data.coordinates,
                distance=distance,
                sensor_distance=distance.reshape(sensors) if at_sensors and distance is not None else None,
            )
        found[task] = _means(data, rows, field)
    return found


def baseline_errors(name: str, data: OperatorData, seed: int, tasks: Sequence[str]) -> Errors:
    """A baseline fitted on the training samples of all tasks, on their test samples."""
    baseline = BASELINES[name](seed)
    trained = np.concatenate([data.rows(task=task, split="train") for task in tasks])
    baseline.fit(data, np.sort(trained))
    return {
        task: _means(data, rows, predict_rows(baseline, data, rows))
        for task in tasks
        for rows in [data.rows(task=task, split="test")]
    }


def _means(data: OperatorData, rows: np.ndarray, field: np.ndarray) -> dict[str, float]:
    values = score(data, rows, field)
    return {name: float(np.nanmean(values[name])) for name in METRICS}


def fitted(data: OperatorData, config: PdeConfig, seed: int, *, tasks: Sequence[str] | None = None) -> Fit:
    """Trains `config` with a seed into the folder it is called with, and scores it."""

    def run(out: Path) -> Errors:
        settings = resolve_seed(config, seed)
        train({data.problem: data}, out, settings, tasks=tasks, session=Session(overwrite=True))
        return operator_errors(out, data, tasks or data.tasks)

    return Fit(run, network_key(data, config, tasks))


def network_key(data: OperatorData, config: PdeConfig, tasks: Sequence[str] | None = None) -> dict[str, Any]:
    """What a network's errors depend on."""
    # Settings at their defaults are left out: a new one whose default changes nothing asks for no new measurement.
    settings = config.model_dump_json(exclude={"training": {"seed"}}, exclude_defaults=True)
    return {
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
        "data": _fingerprint(data),
        "tasks": list(tasks or data.tasks),
    }


def baseline(name: str, data: OperatorData, seed: int, tasks: Sequence[str] | None = None) -> Fit:
    """Fits a baseline, and scores it."""
    wanted = tasks or data.tasks
    key = {"settings": name, "data": _fingerprint(data), "tasks": list(wanted)}
    return Fit(lambda out: baseline_errors(name, data, seed, wanted), key)


_FINGERPRINTS: dict[int, tuple[OperatorData, str]] = {}


def _fingerprint(data: OperatorData) -> str:
    """The data's fingerprint, computed once for each object, which is kept so that its id stays its own."""
    if id(data) not in _FINGERPRINTS:
        _FINGERPRINTS[id(data)] = data, data.fingerprint()
    return _FINGERPRINTS[id(data)][1]


def resolve_seed(config: PdeConfig, seed: int) -> PdeConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})


def scaled(preset: str, scale: float, **changes: Any) -> PdeConfig:
    """A preset with its epochs scaled; its schedule spans what is left of it."""
    config = resolve(preset, changes)
    training = config.training
    epochs = max(1, round(training.epochs * scale))
    return config.model_copy(
        update={
            "training": training.model_copy(
                update={"epochs": epochs, "validate_every": max(1, min(training.validate_every, epochs // 4))}
            )
        }
    )


def over_seeds(values: Sequence[float]) -> str:
    """The mean in percent with the half width of the 95 % t interval over seeds, where there are several."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.2%}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return f"{mean:.2%} ± {half:.2%}"


def results_table(
    measured: Mapping[str, Sequence[tuple[Errors, float]]], tasks: Sequence[str], metric: str = "relative_l2"
) -> str:
    """One row a system, one column a task: means over test samples of the metric, over seeds; wall-clock of a fit."""
    rows = []
    for label, results in measured.items():
        if not results:
            continue
        cells = []
        for task in tasks:
            values = [errors[task][metric] for errors, _ in results if task in errors]
            cells.append(over_seeds(values) if values else "")
        seconds = float(np.median([seconds for _, seconds in results]))
        rows.append([label, *cells, str(len(results)), f"{seconds:.0f}"])
    return table(["what", *tasks, "seeds", "seconds, median"], rows)


def mean_error(
    results: Sequence[tuple[Errors, float]], metric: str = "relative_l2", tasks: Collection[str] | None = None
) -> float | None:
    """The mean of a metric over tasks (all, or those named) and seeds, None where nothing was measured."""
    values = [
        values[metric] for errors, _ in results for task, values in errors.items() if tasks is None or task in tasks
    ]
    return float(np.mean(values)) if values else None


def ranking(measured: Mapping[str, Sequence[tuple[Errors, float]]], ours: str, metric: str = "relative_l2") -> str:
    """One sentence: what has smaller mean errors over its tasks and seeds than `ours` there, or that nothing has."""
    base = mean_error(measured.get(ours, ()), metric)
    if base is None:
        return ""
    ahead = []
    for label, found in measured.items():
        tasks = {task for errors, _ in found for task in errors}
        theirs, there = mean_error(found, metric), mean_error(measured[ours], metric, tasks)
        if label != ours and theirs is not None and there is not None and theirs < there:
            ahead.append((theirs, f"{label} ({theirs:.2%} against {there:.2%})"))
    if not ahead:
        return f"Nothing in the table has a smaller mean error over tasks than **{ours}** ({base:.2%})."
    return f"Smaller mean errors than **{ours}** has on the same tasks: {', '.join(text for _, text in sorted(ahead))}."
