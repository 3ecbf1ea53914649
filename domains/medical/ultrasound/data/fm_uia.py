"""The FM_UIA data format: task tables under ``csv_files/``, read exactly and written in the official layout."""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from domains.medical.ultrasound.data.rows import TASK_NAMES, Kind, Row
from polyhead.evaluation.report import Problem
from polyhead.system.files import write_whole

TABLES = "csv_files"
LABELS = "labels.json"
ENCODINGS = ("utf-8-sig", "gbk", "gb18030")

_COMMON = ("image_path", "task_id", "task_name", "num_classes")
_BOX = ("x_min", "y_min", "x_max", "y_max")
_LABEL_COLUMNS: dict[Kind, tuple[str, ...]] = {
    "segmentation": ("mask_path",),
    "classification": ("mask",),
    "detection": _BOX,
    "keypoints": ("point_1_xy",),
}
_MISSING = frozenset({"", "nan", "none", "null", "na"})
_SHORT: dict[Kind, str] = {"segmentation": "Seg", "classification": "Cls", "detection": "Det", "keypoints": "Reg"}
_WORDS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")


@dataclass(frozen=True)
class Tables:
    """What the tables of a data root say.

    Attributes:
        root: absolute path of the data root.
        rows: in the order of the files by name, then of their lines.
        problems: rows that could not be understood (not in `rows`), and conflicts between rows (which are).
        labels: names of the outputs per task from ``csv_files/labels.json``, an optional extension of the format.
        variants: paths as written that are on disk under another Unicode spelling only, and which difference it was.
        encodings: encoding of each table.
    """

    root: Path
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)
    encodings: dict[str, str] = field(default_factory=dict)

    def tasks(self) -> dict[str, tuple[Kind, int]]:
        """Kind and number of outputs of each task, sorted by name; tables that contradict each other: ValueError."""
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


def read_tables(root: Path, *, labels: bool = True) -> Tables:
    """Reads ``root/csv_files/*.csv``, sorted by name, as utf-8 (with or without BOM), gbk or gb18030.

    Image and mask paths are relative to ``csv_files/``; backslashes separate too. A path that is not on disk as written
    is looked for under other spellings of U+00A0 and of Unicode normal forms, and under nothing else; a match is
    recorded in `Tables.variants`. A path that is not found at all stays as written: the checks name it.

    Args:
        root: the data root.
        labels: whether rows must be labelled. False reads tables of a test set; whole labels are kept.

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
    finder = _Finder(tables.variants)
    for file in files:
        text, tables.encodings[file.name] = _decode(file)
        for row in _parse(file, text, labels, finder):
            if isinstance(row, Row):
                tables.rows.append(row)
            else:
                tables.problems.append(row)
    tables.problems.extend(_conflicts(tables.rows))
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


class _Finder:
    """Finds a written path on disk; folder listings are kept, as thousands of rows share a folder."""

    def __init__(self, variants: dict[str, str]):
        self.variants = variants
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, folder: Path, written: str) -> Path:
        """Absolute path of `written`, as written wherever that exists or nothing matches."""
        verbatim = os.path.normpath(os.path.join(folder, written))  # noqa: PTH118 - text, ten times as quick as Path
        if self._exists(verbatim):
            return Path(verbatim)
        path = os.path.normpath(os.path.join(folder, written.replace("\\", "/")))  # noqa: PTH118
        if path != verbatim and self._exists(path):
            return Path(path)
        found = self._respelled(path)
        if found is None:
            return Path(path)
        spaces = found.replace("\u00a0", " ") == path.replace("\u00a0", " ")
        self.variants[written] = "U+00A0 and space" if spaces else "Unicode normal form"
        return Path(found)

    def _exists(self, path: str) -> bool:
        folder, name = os.path.split(path)
        # Only the file system knows whether it tells upper from lower case, so a name that is not listed is asked for.
        return name in self._listing(folder).get(_folded(name), ()) or os.path.exists(path)  # noqa: PTH110

    def _respelled(self, path: str) -> str | None:
        """The one path whose every part differs from `path` by spelling only; None if there is none or several."""
        folder, name = os.path.split(path)
        if not name:
            return path
        known: str | None = folder if os.path.isdir(folder) else self._respelled(folder)  # noqa: PTH112
        names = [] if known is None else self._listing(known).get(_folded(name), [])
        if known is None or (name not in names and len(names) != 1):
            return None
        return os.path.join(known, name if name in names else names[0])  # noqa: PTH118

    def _listing(self, folder: str) -> dict[str, list[str]]:
        """Names in a folder by their folded spelling; empty where there is no such folder."""
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            with suppress(OSError, ValueError):
                for name in os.listdir(folder):  # noqa: PTH208
                    names.setdefault(_folded(name), []).append(name)
            self._listings[folder] = names
        return self._listings[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\u00a0", " "))


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


def _parse(file: Path, text: str, labels: bool, finder: _Finder) -> Iterator[Row | Problem]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise ValueError(f"{file} is empty; remove it or write its header")
        absent = [name for name in _COMMON if name not in header]
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
                yield Problem("bad-row", where, reason, "quote fields that hold commas")
                continue
            cells = dict(zip(header, fields, strict=True))
            try:
                yield _row(cells, file, start, labels, finder)
            except _BadCell as error:
                yield Problem(error.code, where, str(error), "mend or remove the row")
    except csv.Error as error:
        raise ValueError(f"{file}:{reader.line_num}: {error}; save it as plain csv") from error
    if not count:
        raise ValueError(f"{file} has a header and no rows; remove it or add rows")


class _BadCell(Exception):
    """A cell that cannot be understood."""

    def __init__(self, code: str, reason: str):
        super().__init__(reason)
        self.code = code


def _row(cells: dict[str, str], file: Path, line: int, labels: bool, finder: _Finder) -> Row:
    kind = TASK_NAMES.get(cells["task_name"].strip()) or _kind(cells["task_name"])
    task, image_path = cells["task_id"].strip(), cells["image_path"]
    if not task:
        raise _BadCell("bad-row", "task_id is empty")
    if not image_path.strip():
        raise _BadCell("bad-row", "image_path is empty")
    outputs = _integer(cells["num_classes"], "num_classes")
    if outputs < 1:
        raise _BadCell("bad-row", f"num_classes is {outputs}")
    absent = [name for name in _LABEL_COLUMNS[kind] if name not in cells]
    if labels and absent:
        reason = f"{file} has no column {', '.join(absent)}, which {kind} rows need (line {line})"
        raise ValueError(f"{reason}; without labels it can be predicted, not trained on")
    row = Row(task, kind, outputs, finder.find(file.parent, image_path), image_path, table=file.name, line=line)
    try:
        found = _label(row, cells, file.parent, finder)
    except _BadCell:
        if labels:
            raise
        found = {}
    if labels and not found:
        raise _BadCell("missing-label", f"no {', '.join(_LABEL_COLUMNS[kind])}")
    return Row(**{**row.__dict__, **found})


def _kind(name: str) -> Kind:
    """The kind of a task_name that is spelled in other letters than the official ones."""
    known: dict[str, Kind] = {official.lower(): kind for official, kind in TASK_NAMES.items()}
    if name.strip().lower() not in known:
        raise _BadCell("bad-row", f"task_name {name!r} is none of {', '.join(TASK_NAMES)}")
    return known[name.strip().lower()]


def _label(row: Row, cells: dict[str, str], folder: Path, finder: _Finder) -> dict[str, object]:
    """The label fields that the cells fill, empty if none."""
    if row.kind == "segmentation":
        path = cells.get("mask_path", "")
        return {} if _is_missing(path) else {"mask": finder.find(folder, path), "mask_path": path}
    if row.kind == "classification":
        label = cells.get("mask", "")
        return {} if _is_missing(label) else {"label": _integer(label, "mask")}
    if row.kind == "detection":
        sides = [cells.get(name, "") for name in _BOX]
        if all(map(_is_missing, sides)):
            return {}
        return {"box": tuple(_number(side, name) for side, name in zip(sides, _BOX, strict=True))}
    points = []
    names = [f"point_{k}_xy" for k in range(1, 1 + max(row.outputs, len(cells)))]
    filled = [name for name in names if not _is_missing(cells.get(name, ""))]
    for name in filled:
        points.append(_point(cells[name], name))
    if filled != names[: len(filled)]:
        raise _BadCell("missing-label", f"{names[len(filled) - 1]} or an earlier point is empty, {filled[-1]} is not")
    return {"points": tuple(points)} if points else {}


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _number(cell: str, name: str) -> float:
    if _is_missing(cell):
        raise _BadCell("missing-label", f"{name} is empty")
    try:
        return float(cell)
    except ValueError:
        raise _BadCell("bad-row", f"{name} is {cell!r}, not a number") from None


def _integer(cell: str, name: str) -> int:
    number = _number(cell, name)
    if not number.is_integer():
        raise _BadCell("bad-row", f"{name} is {cell!r}, not a whole number")
    return int(number)


def _point(cell: str, name: str) -> tuple[float, float]:
    try:
        x, y = json.loads(cell)
        return float(x), float(y)
    except (ValueError, TypeError, OverflowError):
        raise _BadCell("bad-row", f'{name} is {cell!r}, not a pair "[x, y]"') from None


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
        for axis, name in enumerate(_BOX):
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
