"""A file of sequences as blocks of records: streamed, no genome is held whole, and every reading gives the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from domains.genomics.sequences.records import RejectedRecord, SequenceRecord
from polyhead.batch.monitor import current_monitor

BLOCK_RECORDS = 1000
BLOCK_BASES = 500_000
PART = 100_000
"""Letters of a FASTA record above which it comes in parts, each a record of its own with its start."""

MOST_AMBIGUOUS = 0.5
_KEPT = 8

Block = tuple[SequenceRecord, ...]


def read_blocks(
    source: Path,
    *,
    reference: str | Path | None = None,
    policy: str = "mask",
    seed: int = 0,
    records: int = BLOCK_RECORDS,
    bases: int = BLOCK_BASES,
) -> Iterator[Block | RejectedRecord]:
    """Blocks of at most `records` records, closed as soon as they hold `bases` bases, and what is no sequence.

    A record of which most letters are no single base is rejected; a part of a longer record that is like that, as in
    the gaps of assemblies, is passed over.

    Raises:
        ValueError: a policy that is none, or a reference that cannot be read.
    """
    from domains.genomics.readers import read_records

    held: list[SequenceRecord] = []
    count = 0
    for record in _with_reference(read_records(source, reference=reference, policy=policy, seed=seed, chunk=PART)):
        if isinstance(record, RejectedRecord):
            yield record
            continue
        if (unclear := mostly_ambiguous(record)) is not None:
            if record.name == (record.contig or record.name):
                yield unclear
            continue
        held.append(record)
        count += len(record.sequence)
        if len(held) >= records or count >= bases:
            yield tuple(held)
            held, count = [], 0
    if held:
        yield tuple(held)


def _with_reference(records: Iterator[SequenceRecord | RejectedRecord]) -> Iterator[SequenceRecord | RejectedRecord]:
    """Regions without a reference are an input that cannot be read, one line as any other."""
    try:
        yield from records
    except ValueError as error:
        if "name the reference" not in str(error):
            raise
        yield RejectedRecord(
            None, "", 0, "no-reference", "it holds regions, not sequences", "give --reference GENOME.fa"
        )


def mostly_ambiguous(record: SequenceRecord) -> RejectedRecord | None:
    """What is said of a record of which more than `MOST_AMBIGUOUS` is no single base, None for others."""
    unclear = record.sequence.count("N")
    if unclear <= MOST_AMBIGUOUS * len(record.sequence):
        return None
    reason = f"{unclear} of its {len(record.sequence)} letters name no single base"
    return RejectedRecord(record.source, record.name, 0, "mostly-ambiguous", reason, "give a sequence of A, C, G and T")


class BlockReader:
    """Blocks of one file by their number. Asked in rising order, as a batch does, the file is read once.

    The latest blocks are kept, for threads that ask out of turn; an earlier one has the file read again.
    """

    def __init__(self, source: Path, **reading: object):
        self.source, self.reading = source, reading
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Block] = OrderedDict()
        self._blocks: Iterator[Block | RejectedRecord] | None = None
        self._next = 0

    def read(self, number: int) -> Block | None:
        """The block; None where the file has fewer."""
        monitor = current_monitor()
        while not self._lock.acquire(timeout=1.0):
            monitor.part(0, 1, "waiting for the reading of another block")
        try:
            if number in self._kept:
                return self._kept[number]
            if self._blocks is None or number < self._next:
                self._blocks, self._next = read_blocks(self.source, **self.reading), 0  # type: ignore[arg-type]
            for item in self._blocks:
                monitor.part(self._next, number + 1, "blocks")
                if isinstance(item, RejectedRecord):
                    continue
                self._kept[self._next] = item
                self._next += 1
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
                if number in self._kept and self._next == number + 1:
                    return item
            self._blocks = None
            return None
        finally:
            self._lock.release()
