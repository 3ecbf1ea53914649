"""Darcy flow on three geometries, and transfer to a fourth: relative L2 errors in the mask, seeds, wall-clock.

    python -m benchmarks.pde_darcy --work DIR [--seeds 3] [--scale 1]

One network a task has as many epochs of its task as the joint network has. The networks of DeepXDE and the Fourier
neural operator have budgets of their own, which take about as long as the joint network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pde_common import (
    Errors,
    Fit,
    Work,
    arguments,
    baseline,
    fitted,
    network_key,
    over_seeds,
    ranking,
    results_table,
    scaled,
)
from benchmarks.results import table, write_section
from domains.pde.baselines import BASELINES
from domains.pde.baselines.deepxde import DeepXdeOperator, DeepXdeSettings
from domains.pde.baselines.fno import FnoField, FnoSettings
from domains.pde.data.samples import OperatorData
from domains.pde.data.symmetry import positions, turned
from domains.pde.learning.transfer import PUBLISHED_FREEZE, adapt, fine_tuning
from domains.pde.presets import PdeConfig
from polyhead.runs.run import RUN_FILE
from polyhead.training.session import Session

DEEPXDE = DeepXdeSettings(iterations=700)
FNO = FnoSettings(epochs=10)
BASELINES.add("deepxde deeponet, 700 steps")(lambda seed=0: DeepXdeOperator("deeponet", DEEPXDE, seed=seed))
BASELINES.add("deepxde pod-deeponet, 700 steps")(lambda seed=0: DeepXdeOperator("pod", DEEPXDE, seed=seed))
BASELINES.add("fno, 10 epochs")(lambda seed=0: FnoField(FNO, seed=seed))
REGRESSIONS = ("mean field", "ridge", "kernel ridge", "pod kernel ridge")
SLOW = ("deepxde deeponet, 700 steps", "deepxde pod-deeponet, 700 steps")
PUBLISHED_EPOCHS = 2
"""Of 5,000, of six steps each: a step takes 1,000 images of 100 x 100."""
Key = dict[str, Any]
TARGET = "darcy/square_with_cross"
SAMPLES = (100, 25, 10)
SHAPES_EPOCHS = 2 / 3
"""Of nine geometries, against three: as many rows are seen in all."""
WAYS = {
    "nine shapes": "transfer from nine geometries, nothing frozen",
    "unfrozen": "transfer with nothing frozen",
    "scratch": "from scratch",
    "transfer": "transfer with the published freeze list",
}
CURVE = ("unfrozen", "scratch")
"""Ways that are also measured with fewer samples than the first number of them."""


def main() -> None:
    work = arguments(__doc__)
    data = work.data("darcy", "paper")
    plus = scaled("mt-deeponet-darcy-plus", work.scale)
    ablation = scaled("mt-deeponet-darcy-plus", work.scale, **{"loss.kind": "mse"})
    published = scaled("mt-deeponet-darcy", PUBLISHED_EPOCHS / 5000)
    label = f"published configuration, {PUBLISHED_EPOCHS} of 5,000 epochs"
    measured: dict[str, list[tuple[Errors, float]]] = {
        label: work.over_seeds(f"darcy {label}", partial(fitted, data, published), 1),
        "plus": work.over_seeds("darcy plus", partial(fitted, data, plus)),
        "plus, mean square inside and outside": work.over_seeds(
            "darcy plus, mean square inside and outside", partial(fitted, data, ablation)
        ),
    }
    unturned = scaled("mt-deeponet-darcy-plus", work.scale, symmetries=False)
    measured["plus, without symmetries"] = work.over_seeds(
        "darcy plus, without symmetries", partial(fitted, data, unturned), 1
    )
    singles = [
        work.over_seeds(f"darcy plus single {task}", partial(fitted, data, plus, tasks=[task])) for task in data.tasks
    ]
    measured["plus, one network a geometry (seconds are the sum)"] = [
        ({task: values for errors, _ in parts for task, values in errors.items()}, sum(s for _, s in parts))
        for parts in zip(*singles, strict=False)
    ]
    for name in (*REGRESSIONS, *SLOW):
        seeds = None if name in SLOW else 1
        measured[name] = work.over_seeds(f"darcy {name}", partial(baseline, name, data), seeds)
    label = "kernel ridge, square alone, its eight positions"
    square = eight_positions(data, "darcy/square")
    measured[label] = work.over_seeds(
        f"darcy {label}", partial(baseline, "kernel ridge", square, tasks=["darcy/square"]), 1
    )
    if importlib.util.find_spec("neuralop") is not None:
        alone = partial(baseline, "fno, 10 epochs", every_second_node(data, "darcy/square"), tasks=["darcy/square"])
        measured["fno, square alone at 50 x 50, 10 epochs"] = work.over_seeds("darcy fno, 10 epochs", alone, 1)
    shapes = work.data("darcy", "shapes")
    wide = scaled("mt-deeponet-darcy-plus", work.scale * SHAPES_EPOCHS)
    work.over_seeds("darcy nine shapes", partial(fitted, shapes, wide))
    sources = {"nine shapes": {"source": network_key(shapes, wide)}}
    transferred = transfer(work, work.data("darcy-target", "paper"), plus, sources)
    note = (
        "1,700 training, 100 validation and 200 test samples of each geometry at 100 x 100; means over test samples of "
        f"the relative L2 error in the mask, 95 % intervals over seeds. `plus`: {plus.training.epochs} epochs. "
        "Nine geometries, to transfer from, have 850 training samples each and as many rows in all. "
        "Regressions are fitted geometry by geometry. Kernel ridge in eight positions sees log K at 25 x 25 and is "
        "scored on every second node, as is the Fourier neural operator, which sees every second node."
    )
    write_section(
        "PDE: Darcy", f"{results_table(measured, data.tasks)}\n\n{ranking(measured, 'plus')}\n\n{transferred}\n\n{note}"
    )


def eight_positions(data: OperatorData, task: str) -> OperatorData:
    """The samples of a task, those to train on in all positions; log K averaged to 25 x 25, every second node."""
    mine = data.take(data.rows(task=task))
    side, row = data.grid_shape[0], mine.split == 0
    nodes = np.arange(side * side).reshape(side, side)[::2, ::2].ravel()
    functions, fields, splits = [], [], []
    for position in positions(mine, np.unique(mine.geometry)):
        kept = np.full(len(row), True) if position.symmetry == 0 else row
        image = turned(mine.functions[kept], position.symmetry)
        functions.append(image.reshape(-1, 1, 25, side // 25, 25, side // 25).mean(axis=(3, 5)))
        fields.append(turned(mine.solution[kept].reshape(-1, side, side), position.symmetry)[:, ::2, ::2])
        splits.append(mine.split[kept])
    count = sum(map(len, splits))
    return replace(
        mine,
        coordinates=mine.coordinates[nodes],
        grid_shape=(side // 2, side // 2),
        mask=mine.mask[:, nodes],
        distance=None if mine.distance is None else mine.distance[:, nodes],
        functions=np.concatenate(functions),
        solution=np.concatenate(fields).reshape(count, -1),
        parameters=np.zeros((count, 0)),
        task=np.full(count, mine.task[0]),
        geometry=np.full(count, mine.geometry[0]),
        split=np.concatenate(splits),
    )


def every_second_node(data: OperatorData, task: str) -> OperatorData:
    """The samples of a task on the grid of every second node along each axis."""
    mine = data.take(data.rows(task=task))
    side = data.grid_shape[0]
    nodes = np.arange(side * side).reshape(side, side)[::2, ::2].ravel()
    return replace(
        mine,
        coordinates=mine.coordinates[nodes],
        grid_shape=(side // 2, side // 2),
        mask=mine.mask[:, nodes],
        distance=None if mine.distance is None else mine.distance[:, nodes],
        functions=mine.functions[:, :, ::2, ::2],
        solution=mine.solution[:, nodes],
    )


def transfer(work: Work, target: OperatorData, plus: PdeConfig, keys: Mapping[str, Key]) -> str:
    """Fine-tuning on few samples of the target against training from scratch, and regressions, on the same samples.

    Args:
        keys: what a way depends on beside the target and the network.
    """
    rows, ratios = [], []
    for samples in SAMPLES:
        errors: dict[str, list[float]] = {}
        for way in WAYS if samples == SAMPLES[0] else CURVE:
            sources = [seed for seed in range(work.seeds) if (_source(work, way, seed) / RUN_FILE).is_file()]
            fit = partial(_adapted, work, target, plus, keys, way, samples)
            found = work.over_seeds(f"darcy {way} {samples}", fit, len(sources))
            if found:
                errors[way] = [values[TARGET]["relative_l2"] for values, _ in found]
                seconds = np.median([seconds for _, seconds in found])
                rows.append([str(samples), WAYS[way], over_seeds(errors[way]), str(len(found)), f"{seconds:.0f}"])
        for way in errors.keys() - {"scratch"}:
            shared = list(zip(errors.get("scratch", []), errors[way], strict=False))
            if shared:
                found = np.array([scratch / other for scratch, other in shared])
                spread = f"{found.min():.2f} to {found.max():.2f} over {len(found)} seeds"
                ratios.append(f"- {samples} samples, {WAYS[way]}: {found.mean():.2f} ({spread})")
    for name in REGRESSIONS:
        found = work.over_seeds(f"darcy target {name}", partial(baseline, name, target, tasks=[TARGET]), 1)
        if found:
            error = over_seeds([found[0][0][TARGET]["relative_l2"]])
            rows.append([str(SAMPLES[0]), name, error, "1", f"{found[0][1]:.0f}"])
    header = ["samples", "way", "relative L2", "seeds", "seconds, median"]
    return (
        f"**{TARGET} with few samples**, on its 550 test samples\n\n{table(header, rows)}\n\n"
        "Error from scratch over that of the transfer; above 1 transfer is better:\n\n" + "\n".join(sorted(ratios))
    )


def _source(work: Work, way: str, seed: int) -> Path:
    """The run whose weights, or from scratch whose networks, are adapted."""
    return work.folder / "runs" / ("darcy nine shapes" if way == "nine shapes" else "darcy plus") / str(seed)


def _adapted(
    work: Work, target: OperatorData, plus: PdeConfig, keys: Mapping[str, Key], way: str, samples: int, seed: int
) -> Fit:
    source = _source(work, way, seed)
    tuning = fine_tuning(source)

    def run(out: Path) -> Errors:
        point = adapt(
            target,
            TARGET,
            out,
            source=None if way == "scratch" else source,
            freeze=PUBLISHED_FREEZE if way == "transfer" else (),
            config=tuning,
            samples=samples,
            seed=seed,
            session=Session(overwrite=True),
        )
        return {TARGET: {"relative_l2": point.relative_l2_mean, "range_error": float("nan")}}

    key = network_key(target, plus, [TARGET]) | {"tuning": tuning.training.model_dump(mode="json")}
    return Fit(run, key | {"way": way, "samples": samples} | keys.get(way, {}))


if __name__ == "__main__":
    main()
