"""A foreign file, or several, become one data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from domains.pde.data.samples import OperatorData
from domains.pde.importing import published
from domains.pde.importing.assemble import Raw, assemble
from domains.pde.importing.containers import kind_of, read_arrays
from domains.pde.importing.named import raw_of
from domains.pde.importing.options import ImportOptions
from domains.pde.importing.pdebench import is_pdebench, read_pdebench
from domains.pde.importing.table import read_table

_PART = re.compile(r"(?:^|[_-])(train|test|validation|valid|val)(?=[_-]|$)", re.IGNORECASE)


def import_data(
    path: str | Path | Sequence[str | Path], *, problem: str, options: ImportOptions | None = None
) -> OperatorData:
    """One data set from a foreign file, a folder of npy files, or several files.

    Formats, told apart by content: npz, npy (all of the folder, named by file), MATLAB 5 and 7.3, csv (`read_table`),
    PDEBench's HDF5 (`read_pdebench`), other HDF5, and torch files with a dict of tensors (neuraloperator). Several
    files must share points and names; each is a task, named by its file. ``train``, ``validation`` and ``test`` in a
    file's name say which part it is, and files that differ in nothing else are one task.

    Raises:
        ValueError: what is wrong, in which file, with the arrays found, and what to do.
    """
    options = options or ImportOptions()
    if isinstance(path, str | Path):
        return _import_one(Path(path), problem, options)
    if not path:
        raise ValueError("no file to import")
    return join([_import_one(Path(entry), problem, options) for entry in path])


def _import_one(path: Path, problem: str, options: ImportOptions) -> OperatorData:
    task, split = _name(path)
    if split is not None and options.split is None:
        options = replace(options, split="validation" if split.startswith("val") else split)
    where = str(path)
    raw, known = _raw(path, options, where)
    if options.samples is not None:
        raw = _first(raw, options.samples, where)
    if known == "darcy" and options.order is None:
        options = replace(options, order="F")
    usual = published.task_of(path.stem)
    name = usual if usual and usual.startswith(f"{problem}/") else f"{problem}/{task}"
    return assemble(raw, problem=problem, task=name, options=options, where=where)


def _name(path: Path) -> tuple[str, str | None]:
    found = _PART.search(path.stem)
    if found is None or path.is_dir():
        return path.stem, None
    rest = (path.stem[: found.start()] + path.stem[found.end() :]).strip("_-")
    return rest or path.stem, found[1].lower()


def _raw(path: Path, options: ImportOptions, where: str) -> tuple[Raw, str]:
    if path.is_dir():
        if not any(path.glob("*.npy")):
            raise ValueError(f"{path}: no npy file in this folder; name the file to import")
        return raw_of(read_arrays(path, "npy"), options, where), "named"
    kind = kind_of(path)
    if kind == "csv":
        return read_table(path, options), "table"
    if kind == "hdf5":
        try:
            if is_pdebench(path):
                return read_pdebench(path, options), "pdebench"
        except (OSError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}: cannot be read as HDF5 ({' '.join(str(error).split())[:200]})") from error
    arrays = read_arrays(path, kind)
    if published.is_fisher(arrays) and not options.leading:
        return published.fisher(arrays), "fisher"
    if published.is_darcy(arrays):
        return published.darcy(arrays, options, where), "darcy"
    return raw_of(arrays, options, where), "named"


def _first(raw: Raw, samples: int, where: str) -> Raw:
    if samples < 1:
        raise ValueError(f"{where}: samples must be at least 1, got {samples}")
    count = len(raw.solution)
    taken = {name: getattr(raw, name) for name in ("solution", "functions", "parameters", "mask", "split")}
    # A mask of the whole set has no axis of samples.
    whole = raw.mask is None or raw.mask.ndim < raw.solution.ndim or len(raw.mask) != count
    rows = {name: values[:samples] for name, values in taken.items() if values is not None}
    return replace(raw, **{name: values for name, values in rows.items() if name != "mask" or not whole})


def join(parts: Sequence[OperatorData]) -> OperatorData:
    """Data sets with the same points and names as one; equal tasks and equal geometries become one.

    Raises:
        ValueError: the points or the names differ, or only some have distances.
    """
    first = parts[0]
    for part in parts[1:]:
        label = f"{first.tasks[0]} and {part.tasks[0]}"
        for name in ("problem", "axes", "grid_shape", "parameter_names", "function_names", "solution_name"):
            if getattr(part, name) != getattr(first, name):
                raise ValueError(f"{label} differ in {name}: {getattr(first, name)} and {getattr(part, name)}")
        if not np.array_equal(part.coordinates, first.coordinates):
            raise ValueError(f"{label} have different points; import them as two data sets")
        if part.functions.shape[1:] != first.functions.shape[1:]:
            raise ValueError(f"{label} have different sensors: {first.functions.shape} and {part.functions.shape}")
    masks: dict[bytes, int] = {}
    rows: list[tuple[np.ndarray, np.ndarray | None]] = []
    names: list[str] = []
    tasks: list[str] = []
    task, geometry = [], []
    for part in parts:
        tasks += [name for name in part.tasks if name not in tasks]
        task.append(np.array([tasks.index(name) for name in part.tasks], np.int16)[part.task])
        places = []
        for k, mask in enumerate(part.mask):
            key = mask.tobytes() + (part.distance[k].tobytes() if part.distance is not None else b"")
            if key not in masks:
                masks[key] = len(rows)
                rows.append((mask, None if part.distance is None else part.distance[k]))
                names += part.geometry_names[k : k + 1]
            places.append(masks[key])
        geometry.append(np.array(places, np.int32)[part.geometry])
    attributes = {**first.attributes, "joined": [dict(part.attributes) for part in parts]}
    return replace(
        first,
        tasks=tuple(tasks),
        parameters=np.concatenate([part.parameters for part in parts]),
        functions=np.concatenate([part.functions for part in parts]),
        solution=np.concatenate([part.solution for part in parts]),
        task=np.concatenate(task),
        split=np.concatenate([part.split for part in parts]),
        geometry=np.concatenate(geometry),
        mask=np.stack([mask for mask, _ in rows]),
        distance=_joined_distances(first, rows),
        geometry_names=tuple(names) if len(names) == len(rows) else (),
        attributes=attributes,
    )


def _joined_distances(first: OperatorData, rows: list[tuple[np.ndarray, np.ndarray | None]]) -> np.ndarray | None:
    distances = [distance for _, distance in rows]
    if all(distance is None for distance in distances):
        return None
    if any(distance is None and not mask.all() for mask, distance in rows):
        raise ValueError(f"{first.problem}: only some of the geometries have distances")
    # A geometry without an edge among the points is as far from one as the points reach.
    far = np.linalg.norm(np.ptp(first.coordinates, axis=0))
    return np.stack([np.full(len(mask), far, np.float32) if distance is None else distance for mask, distance in rows])
