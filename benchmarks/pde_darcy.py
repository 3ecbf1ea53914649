"""Darcy flow on three geometries, and transfer to a fourth: relative L2 errors in the mask, seeds, wall-clock.

python -m benchmarks.pde_darcy --work DIR [--seeds 3] [--scale 1]
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

from benchmarks.pde_common import Errors, Work, arguments, baseline_errors, fitted, over_seeds, results_table, scaled
from benchmarks.results import table, write_section
from domains.pde.samples import OperatorData
from domains.pde.transfer import adapt, fine_tuning

BASELINE_NAMES = ("mean field", "ridge", "kernel ridge", "pod kernel ridge", "deepxde deeponet", "deepxde pod-deeponet")
PUBLISHED_EPOCHS = 5
"""Of 5,000, of six steps each: a step takes 1,000 images of 100 x 100."""
TARGET, SAMPLES = "darcy/square_with_cross", 100


def main() -> None:
    work = arguments(__doc__)
    data = work.data("darcy", "paper")
    plus = scaled("mt-deeponet-darcy-plus", work.scale)
    published = scaled("mt-deeponet-darcy", PUBLISHED_EPOCHS / 5000)
    systems = {
        f"published configuration, {PUBLISHED_EPOCHS} of 5,000 epochs": (published, 1),
        "plus": (plus, work.seeds),
        "plus, mean square over all pixels": (
            scaled("mt-deeponet-darcy-plus", work.scale, **{"loss.kind": "mse", "loss.points": None}),
            work.seeds,
        ),
    }
    measured: dict[str, list[tuple[Errors, float]]] = {}
    for label, (config, seeds) in systems.items():
        found = [work.measure(f"darcy {label}", seed, fitted(data, config, seed)) for seed in range(seeds)]
        measured[label] = [one for one in found if one is not None]
    for task in data.tasks:
        found = [
            work.measure(f"darcy plus single {task}", seed, fitted(data, plus, seed, tasks=[task]))
            for seed in range(work.seeds)
        ]
        measured[f"plus, {task} alone"] = [one for one in found if one is not None]
    for name in BASELINE_NAMES:
        found = [
            work.measure(f"darcy {name}", seed, lambda out, n=name, s=seed: baseline_errors(n, data, s, data.tasks))
            for seed in range(work.seeds if "deepxde" in name else 1)
        ]
        measured[name] = [one for one in found if one is not None]
    if importlib.util.find_spec("neuralop") is not None:
        square = ["darcy/square"]
        one = work.measure("darcy fno", 0, lambda out: baseline_errors("fno", data, 0, square))
        measured["fno, square alone"] = [] if one is None else [one]
    transferred = transfer(work, work.data("darcy-target", "paper"))
    note = (
        "1,700 training, 100 validation and 200 test samples of each geometry at 100 x 100; means over test samples of "
        "the relative L2 error in the mask, 95 % intervals over seeds."
    )
    write_section("PDE: Darcy", f"{results_table(measured, data.tasks)}\n\n{transferred}\n\n{note}")


def transfer(work: Work, target: OperatorData) -> str:
    """Fine-tuning on few samples of the target against training from scratch on the same samples."""
    rows = []
    for way in ("transfer", "scratch"):
        errors, seconds = [], []
        for seed in range(work.seeds):
            source = work.folder / "runs" / "darcy plus" / str(seed)
            if not (source / "model.safetensors").is_file():
                continue
            fit = partial(_adapted, target, source, way, seed)
            one = work.measure(f"darcy {way} {SAMPLES}", seed, fit)
            if one is not None:
                errors.append(one[0][TARGET]["relative_l2"])
                seconds.append(one[1])
        if errors:
            rows.append([way, over_seeds(errors), str(len(errors)), f"{max(seconds):.0f}"])
    heading = f"**{TARGET} with {SAMPLES} samples**, on its 550 test samples"
    return f"{heading}\n\n{table(['way', 'relative L2', 'seeds', 'seconds'], rows)}"


def _adapted(target: OperatorData, source: Path, way: str, seed: int, out: Path) -> Errors:
    point = adapt(
        target,
        TARGET,
        out,
        source=source if way == "transfer" else None,
        config=fine_tuning(source),
        samples=SAMPLES,
        seed=seed,
        overwrite=True,
        progress="quiet",
    )
    return {TARGET: {"relative_l2": point.relative_l2_mean}}


if __name__ == "__main__":
    main()
