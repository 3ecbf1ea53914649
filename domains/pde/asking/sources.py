"""What to predict: samples of data files, parameter files, tables, masks, meshes and arrays; nothing is dropped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from domains.pde.asking.questions import read_request, read_table
from domains.pde.data.samples import SPLITS
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.inputs import (
    Count,
    Input,
    Wanted,
    as_cases,
    find_inputs,
    id_names,
    relative_name,
    tell_not_read,
    wanted_of,
)
from polyhead.batch.outcome import NoInput
from polyhead.batch.search import PassedOver, search

REQUESTS = frozenset({".json", ".yaml", ".yml"})
TABLES = frozenset({".csv"})
ARRAYS = frozenset({".npz"})
MASKS = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif"})
MESHES = frozenset({".vtu", ".vtk", ".msh", ".stl", ".ply", ".obj", ".off", ".inp", ".xdmf", ".mesh"})
DATA = frozenset({".h5", ".hdf5"})

_KINDS = {"request": REQUESTS, "table": TABLES, "arrays": ARRAYS, "mask": MASKS, "mesh": MESHES}
_SUFFIXES = frozenset().union(*_KINDS.values())
_LOOKED_FOR = "data files (.h5), parameter files (.json, .yaml, .csv, .npz), masks (.png ...) or meshes (.vtu ...)"


def cases_from(
    source: str | Path,
    *,
    split: str = "test",
    tasks: Sequence[str] | None = None,
    count: Count | None = None,
    passed: PassedOver | None = None,
) -> list[Case]:
    """The cases of `source`, sorted by id; what of each file is meant stands in ``options["kind"]``.

    `source` is one of

    - a data folder or data file (``.h5``): a case a sample of the split, id ``<task>/<row>``, kind "sample"; a file
      that is damaged is one case, which fails;
    - a file, a folder with all below it, a glob, or a list of paths, as `polyhead.batch.inputs.find_inputs` has them:
      parameter files (kind "request"), tables (a case a line, kind "table"), arrays, masks and meshes. Files of a
      folder to which a parameter file or a table refers are no cases of their own but among the `files` of its cases.

    Args:
        source: what to read.
        split: "train", "validation", "test" or "all", of data files only.
        tasks: the tasks that are asked; samples of others are left out. None asks for all.
        count: called with the number of inputs that were looked into, and that of all.
        passed: gets the files that are passed over.

    Raises:
        NoInput: nothing was found.
        ValueError: a data file that cannot be read.
    """
    if split not in (*SPLITS, "all"):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}, all")
    found = find_inputs(source, _is_question, looked_for=_LOOKED_FOR, folder_is_case=_has_data, passed=passed)
    referred = cache(companions)
    inputs = _without_companions(found, referred)
    wanted = wanted_of(inputs, partial(_parts, split=split, tasks=tasks, referred=referred), count=count)
    if not wanted:
        raise NoInput(f"nothing to do: found no samples of the split {split!r} in {source}")
    return sorted(as_cases(wanted), key=lambda case: case.id)


Referred = Callable[[Path], list[list[Path]]]


def _is_question(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


def _parts(found: Input, split: str, tasks: Sequence[str] | None, referred: Referred) -> Iterable[Wanted]:
    if found.path.suffix.lower() in DATA or found.path.is_dir():
        # The list of what failed names samples of any split.
        return _samples(found.path, "all" if found.given else split, tasks)
    return _questions(found, referred)


def _without_companions(inputs: Sequence[Input], referred: Referred) -> list[Input]:
    """The inputs without those that were found in a folder and to which another one refers that was found there."""
    searched = [each.path for each in inputs if each.searched is not None and each.finding is None]
    used = {file.resolve() for path in searched for files in referred(path) for file in files}
    return [each for each in inputs if not (used and each.searched is not None and each.path.resolve() in used)]


def _has_data(folder: Path) -> bool:
    from domains.pde.data.store import data_paths

    return bool(data_paths(folder))


def _samples(source: Path, split: str, tasks: Sequence[str] | None) -> Iterator[Wanted]:
    import h5py
    import numpy as np

    from domains.pde.data.store import data_files, data_paths, read_info

    if source.is_dir():
        passed = PassedOver()
        others = [source / name for name in search(source, _is_question, passed)]
        tell_not_read(source, "data files", sorted(path for path in others if path not in passed.refused))
        for path, finding in sorted(passed.refused.items()):
            name = relative_name(path, source)
            yield Wanted(path, (name, name), finding=finding)
    given = data_paths(source)
    damaged = [path for path in given if not _is_whole(path)]
    for path in damaged:
        yield Wanted(path, (path.name, path.name), options={"kind": "sample", "row": 0})
    for path in data_files(source, but=damaged).values() if len(damaged) < len(given) else ():
        names = read_info(path)["tasks"]
        with h5py.File(path, "r") as file:
            task, side = (np.asarray(file[f"samples/{name}"]) for name in ("task", "split"))
        for row, (index, of) in enumerate(zip(task.tolist(), side.tolist(), strict=True)):
            if split in ("all", SPLITS[of]) and (tasks is None or names[index] in tasks):
                options = {"kind": "sample", "row": row, "split": SPLITS[of]}
                name = f"{names[index]}/{row:05d}"
                yield Wanted(path, (name, name), (names[index],), options)


def _is_whole(path: Path) -> bool:
    """Whether a data file can be opened; one that cannot is a case of its own, which says why and stops no other."""
    from domains.pde.data.store import read_info

    try:
        read_info(path)
    except ValueError:
        return False
    return True


def _questions(found: Input, referred: Referred) -> Iterator[Wanted]:
    path = found.path
    kind = _kind(path)
    # One that is missing is told when the case is read; once it is there, the case is another one.
    files = [tuple(filter(_is_there, named)) for named in referred(path)]
    if kind == "table":
        for line, held in enumerate(files, 1):
            names = id_names(found, _SUFFIXES, f"{line:05d}")
            yield Wanted(path, names, options={"kind": kind, "line": line}, companions=held)
    if kind != "table" or not files:
        options: dict[str, Any] = {"kind": kind} | ({"line": 0} if kind == "table" else {})
        yield Wanted(path, id_names(found, _SUFFIXES), options=options, companions=files[0] if files else ())


def _is_there(path: Path) -> bool:
    """Also of a pipe or a device: it is a file of the case, which says so and does not read it."""
    return os.path.exists(path) and not os.path.isdir(path)  # noqa: PTH110, PTH112 - of what `Path` refuses, no file


def _kind(path: Path) -> str:
    return next((kind for kind, suffixes in _KINDS.items() if path.suffix.lower() in suffixes), "request")


def companions(path: Path) -> list[list[Path]]:
    """The files to which a parameter file refers, or each line of a table, whether or not they are there.

    A file that cannot be read refers to none: a list for no case. Reading the case says what is wrong.
    """
    kind = _kind(path)
    try:
        if kind == "request":
            return [_named_in(read_request(path), path.parent)]
        if kind == "table":
            heading, *lines = read_table(path) or [[]]
            names = [name.strip() for name in heading]
            return [_named_in(dict(zip(names, map(str.strip, line), strict=False)), path.parent) for line in lines]
    except InvalidInput:
        pass
    return []


def _named_in(request: Mapping[str, Any], folder: Path) -> list[Path]:
    """In a table the parts of a geometry stand in columns of their own."""
    geometry = request.get("geometry")
    held = [request, geometry] if isinstance(geometry, dict) else [request]
    named = [each.get(key) for each in held for key in ("initial", "field", "points", "mask", "mesh")]
    words = ("", "grid", "default", "mesh")
    return [folder / each for each in named if isinstance(each, str) and each not in words and "\0" not in each]
