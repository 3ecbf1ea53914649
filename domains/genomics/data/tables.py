"""Tables of labelled sequences: which files of a folder they are, and their rows with known columns."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from polyhead.batch.search import PassedOver, search

SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""What files and columns call a split, and what it is called here."""

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sequence": ("sequence", "seq", "dna", "instruction"),
    "task": ("task", "task_name"),
    "label": ("label", "labels", "output", "answer"),
    "split": ("split", "set", "fold"),
    "group": ("group",),
}
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_SEPARATORS = ",;\t"
_LONGEST = 1 << 20
"""Letters of a header's line that are read."""


def labelled_tables(path: Path) -> Iterator[tuple[Path, str, str]]:
    """The labelled tables at a path, each with the task and the split that its name says."""
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    if path.is_file():
        stem = _stem(path)
        if stem is None:
            raise ValueError(f"{path.name} is no table: its name ends in none of .csv, .tsv, .txt, .parquet (also .gz)")
        header = _header(path)
        missing = [column for column in ("sequence", "label") if column not in header]
        if missing:
            columns = ", ".join(header.values()) or "none"
            raise ValueError(f"{path.name} has no column {' and no column '.join(missing)}; its columns: {columns}")
        task, split = _told_by_name(stem)
        yield path, task or _parent_task(path, path.parent.parent) or "task", split
        return
    # Answers of a batch hold sequences and labels, too.
    for file in sorted(path / name for name in search(path, Path.is_file, PassedOver())):
        stem = _stem(file)
        if stem is None or not {"sequence", "label"} <= set(_header(file)):
            continue
        task, split = _told_by_name(stem)
        parent = _parent_task(file, path)
        yield file, "/".join(part for part in (parent, task) if part) or path.resolve().name, split


def _parent_task(file: Path, root: Path) -> str:
    inside = file.parent.relative_to(root).as_posix()
    return "" if inside == "." else inside


def _told_by_name(stem: str) -> tuple[str, str]:
    task, _, last = stem.rpartition(".")
    if last.lower() in SPLITS:
        return task, SPLITS[last.lower()]
    return stem, ""


def _stem(path: Path) -> str | None:
    name = path.name.removesuffix(".gz")
    for suffix in (*_SUFFIXES, ".parquet"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None


def split_of(text: str) -> str:
    """The side that a word names; an unknown one is a `ValueError`."""
    known = SPLITS.get(text.strip().lower())
    if known is None:
        raise ValueError(f"unknown split {text!r}; known: {', '.join(SPLITS)}")
    return known


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _header(path: Path) -> dict[str, str]:
    """For each known column its name in the table; other columns keep theirs."""
    try:
        if _is_parquet(path):
            import pyarrow.parquet as parquet

            return _columns(parquet.ParquetFile(path).schema_arrow.names)
        with _opened(path) as file:
            # What is no table may be one endless line.
            lines = islice(iter(lambda: file.readline(_LONGEST), ""), 16)
            return _columns(next(csv.reader(lines, delimiter=_delimiter(path)), []))
    # Of pyarrow a damaged file is a ValueError or an OSError; UnicodeDecodeError is a ValueError.
    except (ValueError, OSError, EOFError, csv.Error) as failure:
        reason = str(failure).splitlines()[0] if str(failure) else type(failure).__name__
        raise ValueError(f"{path} cannot be read as a table ({reason}); mend it, or take it away") from failure


def _columns(names: Sequence[str]) -> dict[str, str]:
    lower = {name.strip().lower(): name for name in names}
    found = {
        column: next((lower[known] for known in aliases if known in lower), None)
        for column, aliases in _COLUMNS.items()
    }
    known = {column: name for column, name in found.items() if name is not None}
    return known | {name: name for name in names if name not in known.values()}


def table_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and known columns of each row of a table."""
    columns = {column: name for column, name in _header(path).items() if column in _COLUMNS}
    if _is_parquet(path):
        import pyarrow.parquet as parquet

        line = 0
        for batch in parquet.ParquetFile(path).iter_batches(columns=list(columns.values())):
            for row in batch.to_pylist():
                line += 1
                yield line, {column: _text(row[name]) for column, name in columns.items()}
        return
    # A row may hold a whole gene; the module's own limit is 128 kB.
    csv.field_size_limit(2**31 - 1)
    with _opened(path) as file:
        reader = csv.DictReader(file, delimiter=_delimiter(path))
        for row in reader:
            yield reader.line_num, {column: (row.get(name) or "").strip() for column, name in columns.items()}


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _opened(path: Path) -> Any:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(path: Path) -> str:
    """The separator that the header has most of; what the name says where it has none."""
    usual = _SUFFIXES[Path(path.name.removesuffix(".gz")).suffix.lower()]
    with _opened(path) as file:
        header = file.readline(_LONGEST)
    return max(_SEPARATORS, key=lambda each: (header.count(each), each == usual))
