"""What to predict: samples of data files, parameter files, tables, masks, meshes and arrays; nothing is dropped."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from domains.pde.asking.questions import read_request, read_table
from domains.pde.data.samples import SPLITS
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.naming import inside, unique_ids
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import LIST_SUFFIXES, read_path_list

REQUESTS = frozenset({".json", ".yaml", ".yml"})
TABLES = frozenset({".csv"})
ARRAYS = frozenset({".npz"})
MASKS = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif"})
MESHES = frozenset({".vtu", ".vtk", ".msh", ".stl", ".ply", ".obj", ".off", ".inp", ".xdmf", ".mesh"})
DATA = frozenset({".h5", ".hdf5"})

logger = logging.getLogger(__name__)

_KINDS = {"request": REQUESTS, "table": TABLES, "arrays": ARRAYS, "mask": MASKS, "mesh": MESHES}
_SUFFIXES = frozenset().union(*_KINDS.values())
_LOOKED_FOR = "data files (.h5), parameter files (.json, .yaml, .csv, .npz), masks (.png ...) or meshes (.vtu ...)"


@dataclass(frozen=True)
class _Input:
    path: Path
    name: str
    options: dict[str, Any]
    tasks: tuple[str, ...] = ()
    given: bool = field(default=False)


def cases_from(source: str | Path, *, split: str = "test", tasks: Sequence[str] | None = None) -> list[Case]:
    """The cases of `source`, sorted by id; what of each file is meant stands in ``options["kind"]``.

    `source` is one of

    - a data folder or data file (``.h5``): a case a sample of the split, id ``<task>/<row>``, kind "sample"; a file
      that is damaged is one case, which fails;
    - a file, a folder with all below it, a glob, or a list of paths (``.txt``, also ``failed.txt``): parameter files
      (kind "request"), tables (a case a line, kind "table"), arrays, masks and meshes. Files of a folder that a
      parameter file refers to are no cases of their own; their hashes are in its ``options["files"]``.

    Args:
        source: what to read.
        split: "train", "validation", "test" or "all", of data files only.
        tasks: the tasks that are asked; samples of others are left out. None asks for all.

    Raises:
        NoInput: nothing was found.
        ValueError: a data file that cannot be read.
    """
    if split not in (*SPLITS, "all"):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}, all")
    path = Path(source)
    looked = f"{_LOOKED_FOR} in {path}"
    if path.is_dir() and _has_data(path):
        _tell_passed_over(path)
        inputs = _samples(path, split, tasks)
        looked = f"samples of the split {split!r} in {path}"
    elif path.is_dir():
        inputs = _folder(path)
    elif path.suffix.lower() in LIST_SUFFIXES and path.is_file():
        inputs, looked = _listed(path, split, tasks), f"paths in the list {path}"
    elif path.exists():
        inputs = _file(path, path.name, split, tasks)
        looked = f"samples of the split {split!r} in {path}" if path.suffix.lower() in DATA else looked
    elif glob.has_magic(str(source)):
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207 - any root
        base = Path(os.path.commonpath([match.parent for match in matches])) if matches else Path()
        inputs = [each for match in matches for each in _file(match, _relative(match, base), split, tasks)]
        looked = f"{_LOOKED_FOR} matching {source}"
    else:
        raise NoInput(f"there is no file, folder or glob match {path}")
    if not inputs:
        raise NoInput(f"nothing to do: found no {looked}")
    return _named(inputs)


def _file(path: Path, name: str, split: str, tasks: Sequence[str] | None) -> list[_Input]:
    if path.is_dir():
        return _samples(path, split, tasks) if _has_data(path) else _folder(path)
    if path.suffix.lower() in DATA:
        return _samples(path, split, tasks)
    return list(_inputs(path, name))


def _has_data(folder: Path) -> bool:
    from domains.pde.data.store import data_paths

    return bool(data_paths(folder))


def _samples(source: Path, split: str, tasks: Sequence[str] | None) -> list[_Input]:
    import h5py
    import numpy as np

    from domains.pde.data.store import data_files, data_paths, read_info

    given = data_paths(source)
    damaged = [path for path in given if not _is_whole(path)]
    inputs = [_Input(path, path.name, {"kind": "sample", "row": 0}) for path in damaged]
    for path in data_files(source, but=damaged).values() if len(damaged) < len(given) else ():
        names = read_info(path)["tasks"]
        with h5py.File(path, "r") as file:
            task, side = (np.asarray(file[f"samples/{name}"]) for name in ("task", "split"))
        for row, (index, of) in enumerate(zip(task.tolist(), side.tolist(), strict=True)):
            if split in ("all", SPLITS[of]) and (tasks is None or names[index] in tasks):
                options = {"kind": "sample", "row": row, "split": SPLITS[of]}
                inputs.append(_Input(path, f"{names[index]}/{row:05d}", options, (names[index],), given=True))
    return inputs


def _is_whole(path: Path) -> bool:
    """Whether a data file can be opened; one that cannot is a case of its own, which says why and stops no other."""
    from domains.pde.data.store import read_info

    try:
        read_info(path)
    except ValueError:
        return False
    return True


def _tell_passed_over(folder: Path) -> None:
    """One warning where questions lie beside data files: of such a folder the data files alone are read."""
    others = [_relative(file, folder) for file in _questions(folder)]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        text = "%s holds data files; not read beside them: %s%s; name a file itself to have it read"
        logger.warning(text, folder, others[0], more)


def _questions(folder: Path) -> list[Path]:
    return sorted(
        Path(top, name)
        for top, _, names in os.walk(folder, followlinks=False)
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES
    )


def _folder(folder: Path) -> list[_Input]:
    files = _questions(folder)
    requests = {path: companions(path) for path in files if path.suffix.lower() in REQUESTS}
    used = {each.resolve() for found in requests.values() for each in found}
    kept = [path for path in files if path.resolve() not in used]
    return [each for path in kept for each in _inputs(path, _relative(path, folder))]


def _listed(path: Path, split: str, tasks: Sequence[str] | None) -> list[_Input]:
    listed = read_path_list(path)
    inputs: list[_Input] = []
    for entry in listed.entries:
        found = _file(entry.path, _relative(entry.path, listed.root), "all" if entry.id else split, tasks)
        if entry.id is not None:
            # The list of what failed names samples and lines of tables by the ids that they had.
            same = [each for each in found if _id(each, False) == entry.id or _id(each, True) == entry.id]
            last = PurePosixPath(entry.id).name
            found = same or [each for each in found if last in (f"{each.options.get('line', 0):05d}", each.path.stem)]
            found = [_Input(each.path, entry.id, each.options, each.tasks, given=True) for each in found]
        inputs += found
    unique = {(each.path, each.name, str(each.options)): each for each in inputs}
    return list(unique.values())


def _inputs(path: Path, name: str) -> Iterator[_Input]:
    suffix = path.suffix.lower()
    kind = next((kind for kind, suffixes in _KINDS.items() if suffix in suffixes), "request")
    if kind == "request":
        yield _Input(path, name, {"kind": kind, "files": _hashes(path)})
    elif kind == "table":
        lines = _lines(path)
        for line in range(1, lines + 1):
            yield _Input(path, f"{PurePosixPath(name).with_suffix('')}/{line:05d}", {"kind": kind, "line": line})
        if lines == 0:
            yield _Input(path, name, {"kind": kind, "line": 0})
    else:
        yield _Input(path, name, {"kind": kind})


def companions(path: Path) -> list[Path]:
    """The files that a parameter file refers to, whether or not they are there; none for one that cannot be read."""
    try:
        request = read_request(path)
    except InvalidInput:
        return []
    geometry = request.get("geometry")
    named = [request.get("initial"), request.get("field"), request.get("points")]
    named += [geometry.get("mask"), geometry.get("mesh")] if isinstance(geometry, dict) else []
    return [path.parent / each for each in named if isinstance(each, str) and each not in ("grid", "default", "mesh")]


def _hashes(path: Path) -> dict[str, str | None]:
    """What the companions hold: a changed one makes the case a new one, as a change of the file itself does."""
    from polyhead.batch.receipts import fingerprint

    found: dict[str, str | None] = {}
    for each in companions(path):
        try:
            found[_relative(each, path.parent)] = fingerprint(each)["sha256"]
        except InvalidInput:
            found[_relative(each, path.parent)] = None
    return found


def _lines(path: Path) -> int:
    """Lines below the heading; 0 where the table cannot be read, which reading the case then says."""
    try:
        return max(0, len(read_table(path)) - 1)
    except InvalidInput:
        return 0


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _named(inputs: Sequence[_Input]) -> list[Case]:
    """The cases under their ids, sorted by them."""
    ids = unique_ids([(_id(entry, with_suffix=False), _id(entry, with_suffix=True)) for entry in inputs])
    cases = [Case(name, each.path, each.tasks, dict(each.options)) for name, each in zip(ids, inputs, strict=True)]
    return sorted(cases, key=lambda case: case.id)


def _id(entry: _Input, with_suffix: bool) -> str:
    name = inside(entry.name)
    if not entry.given and not with_suffix and name.suffix.lower() in _SUFFIXES:
        name = name.with_suffix("")
    return name.as_posix()
