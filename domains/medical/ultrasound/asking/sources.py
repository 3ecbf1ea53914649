"""What to predict: the cases of an FM_UIA root, a file, a folder, a glob or a list of paths; nothing is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from domains.medical.intake.images import DICOM_SUFFIXES, IMAGE_SUFFIXES, frame_counts, sniff
from domains.medical.ultrasound.data.fm_uia import TABLES, Tables, is_data_root, read_tables
from polyhead.batch.case import Case, Finding, InvalidInput
from polyhead.batch.inputs import Count, Input, Wanted, as_cases, find_inputs, id_names, relative_name, wanted_of
from polyhead.batch.looking import NoInputInside
from polyhead.batch.outcome import NoInput
from polyhead.batch.search import PassedOver
from polyhead.system.regular import open_regular

MOST_FRAMES = 20_000
"""Frames of one file that are cases; what it holds beyond them is one case, which fails."""

_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES


def cases_from(
    source: str | Path,
    *,
    tasks: Mapping[str, tuple[str, int]] | None = None,
    only: bool = False,
    count: Count | None = None,
    passed: PassedOver | None = None,
) -> list[Case]:
    """The cases of `source`, sorted by id.

    `source` is one of

    - a data root (a folder with ``csv_files/``): a case an image, asked for the tasks of its rows, with
      ``options["rows"] = {task: {"image_path": ..., "mask_path": ...}}``, the paths as written;
    - a file, a folder, a glob or a list of paths, as `polyhead.batch.inputs.find_inputs` has them; images of folders
      are found by suffix and content. Cases of ``failed.txt`` keep the ids that they had. That of a data root names
      images: their rows are not in it, so its cases are asked for all tasks that the model knows; give the root again
      to answer its rows.

    A clip, an animation or a TIFF of several pages gives a case a frame: id ``name/frame_000``, ``options["frame"] =
    0``. Frames that are announced and missing, or too many, are one case together, which fails. DICOM in a folder that
    holds no picture, such as reports and a DICOMDIR, is passed over by name. Files that
    cannot be read and files of a list that do not exist are cases too: reading them says what is wrong; so are rows
    of tables that cannot be understood (the csv is their path, ``options["problem"]`` the reason). Ids are paths
    relative to the folder, the fixed part of the glob, or the root of a list, without suffix; inputs whose ids would be
    the same, or a folder of others, keep their suffix.

    Args:
        source: what to read.
        tasks: kind and outputs of the tasks that the model knows (or that are asked). A case is asked for those of its
            tasks that are here; where rows ask for others, ``options["unknown_tasks"]`` names them, and a case that
            has no other task keeps them, for reading it to fail. Without tables every case is asked for all of them.
        only: the user chose these of the model's tasks: rows of all others are left out.
        count: called with the number of inputs that were looked into, and that of all.
        passed: gets the files that are passed over.

    Raises:
        NoInput: nothing was found.
        ValueError: a task of the tables is of another kind or size than the model's.
    """
    path = Path(source)
    if is_data_root(path):
        return _table_cases(read_tables(path, labels=False), tasks, only)
    try:
        inputs = find_inputs(source, _is_image, looked_for="png, jpg, bmp, tif or DICOM files", passed=passed)
    except NoInput as nothing:
        raise NoInput(f"{nothing} (nor is there a folder {TABLES}/)" if path.is_dir() else str(nothing)) from None
    asked = tuple(tasks or ())
    return _sorted([replace(each, tasks=asked) for each in wanted_of(inputs, _by_frame, count=count)])


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES or _looks_like_image(path)


def _looks_like_image(path: Path) -> bool:
    with open_regular(path) as file:
        return sniff(file.read(132)) is not None


def _by_frame(found: Input) -> list[Wanted]:
    """The input, or one case a frame if the file has several."""
    try:
        held, announced = frame_counts(found.path)
    except InvalidInput as wrong:
        if wrong.code == "no-picture":
            raise NoInputInside(wrong.code, wrong.reason, wrong.remedy) from None
        held = announced = 1
    if held == 0 or max(held, announced) == 1:
        return [Wanted(found.path, id_names(found, _SUFFIXES))]
    names = [id_names(found, _SUFFIXES, f"frame_{k:03d}") for k in range(min(held, MOST_FRAMES))]
    wanted = [Wanted(found.path, each, options={"frame": k}) for k, each in enumerate(names)]
    name = found.path.name
    if announced > held:
        reason = f"{name} announces {announced:,} frames and holds {held:,}; the others are missing"
        missing = Finding("invalid_input", "frames-missing", reason, "copy or export it again")
        wanted.append(Wanted(found.path, id_names(found, _SUFFIXES, "frames_missing"), finding=missing))
    if held > MOST_FRAMES:
        reason = f"{name} holds {held:,} frames; those from {MOST_FRAMES:,} on are not read"
        more = Finding("invalid_input", "too-many-frames", reason, "cut it into several files")
        wanted.append(Wanted(found.path, id_names(found, _SUFFIXES, "frames_beyond"), finding=more))
    return wanted


def _table_cases(tables: Tables, tasks: Mapping[str, tuple[str, int]] | None, only: bool) -> list[Case]:
    for task, (kind, outputs) in tables.tasks().items():
        if tasks is not None and task in tasks and tuple(tasks[task]) != (kind, outputs):
            known = tasks[task]
            reason = f"task {task} is {kind} with {outputs} outputs in the tables, {known[0]} with {known[1]}"
            raise ValueError(f"{reason} in the model; use the model that was trained for these tables")
    asked: dict[tuple[Path, int], dict[str, dict[str, str | None]]] = {}
    for row in tables.rows:
        if only and row.task not in (tasks or ()):
            continue
        answer = {"image_path": row.image_path, "mask_path": row.mask_path}
        # The same image may be listed under two spellings of its path; each spelling gets its own answer.
        turn = 0
        while asked.setdefault((row.image, turn), {}).setdefault(row.task, answer) != answer:
            turn += 1
    wanted = []
    for (image, _), rows in asked.items():
        unknown = [task for task in rows if tasks is not None and task not in tasks]
        options: dict[str, Any] = {"rows": rows} | ({"unknown_tasks": unknown} if unknown else {})
        known = tuple(task for task in rows if task not in unknown) or tuple(rows)
        names = id_names(Input(image, relative_name(image, tables.root)), _SUFFIXES)
        wanted.append(Wanted(image, names, known, options))
    for problem in tables.problems:
        table, _, line = problem.where.rpartition(":")
        name = f"{TABLES}/{table}/line_{line}"
        wanted.append(Wanted(tables.root / TABLES / table, (name, name), options={"problem": str(problem)}))
    if not wanted:
        raise NoInput(f"nothing to do: {tables.root} has no rows of {', '.join(tasks or ())}")
    return _sorted(wanted)


def _sorted(wanted: list[Wanted]) -> list[Case]:
    return sorted(as_cases(wanted), key=lambda case: case.id)
