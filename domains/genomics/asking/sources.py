"""What to predict: blocks of the records of files, and rows of labelled data; what is no sequence gets a line each."""

from __future__ import annotations

import csv
import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from domains.genomics.asking.blocks import BLOCK_RECORDS, read_blocks
from domains.genomics.sequences.records import RejectedRecord
from polyhead.batch.case import Case
from polyhead.batch.naming import inside, unique_ids
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import LIST_SUFFIXES, read_path_list

SPLITS = ("train", "validation", "test")
MOST_REJECTED = 1000
"""Records of a file that get a line of their own; beyond that one line counts the rest."""
MOST_NOTES = 100
"""Lines about records of a block that are read all the same, under another name for example."""

logger = logging.getLogger(__name__)

_LOOKED_FOR = "sequences (FASTA, FASTQ, GenBank, EMBL, BED or GFF with a reference, CSV, TSV, parquet)"


@dataclass(frozen=True)
class _Reading:
    """How files are read: part of every case's options, for it decides the answer."""

    reference: str | None
    policy: str
    seed: int
    records: int

    def options(self) -> dict[str, Any]:
        found: dict[str, Any] = {"policy": self.policy, "seed": self.seed, "records": self.records}
        if self.reference is not None:
            from polyhead.batch.receipts import fingerprint

            found |= {"reference": self.reference, "reference_sha256": fingerprint(Path(self.reference))["sha256"]}
        return found


@dataclass(frozen=True)
class _Input:
    """`folder` and `name` make the id: the file's, and that of the block in it."""

    path: Path
    folder: str
    name: str
    options: dict[str, Any]
    tasks: tuple[str, ...] = ()


def cases_from(
    source: str | Path,
    *,
    reference: str | Path | None = None,
    policy: str = "mask",
    seed: int = 0,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    block: int = BLOCK_RECORDS,
) -> list[Case]:
    """The cases of `source`; what each is stands in ``options["kind"]``.

    `source` is one of

    - labelled data (a folder or a table with columns sequence and label): a case is up to `block` rows of the split,
      kind "rows", id ``<split>/<number>``; a row asks its own task, rows of one sequence stand together;
    - any other file that `readers.read_records` reads, a folder with all below it, a glob, or a list of paths
      (``.txt``, also ``failed.txt``): a case is a block of up to `block` records, kind "block", id
      ``<file>/<number>``. FASTA records above `blocks.PART` letters come in parts.

    Every record that cannot be read is a case of kind "rejected", which fails with its reason; what is only to be said
    of records, such as a name that was taken, stands in ``options["notes"]`` of their block. Files are streamed.

    Args:
        reference: FASTA that regions lie on.
        policy: what becomes of letters other than A, C, G and T in files; see `domains.genomics.sequences.alphabet`.
        seed: of the policy ``resolve``.
        tasks: the tasks that are asked; labelled rows of others are left out. None asks for all.
        split: "train", "validation", "test" or "all", of labelled data only; None is the test rows where there are
            any, else all.

    Raises:
        NoInput: nothing was found.
        ValueError: a reference or labelled data that cannot be read.
    """
    if split not in (None, *SPLITS, "all"):
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}, all")
    if block < 1:
        raise ValueError(f"a block holds at least 1 record, got {block}")
    if reference is not None:
        from domains.genomics.readers.reference import Reference

        Reference(reference).close()
    reading = _Reading(None if reference is None else str(reference), policy, seed, block)
    path = Path(source)
    if path.is_symlink() and not path.exists():
        raise NoInput(f"{path} is a link to {path.readlink()}, which is not there; mend it, or name the file itself")
    if not path.exists() and not glob.has_magic(str(source)):
        raise NoInput(f"there is no file, folder or glob match {path}")
    inputs = list(_found(path, str(source), reading, tasks, split))
    if not inputs:
        raise NoInput(f"nothing to do: found no {_LOOKED_FOR} in {source}")
    return _named(inputs)


def _found(
    path: Path, source: str, reading: _Reading, tasks: Sequence[str] | None, split: str | None
) -> Iterator[_Input]:
    if path.is_dir() or path.is_file():
        if is_labelled(path):
            if path.is_dir():
                _tell_passed_over(path)
            yield from _rows(path, tasks, split, reading)
        elif path.is_dir():
            for file in _files(path):
                yield from _records(file, _relative(file, path), reading)
        elif path.suffix.lower() in LIST_SUFFIXES and not _holds_sequences(path):
            yield from _listed(path, reading, tasks, split)
        else:
            yield from _records(path, path.name, reading)
        return
    matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]  # noqa: PTH207 - any root
    base = Path(os.path.commonpath([match.parent for match in matches])) if matches else Path()
    for match in matches:
        # A link that leads nowhere is told like a file that cannot be read.
        if match.is_file() or not match.exists():
            yield from _records(match, _relative(match, base), reading)


def is_labelled(path: Path) -> bool:
    """Whether a folder or file holds labelled sequences: a table with the columns sequence and label."""
    from domains.genomics.data.tables import labelled_tables

    try:
        return next(labelled_tables(path), None) is not None
    except (ValueError, OSError, EOFError, csv.Error):
        return False


def _tell_passed_over(folder: Path) -> None:
    """One warning where sequence files lie beside labelled tables: of such a folder the tables alone are read."""
    from domains.genomics.data.tables import labelled_tables

    labelled = {file for file, _, _ in labelled_tables(folder)}
    others = [_relative(file, folder) for file in _files(folder) if file not in labelled]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        text = "%s holds labelled sequences; not read beside them: %s%s; name a file itself to have it read"
        logger.warning(text, folder, others[0], more)


def _files(folder: Path) -> list[Path]:
    from domains.genomics.readers.recognise import by_name

    return sorted(
        Path(top, name)
        for top, _, names in os.walk(folder, followlinks=False)
        for name in names
        if not name.startswith(".") and by_name(Path(name)) not in (None, "vcf")
    )


def _holds_sequences(path: Path) -> bool:
    """Whether a text holds sequences, rather than paths of files that do."""
    from domains.genomics.readers.recognise import recognise
    from domains.genomics.readers.stream import Source, UnreadableSource

    try:
        with Source(path) as opened:
            return recognise(opened.head, None) in ("plain", "fasta", "fastq", "genbank", "embl", "table", "bed", "gff")
    except UnreadableSource:
        return False


def _records(path: Path, name: str, reading: _Reading) -> Iterator[_Input]:
    """The blocks of a file, and a case for each record that is lost."""
    options = reading.options()
    number = rejected = 0
    notes: list[str] = []
    blocks = read_blocks(
        path, reference=reading.reference, policy=reading.policy, seed=reading.seed, records=reading.records
    )
    for item in blocks:
        if not isinstance(item, RejectedRecord):
            own = {"notes": notes[:MOST_NOTES]} if notes else {}
            yield _Input(path, name, f"{number:05d}", {"kind": "block", "block": number, **options, **own})
            number, notes = number + 1, []
        elif not item.lost:
            notes.append(_said(item))
        else:
            rejected += 1
            if rejected <= MOST_REJECTED:
                yield _rejected(path, name, rejected, item.code, _said(item), item.remedy)
    if rejected > MOST_REJECTED:
        reason = f"{rejected - MOST_REJECTED} more records of this file were rejected"
        yield _rejected(path, name, MOST_REJECTED + 1, "more_rejected", reason, "mend the ones above first")


def _said(record: RejectedRecord) -> str:
    place = f"line {record.line}: " if record.line else ""
    named = f"{record.name}: " if record.name and not record.reason.startswith(f"{record.name}: ") else ""
    return f"{place}{named}{record.reason}"


def _rejected(path: Path, folder: str, number: int, code: str, reason: str, remedy: str) -> _Input:
    options = {"kind": "rejected", "code": code, "reason": reason, "remedy": remedy}
    return _Input(path, folder, f"rejected-{number:04d}", options)


def _rows(path: Path, tasks: Sequence[str] | None, split: str | None, reading: _Reading) -> Iterator[_Input]:
    from domains.genomics.data.labelled import read_labelled

    data = read_labelled(path, policy=labelled_policy(reading.policy), seed=reading.seed)
    if tasks is not None and not set(tasks) & set(data.tasks):
        raise ValueError(f"{path} has the tasks {', '.join(data.tasks)}; asked are {', '.join(tasks)}")
    asked = tuple(task for task in data.tasks if tasks is None or task in tasks)
    chosen = split or ("test" if (data.split == "test").any() else "all")
    count = len(labelled_rows(data, chosen, asked))
    if not count:
        raise NoInput(f"{path} has no row of the split {chosen!r} for {', '.join(asked)}")
    table, files = _table_hashes(path)
    for number, first in enumerate(range(0, count, reading.records)):
        options = {"kind": "rows", "data": str(path), "files": files, "split": chosen}
        options |= {"first": first, "last": min(first + reading.records, count)}
        options |= {"policy": reading.policy, "seed": reading.seed}
        yield _Input(table, chosen, f"{number:05d}", options, asked)
    for number, problem in enumerate(data.problems[:MOST_REJECTED], 1):
        yield _rejected(table, chosen, number, problem.code, f"{problem.where}: {problem.reason}", problem.remedy)
    if len(data.problems) > MOST_REJECTED:
        reason = f"{len(data.problems) - MOST_REJECTED} more rows cannot be used"
        yield _rejected(table, chosen, MOST_REJECTED + 1, "more_rejected", reason, "mend the ones above first")


def _table_hashes(path: Path) -> tuple[Path, dict[str, str]]:
    """The first labelled table, and what all of them hold: other files of a folder do not matter to an answer."""
    from domains.genomics.data.facts import TASKS_FILE
    from domains.genomics.data.tables import labelled_tables
    from polyhead.batch.receipts import fingerprint

    root = path if path.is_dir() else path.parent
    tables = [table for table, _, _ in labelled_tables(path)]
    held = [*tables, *([root / TASKS_FILE] if (root / TASKS_FILE).is_file() else [])]
    return tables[0], {_relative(file, root): fingerprint(file)["sha256"] for file in held}


def labelled_policy(policy: str) -> str:
    """Labelled sequences stay whole: what would be cut out is masked."""
    return "mask" if policy == "split" else policy


def labelled_rows(data: Any, split: str, tasks: Sequence[str]) -> list[int]:
    """Rows of labelled data that are asked, those of one sequence together, in the order of first appearance."""
    groups: dict[str, list[int]] = {}
    for row, (task, side) in enumerate(zip(data.task, data.split, strict=True)):
        if task in tasks and split in ("all", side):
            groups.setdefault(data.sequences[row], []).append(row)
    return [row for rows in groups.values() for row in rows]


def _listed(path: Path, reading: _Reading, tasks: Sequence[str] | None, split: str | None) -> Iterator[_Input]:
    """The files of a list. An id chooses a case of its file; where the file has changed and lacks it, all are."""
    listed = read_path_list(path)
    done: set[tuple[Path, str, str]] = set()
    for entry in listed.entries:
        name = _relative(entry.path, listed.root)
        if not entry.path.exists():
            found = [_Input(entry.path, name, "", {"kind": "block", "block": 0, **reading.options()})]
        else:
            found = list(_entry(entry.path, name, reading, tasks, split))
        wanted = entry.id
        if wanted is not None:
            same = [each for each in found if wanted in _ids(each)]
            top = str(PurePosixPath(wanted).parent)
            found = same or [_Input(each.path, top, each.name, each.options, each.tasks) for each in found]
        for each in found:
            if (key := (each.path, each.folder, each.name)) not in done:
                done.add(key)
                yield each


def _entry(
    path: Path, name: str, reading: _Reading, tasks: Sequence[str] | None, split: str | None
) -> Iterator[_Input]:
    if is_labelled(path):
        yield from _rows(path, tasks, split, reading)
    elif path.is_dir():
        for file in _files(path):
            yield from _records(file, f"{name}/{_relative(file, path)}", reading)
    else:
        yield from _records(path, name, reading)


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _ids(entry: _Input) -> tuple[str, str]:
    """The id with the file's name without its endings, and with them."""
    folder = inside(entry.folder)
    if entry.options["kind"] != "rows" and entry.folder not in SPLITS:
        short = folder.with_name(folder.name.split(".")[0] or folder.name)
    else:
        short = folder
    return (short / entry.name).as_posix(), (folder / entry.name).as_posix()


def _named(inputs: Sequence[_Input]) -> list[Case]:
    """The cases under their ids, in the order in which they were found."""
    ids = unique_ids([_ids(entry) for entry in inputs])
    return [Case(name, each.path, each.tasks, dict(each.options)) for name, each in zip(ids, inputs, strict=True)]
