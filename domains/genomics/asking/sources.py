"""What to predict: blocks of the records of files, and rows of labelled data; what is no sequence gets a line each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from domains.genomics.asking.blocks import BLOCK_RECORDS, read_blocks
from domains.genomics.sequences.records import RejectedRecord
from polyhead.batch.case import Case
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
from polyhead.batch.monitor import current_monitor
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import LIST_SUFFIXES
from polyhead.batch.search import PassedOver, search

SPLITS = ("train", "validation", "test")
MOST_REJECTED = 1000
"""Records of a file that get a line of their own; beyond that one line counts the rest."""
MOST_NOTES = 100
"""Lines about records of a block that are read all the same, under another name for example."""

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
        return found | ({} if self.reference is None else {"reference": self.reference})

    def files(self) -> tuple[Path, ...]:
        return () if self.reference is None else (Path(self.reference),)


def cases_from(
    source: str | Path,
    *,
    reference: str | Path | None = None,
    policy: str = "mask",
    seed: int = 0,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    block: int = BLOCK_RECORDS,
    count: Count | None = None,
    passed: PassedOver | None = None,
) -> list[Case]:
    """The cases of `source`; what each is stands in ``options["kind"]``.

    `source` is one of

    - labelled data (a folder or a table with columns sequence and label): a case is up to `block` rows of the split,
      kind "rows", id ``<split>/<number>``; a row asks its own task, rows of one sequence stand together;
    - any other file that `readers.read_records` reads, a folder with all below it, a glob, or a list of paths, as
      `polyhead.batch.inputs.find_inputs` has them: a case is a block of up to `block` records, kind "block", id
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
        count: called with the number of inputs that were looked into, and that of all.
        passed: gets the files that are passed over.

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
    if path.is_file() and (is_labelled(path) or _holds_sequences(path)):
        inputs = [Input(path, path.name)]
    else:
        inputs = find_inputs(source, _is_sequences, looked_for=_LOOKED_FOR, folder_is_case=is_labelled, passed=passed)
    return as_cases(wanted_of(inputs, partial(_parts, reading=reading, tasks=tasks, split=split), count=count))


def _parts(found: Input, reading: _Reading, tasks: Sequence[str] | None, split: str | None) -> Iterator[Wanted]:
    if not found.path.exists() and found.searched is None:
        # It has no records to say so for it.
        yield Wanted(found.path, id_names(found), options={"kind": "block", "block": 0, **reading.options()})
    elif found.path.is_dir() or (found.searched is None and is_labelled(found.path)):
        yield from _rows(found.path, tasks, split, reading)
        if found.path.is_dir():
            yield from _beside_tables(found.path)
    else:
        yield from _records(found, reading)


def _is_sequences(path: Path) -> bool:
    from domains.genomics.readers.recognise import by_name

    return by_name(path) not in (None, "vcf")


def is_labelled(path: Path) -> bool:
    """Whether a folder or file holds labelled sequences: a table with the columns sequence and label."""
    from domains.genomics.data.tables import labelled_tables

    try:
        return next(labelled_tables(path), None) is not None
    except (ValueError, OSError, EOFError, csv.Error):
        return False


def _beside_tables(folder: Path) -> Iterator[Wanted]:
    """Of a folder with labelled tables the tables alone are read; what cannot be looked at might be one."""
    from domains.genomics.data.tables import labelled_tables

    passed = PassedOver()
    labelled = {file for file, _, _ in labelled_tables(folder)}
    files = sorted(folder / name for name in search(folder, _is_sequences, passed))
    others = [file for file in files if file not in labelled and file not in passed.refused]
    tell_not_read(folder, "labelled sequences", others)
    for path, finding in sorted(passed.refused.items()):
        name = relative_name(path, folder)
        yield Wanted(path, (name, name), finding=finding)


def _holds_sequences(path: Path) -> bool:
    """Whether a text that could be a list holds sequences, rather than paths of files that do."""
    from domains.genomics.readers.recognise import recognise
    from domains.genomics.readers.stream import Source, UnreadableSource

    if path.suffix.lower() not in LIST_SUFFIXES:
        return True
    try:
        with Source(path) as opened:
            return recognise(opened.head, None) in ("plain", "fasta", "fastq", "genbank", "embl", "table", "bed", "gff")
    except UnreadableSource:
        return False


def _records(found: Input, reading: _Reading) -> Iterator[Wanted]:
    """The blocks of a file, and a case for each record that is lost."""
    options, files = reading.options(), reading.files()
    number = rejected = 0
    notes: list[str] = []
    blocks = read_blocks(
        found.path, reference=reading.reference, policy=reading.policy, seed=reading.seed, records=reading.records
    )
    monitor = current_monitor()
    for seen, item in enumerate(blocks, 1):
        monitor.part(seen, seen + 1, "blocks and rejected records")
        if not isinstance(item, RejectedRecord):
            own = {"notes": notes[:MOST_NOTES]} if notes else {}
            about = {"kind": "block", "block": number, **options, **own}
            yield Wanted(found.path, id_names(found, part=f"{number:05d}"), options=about, companions=files)
            number, notes = number + 1, []
        elif not item.lost:
            notes.append(_said(item))
        else:
            rejected += 1
            if rejected <= MOST_REJECTED:
                names = id_names(found, part=_place(rejected))
                yield _rejected(found.path, names, item.code, _said(item), item.remedy)
    if rejected > MOST_REJECTED:
        reason = f"{rejected - MOST_REJECTED} more records of this file were rejected"
        names = id_names(found, part=_place(MOST_REJECTED + 1))
        yield _rejected(found.path, names, "more-rejected", reason, "mend the ones above first")


def _place(number: int) -> str:
    return f"rejected-{number:04d}"


def _said(record: RejectedRecord) -> str:
    place = f"line {record.line}: " if record.line else ""
    named = f"{record.name}: " if record.name and not record.reason.startswith(f"{record.name}: ") else ""
    return f"{place}{named}{record.reason}"


def _rejected(path: Path, names: tuple[str, str], code: str, reason: str, remedy: str) -> Wanted:
    return Wanted(path, names, options={"kind": "rejected", "code": code, "reason": reason, "remedy": remedy})


def _rows(path: Path, tasks: Sequence[str] | None, split: str | None, reading: _Reading) -> Iterator[Wanted]:
    from domains.genomics.data.labelled import read_labelled

    data = read_labelled(path, policy=labelled_policy(reading.policy), seed=reading.seed)
    if tasks is not None and not set(tasks) & set(data.tasks):
        raise ValueError(f"{path} has the tasks {', '.join(data.tasks)}; asked are {', '.join(tasks)}")
    asked = tuple(task for task in data.tasks if tasks is None or task in tasks)
    chosen = split or ("test" if (data.split == "test").any() else "all")
    count = len(labelled_rows(data, chosen, asked))
    if not count:
        raise NoInput(f"{path} has no row of the split {chosen!r} for {', '.join(asked)}")
    table, *others = _tables(path)
    for number, first in enumerate(range(0, count, reading.records)):
        options = {"kind": "rows", "data": str(path), "split": chosen}
        options |= {"first": first, "last": min(first + reading.records, count)}
        options |= {"policy": reading.policy, "seed": reading.seed}
        name = f"{chosen}/{number:05d}"
        yield Wanted(table, (name, name), asked, options, tuple(others))
    for number, problem in enumerate(data.problems[:MOST_REJECTED], 1):
        name = f"{chosen}/{_place(number)}"
        yield _rejected(table, (name, name), problem.code, f"{problem.where}: {problem.reason}", problem.remedy)
    if len(data.problems) > MOST_REJECTED:
        reason = f"{len(data.problems) - MOST_REJECTED} more rows cannot be used"
        name = f"{chosen}/{_place(MOST_REJECTED + 1)}"
        yield _rejected(table, (name, name), "more-rejected", reason, "mend the ones above first")


def _tables(path: Path) -> list[Path]:
    """The labelled tables, and what says more of their tasks: other files of a folder do not matter to an answer."""
    from domains.genomics.data.facts import TASKS_FILE
    from domains.genomics.data.tables import labelled_tables

    about = (path if path.is_dir() else path.parent) / TASKS_FILE
    return [*(table for table, _, _ in labelled_tables(path)), *([about] if about.is_file() else [])]


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
