"""Darcy flow at 16 x 16 (neuraloperator's sample): test errors, and the same model asked at 32 x 32.

    python -m benchmarks.pde_darcy16 --work DIR [--seeds 3] [--scale 1]

The files darcy_train_16.pt, darcy_test_16.pt and darcy_test_32.pt are looked for in the folder `pde` of
POLYHEAD_SHARED_DATA, else of ../shared/data. Node i of a grid of n lies at i/n: every second node of the finer grid is
a node of the coarser one, and the far sides are not in the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.pde_common import (
    Errors,
    Fit,
    arguments,
    baseline,
    network_key,
    over_seeds,
    resolve_seed,
    scaled,
    shared_data,
)
from benchmarks.results import table, write_section
from domains.pde.data.samples import SPLITS, OperatorData, Quantity
from domains.pde.learning.training import train
from domains.pde.predicting.ensemble import load_operator
from domains.pde.presets import PdeConfig
from polyhead.training.session import Session

FOLDER = shared_data("pde")
TASK = "darcy/square"
VALIDATION = 100
SETTINGS = {
    "encoding.image_size": None,
    "encoding.geometry": [],
    "branch.channels": [32, 64, 128],
    "loss.points": None,
    # The far sides are not in this grid: it is not its own mirror image. `symmetric` does it by hand.
    "symmetries": False,
}
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


def network(data: OperatorData, config: PdeConfig, seed: int) -> Fit:
    """Trains a network at 16 x 16, and asks it at both resolutions."""

    def run(out: Path) -> Errors:
        train({"darcy": data}, out, resolve_seed(config, seed), session=Session(overwrite=True))
        operator = load_operator(out)
        found: Errors = {}
        for side in (16, 32):
            fine = as_data(*read(f"darcy_test_{side}.pt"), split=np.full(50, SPLITS.index("test")))
            axis = np.arange(side) / side
            field = operator.answer(
                TASK,
                fine.parameters,
                fine.functions,
                fine.coordinates,
                distance=fine.distance,
                function_axes=[axis] * 2,
            )
            error = np.linalg.norm(field - fine.solution, axis=1) / np.linalg.norm(fine.solution, axis=1)
            found[f"{side} x {side}"] = {"relative_l2": float(error.mean())}
        return found

    return Fit(run, network_key(data, config))


def main() -> None:
    work = arguments(__doc__)
    x, y = read("darcy_train_16.pt")
    x_test, y_test = read("darcy_test_16.pt")
    split = np.repeat([0, 1, 2], [len(x) - VALIDATION, VALIDATION, len(x_test)])
    data = as_data(np.concatenate([x, x_test]), np.concatenate([y, y_test]), split)
    # The regressions choose their settings on training samples: they may have those that the networks validate on.
    all_data = replace(data, split=np.where(split == 1, 0, split).astype(np.int8))
    turned, all_turned = symmetric(data), symmetric(all_data)
    systems = {
        "plus": (data, scaled("mt-deeponet-darcy-plus", work.scale, **SETTINGS)),
        # Eight times the rows an epoch, twice the steps.
        "plus, the square's eight symmetries": (
            turned,
            scaled("mt-deeponet-darcy-plus", work.scale / 4, **SETTINGS),
        ),
    }
    rows, means = [], {}
    for label, (given, config) in systems.items():
        kept = work.over_seeds(f"darcy16 {label}", partial(network, given, config))
        if kept:
            errors = [[e[f"{side} x {side}"]["relative_l2"] for e, _ in kept] for side in (16, 32)]
            means[label] = float(np.mean(errors[0]))
            rows.append([label, *map(over_seeds, errors), str(len(kept)), _median_seconds(kept)])
    baselines = [(name, name, all_data) for name in BASELINE_NAMES]
    baselines.append(("kernel ridge, the square's eight symmetries", "kernel ridge", all_turned))
    for label, name, given in baselines:
        kept = work.over_seeds(
            f"darcy16 {label}", partial(baseline, name, given), work.seeds if "deepxde" in name else 1
        )
        if kept:
            errors = [found[TASK]["relative_l2"] for found, _ in kept]
            means[label] = float(np.mean(errors))
            rows.append([label, over_seeds(errors), "", str(len(kept)), _median_seconds(kept)])
    header = ["what", "16 x 16", "32 x 32, same model", "seeds", "seconds, median"]
    note = (
        "Data: darcy_16 of neuraloperator (MIT): 1,000 training samples, of which the networks keep 100 to validate "
        "on, 50 test samples. Mean over test samples of the relative L2 error, 95 % intervals over seeds. `plus` is "
        "`mt-deeponet-darcy-plus` with convolutions of 32, 64 and 128 channels at 16 x 16, no geometry channels and "
        "all points in each step; with the symmetries it has eight times the rows and a quarter of the epochs. The "
        "regressions choose their settings by leave-one-out on training samples, of at most 600 drawn ones; among the "
        "symmetric ones a sample's mirror images stay, so that choice is optimistic, the test error is not."
    )
    write_section("PDE: Darcy at 16 x 16", f"{table(header, rows)}\n\n{_verdict(means)}\n\n{note}")


def _median_seconds(found: Sequence[tuple[Errors, float]]) -> str:
    return f"{np.median([seconds for _, seconds in found]):.0f}"


def _verdict(means: dict[str, float]) -> str:
    """Whether the networks or the kernel ridge are ahead, with and without the symmetries."""
    lines = []
    for ending in ("", ", the square's eight symmetries"):
        ours, theirs = means.get(f"plus{ending}"), means.get(f"kernel ridge{ending}")
        if ours is not None and theirs is not None:
            ahead = "kernel ridge is ahead" if theirs < ours else "the network is ahead"
            lines.append(f"{'With' if ending else 'Without'} the symmetries {ahead}: {ours:.2%} against {theirs:.2%}.")
    return " ".join(lines)


if __name__ == "__main__":
    main()
