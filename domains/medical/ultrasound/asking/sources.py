"""What to predict: the cases of an FM_UIA root, a file, a folder, a glob or a list of paths; nothing is dropped."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from domains.medical.intake.images import DICOM_SUFFIXES, IMAGE_SUFFIXES, frame_count, sniff
from domains.medical.ultrasound.data.fm_uia import TABLES, Tables, is_data_root, read_tables
from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.naming import inside, unique_ids
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import LIST_SUFFIXES, read_path_list

_LOOKED_FOR = "png, jpg, bmp, tif or DICOM files"


def cases_from(source: str | Path, *, tasks: Mapping[str, tuple[str, int]] | None = None) -> list[Case]:
    """The cases of `source`, sorted by id.

    `source` is one of

    - a data root (a folder with ``csv_files/``): a case an image, asked for the tasks of its rows, with
      ``options["rows"] = {task: {"image_path": ..., "mask_path": ...}}``, the paths as written;
    - a file; a folder, searched with its subfolders by suffix and content, hidden files and folders left out;
    - a glob (``**`` goes down); a list of paths (``.txt``, see `polyhead.batch.path_lists`), such as ``failed.txt``,
      whose cases keep the ids that they had. That of a data root names images: their rows are not in it, so its
      cases are asked for all tasks that the model knows; give the root again to answer its rows.

    A clip or a TIFF of several pages gives a case a frame: id ``name/frame_000``, ``options["frame"] = 0``. Files that
    cannot be read and files of a list that do not exist are cases too: reading them says what is wrong; so are rows
    of tables that cannot be understood (the csv is their path, ``options["problem"]`` the reason). Ids are paths
    relative to the folder, the fixed part of the glob, or the root of a list, without suffix; inputs whose ids would be
    the same, or a folder of others, keep their suffix.

    Args:
        source: what to read.
        tasks: kind and outputs of the tasks that the model knows (or that are asked). A case is asked for those of its
            tasks that are here; where rows ask for others, ``options["unknown_tasks"]`` names them, and a case that
            has no other task keeps them, for reading it to fail. Without tables every case is asked for all of them.

    Raises:
        NoInput: nothing was found.
        ValueError: a task of the tables is of another kind or size than the model's.
    """
    path = Path(source)
    if is_data_root(path):
        return _table_cases(read_tables(path, labels=False), tasks)
    if path.is_dir():
        inputs = [_Input(file, _relative(file, path)) for file in _images_under(path)]
        looked = f"{_LOOKED_FOR} in the folder {path} and below (nor is there a folder {TABLES}/)"
    elif path.suffix.lower() in LIST_SUFFIXES and path.is_file() and not _looks_like_image(path):
        inputs = _listed(path)
        looked = f"paths in the list {path}"
    elif path.exists() or not glob.has_magic(str(source)):
        if not path.exists():
            raise NoInput(f"there is no file, folder or glob match {path}")
        inputs, looked = [_Input(path, path.name)], str(path)
    else:
        base = _fixed_part(str(source))
        matches = sorted(Path(match) for match in glob.glob(str(source), recursive=True))  # noqa: PTH207 - any root
        inputs = [_Input(file, _relative(file, base)) for match in matches for file in _images_under(match)]
        looked = f"{_LOOKED_FOR} matching {source}"
    cases = _named([each for entry in inputs for each in _by_frame(entry, tuple(tasks or ()))])
    if not cases:
        raise NoInput(f"nothing to do: found no {looked}")
    return cases


@dataclass(frozen=True)
class _Input:
    """A file, the name that its id is made of, and what its case holds; an id that is `given` stays as it is."""

    path: Path
    name: str
    given: str | None = None
    frame: str = ""
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def _images_under(folder: Path) -> Iterator[Path]:
    """Images of a folder and below, sorted; a file gives itself. Links are followed, each folder entered once."""
    if not folder.is_dir():
        yield folder
        return
    entered: set[str] = set()
    for top, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(top)
        if place in entered:
            folders.clear()
            continue
        entered.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            file = Path(top, name)
            if not name.startswith(".") and (_has_image_suffix(file) or _looks_like_image(file)):
                yield file


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | DICOM_SUFFIXES


def _looks_like_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.is_file() and sniff(file.read(132)) is not None
    except OSError:
        return False


def _listed(file: Path) -> list[_Input]:
    """The files of a list, each once; folders in it are searched."""
    listed = read_path_list(file)
    inputs: dict[tuple[Path, str | None], _Input] = {}
    for entry in listed.entries:
        for path in _images_under(entry.path):
            given = entry.id if path == entry.path else None
            inputs[path, given] = _Input(path, given or _relative(path, listed.root), given=given)
    return list(inputs.values())


def _fixed_part(pattern: str) -> Path:
    """The folder of a glob before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])


def _by_frame(entry: _Input, tasks: tuple[str, ...]) -> list[_Input]:
    """The entry, or one entry a frame if the file has several."""
    try:
        frames = frame_count(entry.path) if _may_have_frames(entry.path) else 1
    except InvalidInput:
        frames = 1
    if frames == 1:
        return [replace(entry, tasks=tasks)]
    named = {f"frame_{k:03d}": k for k in range(frames)}
    if entry.given is not None:
        chosen = named.get(PurePosixPath(entry.given).name)
        if chosen is not None:
            return [replace(entry, tasks=tasks, options={"frame": chosen})]
        entry = replace(entry, given=None)
    return [replace(entry, tasks=tasks, frame=frame, options={"frame": k}) for frame, k in named.items()]


def _may_have_frames(path: Path) -> bool:
    return path.suffix.lower() not in {".jpg", ".jpeg", ".bmp"}


def _table_cases(tables: Tables, tasks: Mapping[str, tuple[str, int]] | None) -> list[Case]:
    for task, (kind, outputs) in tables.tasks().items():
        if tasks is not None and task in tasks and tuple(tasks[task]) != (kind, outputs):
            known = tasks[task]
            reason = f"task {task} is {kind} with {outputs} outputs in the tables, {known[0]} with {known[1]}"
            raise ValueError(f"{reason} in the model; use the model that was trained for these tables")
    asked: dict[tuple[Path, int], dict[str, dict[str, str | None]]] = {}
    for row in tables.rows:
        answer = {"image_path": row.image_path, "mask_path": row.mask_path}
        # The same image may be listed under two spellings of its path; each spelling gets its own answer.
        turn = 0
        while asked.setdefault((row.image, turn), {}).setdefault(row.task, answer) != answer:
            turn += 1
    inputs = []
    for (image, _), rows in asked.items():
        unknown = [task for task in rows if tasks is not None and task not in tasks]
        options: dict[str, Any] = {"rows": rows} | ({"unknown_tasks": unknown} if unknown else {})
        known = tuple(task for task in rows if task not in unknown) or tuple(rows)
        inputs.append(_Input(image, _relative(image, tables.root), tasks=known, options=options))
    for problem in tables.problems:
        table, _, line = problem.where.rpartition(":")
        name = f"{TABLES}/{table}/line_{line}"
        inputs.append(_Input(tables.root / TABLES / table, name, options={"problem": str(problem)}))
    return _named(inputs)


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _named(inputs: Sequence[_Input]) -> list[Case]:
    """The cases under their ids, sorted by them."""
    ids = unique_ids([(_id(entry, with_suffix=False), _id(entry, with_suffix=True)) for entry in inputs])
    cases = [Case(name, each.path, each.tasks, dict(each.options)) for name, each in zip(ids, inputs, strict=True)]
    return sorted(cases, key=lambda case: case.id)


def _id(entry: _Input, *, with_suffix: bool) -> str:
    name = inside(entry.name)
    if entry.given is None and not with_suffix and name.suffix.lower() in IMAGE_SUFFIXES | DICOM_SUFFIXES:
        name = name.with_suffix("")
    return (name / entry.frame).as_posix() if entry.frame else name.as_posix()
