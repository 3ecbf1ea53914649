"""GenBank and EMBL flat files, by Biopython."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.sequences.records import RejectedRecord

_LETTERS = {"genbank": re.compile(r"^ORIGIN", re.MULTILINE), "embl": re.compile(r"^SQ ", re.MULTILINE)}
_HEAD = re.compile(r"\s*(?:LOCUS|ID) +([^\s;]+)")


def read_genbank(
    stream: TextIO, source: Path | None = None, *, dialect: str = "genbank"
) -> Iterator[RawRecord | RejectedRecord]:
    """One record an entry; labels hold ``organism``, ``molecule_type`` and ``topology`` where the entry says them.

    What Biopython warns of is told with the entry. An entry that it cannot parse, or whose sequence is not as long
    as its head says, is rejected, and reading goes on behind its ``//``.

    Args:
        stream: the text.
        source: named in rejected records.
        dialect: ``genbank`` or ``embl``.
    """
    count = 0
    for line, text in _entries(stream):
        count += 1
        yield from _entry(text, line, count, source, dialect)
    if not count:
        yield RejectedRecord(source, "", 0, "malformed", f"no entry of {dialect}")


def _entries(stream: TextIO) -> Iterator[tuple[int, str]]:
    """The text of each entry and the line that it begins on; one that the file breaks off is given, too."""
    held: list[str] = []
    number = 0
    for number, line in enumerate(stream, 1):
        if held or line.strip():
            held.append(line)
        if line.rstrip() == "//":
            yield number - len(held) + 1, "".join(held)
            held = []
    if held:
        yield number - len(held) + 1, "".join(held)


def _entry(text: str, line: int, count: int, source: Path | None, dialect: str) -> Iterator[RawRecord | RejectedRecord]:
    from Bio import BiopythonWarning, SeqIO
    from Bio.Seq import UndefinedSequenceError

    remedy = "download the entry in full (with its sequence)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BiopythonWarning)
        try:
            entry = next(SeqIO.parse(io.StringIO(text), dialect), None)
        except ValueError as error:
            headed = _HEAD.match(text)
            named = headed[1] if headed else ""
            if not _LETTERS[dialect].search(text):
                reason = f"entry {count} holds no sequence"
                yield RejectedRecord(source, named, line, "no-sequence", reason, remedy)
            else:
                reason = f"entry {count} cannot be parsed ({error})"
                yield RejectedRecord(source, named, line, "malformed", reason, "download the entry again")
            return
    if entry is None:
        yield RejectedRecord(source, "", line, "malformed", f"no entry of {dialect}", "download the entry again")
        return
    name = entry.id if entry.id and not entry.id.startswith("<unknown") else entry.name
    told = [" ".join(str(warning.message).split()) for warning in caught]
    if short := next((words for words in told if words.startswith("Expected sequence length")), None):
        reason = f"the entry is not whole: {short[0].lower()}{short[1:].rstrip('.')}"
        yield RejectedRecord(source, name, line, "broken-entry", reason, "download the entry again")
        return
    for words in told:
        yield RejectedRecord(source, name, line, "parser-warning", words, lost=False)
    try:
        letters = str(entry.seq)
    except UndefinedSequenceError:
        reason = "the entry names a sequence but holds none"
        yield RejectedRecord(source, name, line, "no-sequence", reason, remedy)
        return
    annotations = {key: entry.annotations.get(key) for key in ("organism", "molecule_type", "topology")}
    if annotations["molecule_type"] == "protein":
        remedy = "give the DNA that codes for it"
        yield RejectedRecord(source, name, line, "protein", "an entry of protein", remedy)
        return
    labels = {key: str(value) for key, value in annotations.items() if value}
    yield RawRecord(name, letters, line, entry.description, labels)
