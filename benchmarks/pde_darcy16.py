"""Darcy flow at 16 x 16 (neuraloperator's sample): test errors, and the same model asked at 32 x 32.

    python -m benchmarks.pde_darcy16 --work DIR [--seeds 3] [--scale 1]

The files darcy_train_16.pt, darcy_test_16.pt and darcy_test_32.pt are looked for in the folder `pde` of
POLYHEAD_SHARED_DATA, else of ../shared/data. Node i of a grid of n lies at i/n: every second node of the finer grid is
a node of the coarser one, and the far sides are not in the grid.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.pde_common import Errors, arguments, baseline_errors, over_seeds, resolve_seed, scaled
from benchmarks.results import table, write_section
from domains.pde.operator import load_operator
from domains.pde.presets import PdeConfig
from domains.pde.samples import SPLITS, OperatorData, Quantity
from domains.pde.training import train

FOLDER = Path(os.environ.get("POLYHEAD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / "pde"
TASK = "darcy/square"
VALIDATION = 100
BASELINE_NAMES = ("mean field", "ridge", "kernel ridge", "deepxde deeponet", "deepxde pod-deeponet")


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, side, side) float32 conductivity class and head."""
    found = torch.load(FOLDER / name, weights_only=True)
    return found["x"].float().numpy(), found["y"].numpy()


def as_data(x: np.ndarray, y: np.ndarray, split: np.ndarray) -> OperatorData:
    count, side, _ = x.shape
    axis = np.arange(side) / side
    coordinates = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    distance = np.minimum(coordinates, 1 - coordinates).min(axis=1).astype(np.float32)
    return OperatorData(
        problem="darcy",
        tasks=(TASK,),
        coordinates=coordinates,
        axes=(Quantity("y", "m"), Quantity("x", "m")),
        grid_shape=(side, side),
        parameters=np.zeros((count, 0)),
        parameter_names=(),
        functions=np.ascontiguousarray(x[:, None]),
        function_names=(Quantity("conductivity class"),),
        solution=np.ascontiguousarray(y.reshape(count, -1)),
        solution_name=Quantity("head", "m"),
        task=np.zeros(count, dtype=np.int16),
        split=split.astype(np.int8),
        geometry=np.zeros(count, dtype=np.int32),
        mask=np.ones((1, side * side), dtype=bool),
        distance=distance[None],
    )


def reflected(field: np.ndarray, axis: int) -> np.ndarray:
    """Node i takes the value of node n - i; what lies beyond the grid is taken from its last node."""
    side = field.shape[axis]
    return np.take(field, np.minimum(side - np.arange(side), side - 1), axis=axis)


def symmetric(data: OperatorData) -> OperatorData:
    """The training samples in the eight positions of the square; the other samples once."""
    side = data.grid_shape[0]
    x, y = data.functions[:, 0], data.solution.reshape(-1, side, side)
    train_rows = data.split == 0
    xs, ys, splits = [x], [y], [data.split]
    for transpose in (False, True):
        for axes in ((), (1,), (2,), (1, 2)):
            if not transpose and not axes:
                continue
            pair = []
            for number, field in enumerate((x[train_rows], y[train_rows])):
                for axis in axes:
                    field = reflected(field, axis)
                    if number == 1:
                        # Beyond the grid lies the boundary, where the head is zero.
                        field[(slice(None),) * axis + (0,)] = 0
                pair.append(field.swapaxes(1, 2) if transpose else field)
            xs.append(pair[0])
            ys.append(pair[1])
            splits.append(data.split[train_rows])
    return as_data(np.concatenate(xs), np.concatenate(ys), np.concatenate(splits))


def network_errors(data: OperatorData, config: PdeConfig, seed: int, out: Path) -> Errors:
    train({"darcy": data}, out, resolve_seed(config, seed), overwrite=True, progress="quiet")
    operator = load_operator(out)
    found: Errors = {}
    for side in (16, 32):
        fine = as_data(*read(f"darcy_test_{side}.pt"), split=np.full(50, SPLITS.index("test")))
        axis = np.arange(side) / side
        field = operator.answer(
            TASK, fine.parameters, fine.functions, fine.coordinates, distance=fine.distance, function_axes=[axis, axis]
        )
        error = np.linalg.norm(field - fine.solution, axis=1) / np.linalg.norm(fine.solution, axis=1)
        found[f"{side} x {side}"] = {"relative_l2": float(error.mean())}
    return found


def main() -> None:
    work = arguments(__doc__)
    x, y = read("darcy_train_16.pt")
    x_test, y_test = read("darcy_test_16.pt")
    split = np.repeat([0, 1, 2], [len(x) - VALIDATION, VALIDATION, len(x_test)])
    data = as_data(np.concatenate([x, x_test]), np.concatenate([y, y_test]), split)
    # The regressions choose their settings on training samples: they may have those that the networks validate on.
    all_data = replace(data, split=np.where(split == 1, 0, split).astype(np.int8))
    settings = {
        "encoding.image_size": None,
        "encoding.geometry": [],
        "branch.channels": [32, 64, 128],
        "loss.points": None,
    }
    plus = scaled("mt-deeponet-darcy-plus", work.scale, **settings)
    runs = {
        "plus": partial(network_errors, data, plus),
        "plus, the square's eight symmetries": partial(
            network_errors, symmetric(data), scaled("mt-deeponet-darcy-plus", work.scale / 4, **settings)
        ),
    }
    rows = []
    for label, fit in runs.items():
        found = [work.measure(f"darcy16 {label}", seed, partial(fit, seed)) for seed in range(work.seeds)]
        kept = [one for one in found if one is not None]
        if kept:
            cells = [over_seeds([e[f"{side} x {side}"]["relative_l2"] for e, _ in kept]) for side in (16, 32)]
            rows.append([label, *cells, str(len(kept)), f"{max(seconds for _, seconds in kept):.0f}"])
    baselines = [(name, name, all_data) for name in BASELINE_NAMES]
    baselines.append(("kernel ridge, the square's eight symmetries", "kernel ridge", symmetric(all_data)))
    for label, name, given in baselines:
        seeds = range(work.seeds if "deepxde" in name else 1)
        found = [
            work.measure(
                f"darcy16 {label}", seed, lambda out, n=name, d=given, s=seed: baseline_errors(n, d, s, [TASK])
            )
            for seed in seeds
        ]
        kept = [one for one in found if one is not None]
        if kept:
            value = over_seeds([errors[TASK]["relative_l2"] for errors, _ in kept])
            rows.append([label, value, "", str(len(kept)), f"{max(seconds for _, seconds in kept):.0f}"])
    header = ["what", "16 x 16", "32 x 32, same model", "seeds", "seconds"]
    note = (
        "Data: darcy_16 of neuraloperator (MIT): 1,000 training samples, of which the networks keep 100 to validate "
        "on, 50 test samples. Mean over test samples of the relative L2 error, 95 % intervals over seeds. The "
        "regressions choose their settings by leave-one-out on training samples."
    )
    write_section("PDE: Darcy at 16 x 16", f"{table(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
