"""The published MT-DeepONet files, which have conventions of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.importing.assemble import Raw
from domains.pde.importing.containers import Arrays
from domains.pde.importing.named import raw_of
from domains.pde.importing.options import ImportOptions

_TIMES, _POSITIONS = 20, 64
_FISHER_TASKS = {"Fisher1": "fisher/fisher", "Fisher2": "fisher/nws", "Fisher4": "fisher/zfk"}
_DARCY_TASKS = {"sq": "darcy/square", "circle": "darcy/circle", "eqtri": "darcy/triangle"} | {
    "sq_cross": "darcy/square_with_cross"
}


def is_fisher(arrays: Arrays) -> bool:
    """The reaction-diffusion npz: ``n_samples``, ``inputs`` (N, 65 or 66), ``outputs`` with 20 x 64 values each."""
    if set(arrays) != {"n_samples", "inputs", "outputs"}:
        return False
    inputs, outputs = arrays["inputs"], arrays["outputs"]
    columns = (_POSITIONS + 1, _POSITIONS + 2)
    return inputs.ndim == 2 and inputs.shape[1] in columns and outputs.size == len(inputs) * _TIMES * _POSITIONS


def fisher(arrays: Arrays) -> Raw:
    """Inputs are rate, beta (where there are 66 columns, else 0), initial value; both axes are scaled to [0, 1]."""
    inputs = arrays["inputs"]
    numbers = inputs[:, : inputs.shape[1] - _POSITIONS]
    if numbers.shape[1] == 1:
        numbers = np.concatenate([numbers, np.zeros_like(numbers)], axis=1)
    axes = [np.linspace(0, 1, length) for length in (_TIMES, _POSITIONS)]
    return Raw(
        solution=arrays["outputs"].reshape(len(inputs), _TIMES, _POSITIONS),
        coordinates=np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1),
        axes=(Quantity("t"), Quantity("x")),
        functions=inputs[:, None, -_POSITIONS:],
        parameters=numbers,
        parameter_names=(Quantity("rate", "1/s"), Quantity("beta")),
        function_names=(Quantity("initial value"),),
        solution_name=Quantity("concentration"),
        notes={"coordinates": "both axes are scaled to [0, 1]; the file gives no horizon and no length"},
    )


def is_darcy(arrays: Arrays) -> bool:
    """The Darcy ``.mat``: conductivity, solution and mask, each in a training and a test part, and a grid."""
    return {"k_train", "u_train", "shape_train", "xx", "yy"} <= set(arrays)


def darcy(arrays: Arrays, options: ImportOptions, where: str) -> Raw:
    """The input is log K. The published reader flattens masks by columns and solutions by rows: `order` is F here."""
    arrays = dict(arrays)
    for name in [name for name in arrays if name in ("k_train", "k_test")]:
        if not (arrays[name] > 0).all():
            raise ValueError(f"{where}: {name} must be positive: it is a conductivity, and its logarithm is taken")
        arrays[name] = np.log(arrays[name])
    grid = arrays["xx"].shape
    for name in [name for name in arrays if name.rsplit("_", 1)[-1] in ("train", "test")]:
        arrays[name] = arrays[name].reshape(-1, *grid)
    raw = raw_of(arrays, replace(options, inputs="k", outputs="u", mask="shape", coordinates=("xx", "yy")), where)
    return replace(raw, function_names=(Quantity("log conductivity"),), solution_name=Quantity("hydraulic head", "m"))


def task_of(stem: str) -> str | None:
    """The task of a published file: ``"fisher/nws"`` of ``Fisher2_nsamples_1000...``."""
    for start, task in _FISHER_TASKS.items():
        if stem.startswith(start):
            return task
    if stem.startswith("Dataset_") and stem.endswith("_mask"):
        return _DARCY_TASKS.get(stem.removeprefix("Dataset_").removesuffix("_mask"))
    return None
