"""GenBank and EMBL flat files, by Biopython."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.sequences.records import RejectedRecord


def read_genbank(
    stream: TextIO, source: Path | None = None, *, dialect: str = "genbank"
) -> Iterator[RawRecord | RejectedRecord]:
    """One record an entry; labels hold ``organism``, ``molecule_type`` and ``topology`` where the entry says them.

    What Biopython warns of is told with the entry. An entry that it cannot parse ends the reading, which is told.

    Args:
        stream: the text.
        source: named in rejected records.
        dialect: ``genbank`` or ``embl``.
    """
    from Bio import BiopythonWarning, SeqIO
    from Bio.Seq import UndefinedSequenceError

    entries = SeqIO.parse(stream, dialect)
    count = 0
    while True:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BiopythonWarning)
            try:
                entry = next(entries, None)
            except ValueError as error:
                reason = f"entry {count + 1} cannot be parsed ({error}); what follows is not read"
                yield RejectedRecord(source, "", 0, "malformed", reason, "download the entry again")
                return
        if entry is None:
            if not count:
                yield RejectedRecord(source, "", 0, "malformed", f"no entry of {dialect}")
            return
        count += 1
        name = entry.id if entry.id and not entry.id.startswith("<unknown") else entry.name
        for warning in caught:
            yield RejectedRecord(source, name, 0, "parser_warning", " ".join(str(warning.message).split()), lost=False)
        try:
            text = str(entry.seq)
        except UndefinedSequenceError:
            remedy = "download the entry in full (with its sequence)"
            yield RejectedRecord(source, name, 0, "no_sequence", "the entry names a sequence but holds none", remedy)
            continue
        annotations = {key: entry.annotations.get(key) for key in ("organism", "molecule_type", "topology")}
        if annotations["molecule_type"] == "protein":
            remedy = "give the DNA that codes for it"
            yield RejectedRecord(source, name, 0, "protein", "an entry of protein", remedy)
            continue
        labels = {key: str(value) for key, value in annotations.items() if value}
        yield RawRecord(name, text, description=entry.description, labels=labels)
