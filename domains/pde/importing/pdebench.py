"""PDEBench's HDF5: one `tensor` with coordinates (and `nu` for Darcy flow), or a group for each seed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.data.samples import Quantity
from domains.pde.importing.assemble import Raw
from domains.pde.importing.options import ImportOptions

_SEED = re.compile(r"\d+")


def is_pdebench(path: Path) -> bool:
    """Whether an HDF5 file has one of the two layouts."""
    import h5py

    with h5py.File(path, "r") as file:
        return "x-coordinate" in file or _seeds(file) != []


def _seeds(file: Any) -> list[str]:
    return sorted(name for name in file if _SEED.fullmatch(name) and "data" in file[name] and "grid" in file[name])


def read_pdebench(path: Path, options: ImportOptions) -> Raw:
    """Samples (N, *grid) with their axes; the input is `nu` where there is one, else the state at the first time.

    Layouts: ``tensor`` (N, t, x, ...) or (N, 1, x, y) with ``nu`` (N, x, y), ``t-coordinate``, ``x-coordinate``, ...; a
    field of another name (``density``) is chosen with the option `outputs`. ``0000/data`` (t, x, ..., v) with
    ``0000/grid/t``, ``0000/grid/x``, ...; one of v components is chosen with the option `channel`, the inputs have all.
    A time axis may be one longer than the data: it then holds the edges of the steps, and the first ones are taken.

    Raises:
        ValueError: a field or an axis is missing, or lengths disagree.
    """
    import h5py

    with h5py.File(path, "r") as file:
        seeds = _seeds(file)
        notes = {key: _plain(value) for key, value in file.attrs.items()}
        if seeds:
            states, axes = _of_seeds(file, seeds, options, path)
            nu = None
        else:
            states, axes, nu = _of_tensor(file, options, path)
    names = tuple(axes)
    shape = states.shape[1:-1]
    for (name, axis), length in zip(axes.items(), shape, strict=True):
        if len(axis) not in (length, length + (name == "t")):
            raise ValueError(f"{path}: the axis {name} has {len(axis)} values, the data {length}")
    values = [axis[:length] for axis, length in zip(axes.values(), shape, strict=True)]
    if nu is None:
        if names[0] != "t":
            raise ValueError(f"{path}: neither nu nor a time axis: no input to learn from")
        functions = np.moveaxis(states[:, 0], -1, 1)
    else:
        functions = nu[:, None]
    component = options.channel if options.channel is not None else 0
    if states.shape[-1] > 1 and options.channel is None:
        raise ValueError(f"{path}: the data have {states.shape[-1]} components; choose one (--set channel=0, 1, ...)")
    if not 0 <= component < states.shape[-1]:
        raise ValueError(f"{path}: no component {component}: the data have {states.shape[-1]}")
    state = options.outputs or "state"
    inputs = ("nu",) if nu is not None else tuple(f"initial {state} {k}" for k in range(functions.shape[1]))
    return Raw(
        solution=states[..., component],
        coordinates=np.stack(np.meshgrid(*values, indexing="ij"), axis=-1),
        axes=tuple(map(Quantity, names)),
        functions=functions,
        function_names=tuple(map(Quantity, inputs)),
        solution_name=Quantity(state),
        notes={"pdebench": notes},
    )


def _of_seeds(file: Any, seeds: list[str], options: ImportOptions, path: Path):
    axes = {
        name: np.asarray(file[seeds[0]]["grid"][name])
        for name in ("t", "x", "y", "z")
        if name in file[seeds[0]]["grid"]
    }
    shapes = {file[seed]["data"].shape for seed in seeds}
    if len(shapes) > 1:
        raise ValueError(f"{path}: the seeds have data of different shapes: {', '.join(map(str, sorted(shapes)))}")
    states = np.stack([np.asarray(file[seed]["data"]) for seed in seeds[: options.samples]])
    if states.ndim == len(axes) + 1:
        states = states[..., None]
    if states.ndim != len(axes) + 2:
        raise ValueError(f"{path}: data of shape {states.shape[1:]} on the axes {', '.join(axes)}")
    return states, axes


def _of_tensor(file: Any, options: ImportOptions, path: Path):
    field = options.outputs or "tensor"
    if field not in file:
        raise ValueError(f"{path}: no field {field!r}; choose one with --outputs: {', '.join(sorted(file))}")
    states = np.asarray(file[field][: options.samples])
    axes = {
        name: np.asarray(file[f"{name}-coordinate"]) for name in ("t", "x", "y", "z") if f"{name}-coordinate" in file
    }
    nu = np.asarray(file["nu"][: options.samples]) if "nu" in file else None
    if nu is not None:
        # Steady: the axis of one time is dropped.
        axes.pop("t", None)
        if states.ndim == len(axes) + 2 and states.shape[1] == 1:
            states = states[:, 0]
        if len(nu) != len(states):
            raise ValueError(f"{path}: {len(nu)} samples of nu, but {len(states)} of {field}")
    if states.ndim != len(axes) + 1:
        raise ValueError(f"{path}: {field} of shape {states.shape} on the axes {', '.join(axes)}")
    return states[..., None], axes, nu


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.dtype.kind in "biuf" else str(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
