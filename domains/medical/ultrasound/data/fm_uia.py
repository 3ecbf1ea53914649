"""The FM_UIA data format: task tables under ``csv_files/``, read exactly and written in the official layout."""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domains.medical.ultrasound.data.cells import BOX, COMMON, BadCell, row_of
from domains.medical.ultrasound.data.rows import TASK_NAMES, Kind, Row
from domains.medical.ultrasound.data.spelling import Finder
from polyhead.evaluation.report import Problem
from polyhead.system.files import write_whole

TABLES = "csv_files"
LABELS = "labels.json"
ENCODINGS = ("utf-8-sig", "gbk", "gb18030")

_SHORT: dict[Kind, str] = {"segmentation": "Seg", "classification": "Cls", "detection": "Det", "keypoints": "Reg"}
_WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")


@dataclass(frozen=True)
class Tables:
    """What the tables of a data root say.

    Attributes:
        root: absolute path of the data root.
        rows: in the order of the files by name, then of their lines.
        problems: rows that are not in `rows`, as they could not be understood or contradict their task.
        lost: tasks that are named but have no row in `rows`, and their first problem.
        labels: names of the outputs per task from ``csv_files/labels.json``, an optional extension of the format.
        variants: paths as written that are on disk under another Unicode spelling only, and which difference it was.
        encodings: encoding of each table.
    """

    root: Path
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)
    lost: dict[str, Problem] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)

    def tasks(self) -> dict[str, tuple[Kind, int]]:
        """Kind and number of outputs of each task, sorted by name."""
        return tasks_of(self.rows)


def is_data_root(path: Path) -> bool:
    """True if `path` is a folder with a ``csv_files`` folder."""
    return (Path(path) / TABLES).is_dir()


def tasks_of(rows: Iterable[Row]) -> dict[str, tuple[Kind, int]]:
    """Kind and number of outputs of each task, sorted by name.

    Raises:
        ValueError: a task has two kinds or two numbers of outputs.
    """
    conflicts = _conflicts(rows)
    if conflicts:
        raise ValueError("; ".join(map(str, conflicts[:3])))
    tasks: dict[str, tuple[Kind, int]] = {row.task: (row.kind, row.outputs) for row in rows}
    return {task: tasks[task] for task in sorted(tasks)}


def read_tables(root: Path, *, labels: bool = True, scorer: bool = False) -> Tables:
    """Reads ``root/csv_files/*.csv``, sorted by name, as utf-8 (with or without BOM), gbk or gb18030.

    Image and mask paths are relative to ``csv_files/``; backslashes separate too. A path that is not on disk as written
    is looked for under other spellings of U+00A0 and of Unicode normal forms, and under nothing else; a match is
    recorded in `Tables.variants`. A path that is not found at all stays as written: the checks name it.

    Where rows of one task differ in kind or number of outputs, those that most of them have stand, and the others are
    left out; where no two numbers of rows differ, nobody knows which are right and all are left out.

    Args:
        root: the data root.
        labels: whether rows must be labelled. False reads tables of a test set; whole labels are kept.
        scorer: points that are missing are (0, 0), and points that the task does not have are left away, as the
            challenge's public scorer takes them.

    Raises:
        ValueError: no folder, no ``csv_files``, no csv, a table that is empty, of unknown encoding or without a
            column that its tasks need; a broken ``labels.json``.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - symlinks stay as they are
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; name the folder that holds {TABLES}/")
    folder = root / TABLES
    if not folder.is_dir():
        raise ValueError(f"{root} has no folder {TABLES}/; name the folder that holds it")
    files = sorted((file for file in folder.iterdir() if _is_table(file)), key=lambda file: file.name)
    if not files:
        raise ValueError(f"{folder} holds no csv file")
    tables = Tables(root, [], labels=_read_labels(folder / LABELS))
    finder = Finder(tables.variants)
    for file in files:
        text, tables.encodings[file.name] = _decode(file)
        for task, row in _parse(file, text, labels, scorer, finder):
            if isinstance(row, Row):
                tables.rows.append(row)
            else:
                tables.problems.append(row)
                tables.lost.setdefault(task, row)
    tables.rows[:], contradicting = _settled(tables.rows)
    for task, problem in contradicting:
        tables.problems.append(problem)
        tables.lost.setdefault(task, problem)
    for task in {"", *(row.task for row in tables.rows)}:
        tables.lost.pop(task, None)
    return tables


def write_tables(root: Path, rows: Iterable[Row], *, labels: Mapping[str, Sequence[str]] | None = None) -> list[Path]:
    """Writes one csv a task, named ``<Seg|Cls|Det|Reg>-<Two|Three|..>_<k>.<task>.csv``, and ``labels.json`` if given.

    Label columns that no row of a task fills are left out. Paths are written as the rows have them.

    Args:
        root: the data root; ``csv_files/`` is made.
        rows: of any tasks; a task's rows keep their order.
        labels: names of the outputs per task.

    Returns:
        The files written.

    Raises:
        ValueError: no rows, tasks that contradict themselves, or other tables in ``csv_files/``, which would be read
            together with these.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("there are no rows to write")
    tasks = tasks_of(rows)
    folder = Path(root) / TABLES
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for task in dict.fromkeys(row.task for row in rows):
        kind, outputs = tasks[task]
        word = _WORDS[outputs] if outputs < len(_WORDS) else str(outputs)
        stem = f"{_SHORT[kind]}-{word}"
        counts[stem] = counts.get(stem, 0) + 1
        name = f"{stem}_{counts[stem]}.{task.replace('/', '_').replace(os.sep, '_')}.csv"
        texts[name] = _table([row for row in rows if row.task == task])
    others = sorted(file.name for file in folder.iterdir() if _is_table(file)) if folder.is_dir() else []
    others = [name for name in others if name not in texts]
    if others:
        raise ValueError(f"{folder} holds other tables ({others[0]}, {len(others)} in all); write to another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if labels:
        texts[LABELS] = json.dumps({task: list(names) for task, names in labels.items()}, ensure_ascii=False, indent=1)
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in texts]


def _is_table(file: Path) -> bool:
    return file.suffix.lower() == ".csv" and not file.name.startswith(".") and file.is_file()


def _decode(file: Path) -> tuple[str, str]:
    data = file.read_bytes()
    for encoding in ENCODINGS:
        try:
            return data.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise ValueError(f"{file} is neither utf-8 nor gbk nor gb18030; save it as utf-8")


def _parse(file: Path, text: str, labels: bool, scorer: bool, finder: Finder) -> Iterator[tuple[str, Row | Problem]]:
    """The task, empty where it is not known, and the row or what is wrong with it."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise ValueError(f"{file} is empty; remove it or write its header")
        absent = [name for name in COMMON if name not in header]
        if absent:
            raise ValueError(f"{file} has no column {', '.join(absent)}; found: {', '.join(header)}")
        twice = sorted({name for name in header if name and header.count(name) > 1})
        if twice:
            raise ValueError(f"{file} has the column {twice[0]} twice")
        count, line = 0, reader.line_num + 1
        for fields in reader:
            # A quoted field may span lines; a row is named by its first.
            start, line = line, reader.line_num + 1
            if not fields:
                continue
            count += 1
            where = f"{file.name}:{start}"
            if len(fields) != len(header):
                reason = f"{len(fields)} fields under {len(header)} columns"
                yield "", Problem("bad-row", where, reason, "quote fields that hold commas")
                continue
            cells = dict(zip(header, fields, strict=True))
            try:
                row = row_of(cells, file, start, finder, labels=labels, scorer=scorer)
                yield row.task, row
            except BadCell as error:
                problem = Problem(error.code, where, str(error), "mend or remove the row")
                yield cells["task_id"].strip(), problem
    except csv.Error as error:
        raise ValueError(f"{file}:{reader.line_num}: {error}; save it as plain csv") from error
    if not count:
        raise ValueError(f"{file} has a header and no rows; remove it or add rows")


def _settled(rows: Sequence[Row]) -> tuple[list[Row], list[tuple[str, Problem]]]:
    """The rows that agree with most of their task, and task and problem of each of the others."""
    counts: dict[str, Counter[tuple[Kind, int]]] = {}
    for row in rows:
        counts.setdefault(row.task, Counter())[row.kind, row.outputs] += 1
    if all(len(found) == 1 for found in counts.values()):
        return list(rows), []
    kept, others = [], []
    for row in rows:
        (first, most), *rest = counts[row.task].most_common(2)
        tied = bool(rest) and rest[0][1] == most
        if not tied and (row.kind, row.outputs) == first:
            kept.append(row)
            continue
        known = ", ".join(f"{kind} with {outputs} in {n} rows" for (kind, outputs), n in counts[row.task].most_common())
        reason = f"task {row.task} is {row.kind} with {row.outputs} outputs here; in all it is {known}"
        remedy = "give one of them another task_id" if tied else "mend num_classes, or give the row another task_id"
        others.append((row.task, Problem("conflicting-task", f"{row.table}:{row.line}", reason, remedy)))
    return kept, others


def _conflicts(rows: Iterable[Row]) -> list[Problem]:
    first: dict[str, Row] = {}
    found: dict[tuple[str, Kind, int], Problem] = {}
    for row in rows:
        known = first.setdefault(row.task, row)
        if (row.kind, row.outputs) != (known.kind, known.outputs):
            reason = (
                f"task {row.task} is {row.kind} with {row.outputs} outputs here, "
                f"{known.kind} with {known.outputs} in {known.table}:{known.line}"
            )
            problem = Problem("conflicting-task", f"{row.table}:{row.line}", reason, "give one of them another task_id")
            found.setdefault((row.task, row.kind, row.outputs), problem)
    return list(found.values())


def _read_labels(file: Path) -> dict[str, tuple[str, ...]]:
    if not file.exists():
        return {}
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}); mend or remove it") from error
    whole = isinstance(names, dict) and all(
        isinstance(value, list) and all(isinstance(name, str) for name in value) for value in names.values()
    )
    if not whole:
        raise ValueError(f"{file} must map each task to a list of names; mend or remove it")
    return {task: tuple(value) for task, value in names.items()}


def _table(rows: Sequence[Row]) -> str:
    """The csv text of one task's rows."""
    kind = rows[0].kind
    columns: dict[str, list[str]] = {
        "image_path": [row.image_path for row in rows],
        "task_id": [row.task for row in rows],
        "task_name": [next(name for name, known in TASK_NAMES.items() if known == kind)] * len(rows),
        "num_classes": [str(row.outputs) for row in rows],
    }
    if kind == "segmentation":
        columns["mask_path"] = [row.mask_path or "" for row in rows]
    elif kind == "classification":
        columns["mask"] = ["" if row.label is None else str(row.label) for row in rows]
    elif kind == "detection":
        for axis, name in enumerate(BOX):
            columns[name] = ["" if row.box is None else _digits(row.box[axis]) for row in rows]
    else:
        longest = max(len(row.points or ()) for row in rows)
        for k in range(longest):
            pairs = [(row.points or ())[k : k + 1] for row in rows]
            columns[f"point_{k + 1}_xy"] = [f"[{', '.join(map(_digits, pair[0]))}]" if pair else "" for pair in pairs]
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kept)
    writer.writerows(zip(*kept.values(), strict=True))
    return text.getvalue()


def _digits(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def relative_to_tables(root: Path, path: Path) -> str:
    """The text that a table under `root` has for the file `path`: a POSIX path relative to ``csv_files/``."""
    return posixpath.normpath(Path(os.path.relpath(path, Path(root) / TABLES)).as_posix())
