"""From what a format says to clean records: names made unique, letters cleaned, what cannot be read told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from domains.genomics.sequences.alphabet import InvalidSequence, Piece, clean, reverse_complement
from domains.genomics.sequences.records import RejectedRecord, SequenceRecord

_MOST_NAMES = 1_000_000


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as a format gives it: letters without white space, on the forward strand of `contig`.

    Attributes:
        contig: where it differs from `name`.
        partial: the text is only a part of the record.
        continues: the text goes on where that of the record before it ended.
    """

    name: str
    text: str
    line: int = 0
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    quality: str | None = None
    contig: str = ""
    start: int = 0
    strand: str = "+"
    partial: bool = False
    continues: bool = False


class _Names:
    """Gives each record a name of its own; holds at most `_MOST_NAMES`, so that reads of any number stream through."""

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._repeats: dict[str, int] = {}
        self.full = False

    def give(self, name: str) -> str:
        given = name
        while given in self._given:
            self._repeats[name] = self._repeats.get(name, 1) + 1
            given = f"{name}#{self._repeats[name]}"
        if len(self._given) < _MOST_NAMES:
            self._given.add(given)
        else:
            self.full = True
        return given


def accept(
    records: Iterable[RawRecord | RejectedRecord], source: Path | None, policy: str, seed: int
) -> Iterator[SequenceRecord | RejectedRecord]:
    """Clean records, and a line for every record that is empty, ambiguous, no DNA or named like another.

    Under the policy ``split`` a record may give several: each has its `start` and a name such as ``chr1:1001-2000``.
    """
    names, name, told = _Names(), "", False
    bare: RawRecord | None = None
    for raw in records:
        if isinstance(raw, RejectedRecord):
            yield raw
            continue
        if not raw.continues:
            if bare is not None:
                yield _only_ambiguous(bare, name, source)
            bare = None
        if not raw.text:
            yield RejectedRecord(source, raw.name, raw.line, "empty", "the record holds no sequence")
            continue
        if not raw.continues:
            name = names.give(raw.name)
            if name != raw.name:
                reason = f"the name is taken; read as {name}"
                yield RejectedRecord(source, raw.name, raw.line, "duplicate-name", reason, lost=False)
            if names.full and not told:
                told = True
                reason = f"more than {_MOST_NAMES} names: from here on, names that are there twice are not told"
                yield RejectedRecord(source, raw.name, raw.line, "names-not-checked", reason, lost=False)
            bare = raw
        for record in _clean(raw, name, source, policy, seed):
            # A record in parts is only ambiguous if all of its parts are.
            bare = None
            yield record
    if bare is not None:
        yield _only_ambiguous(bare, name, source)


def _only_ambiguous(raw: RawRecord, name: str, source: Path | None) -> RejectedRecord:
    return RejectedRecord(source, name, raw.line, "only-ambiguous", "none of its letters is A, C, G or T")


def _clean(
    raw: RawRecord, name: str, source: Path | None, policy: str, seed: int
) -> Iterator[SequenceRecord | RejectedRecord]:
    """The pieces of a record or of a part of it; nothing where all of its letters are ambiguous and cut out."""
    where = f"{name} (from base {raw.start + 1})" if raw.partial else name
    try:
        cleaned = clean(raw.text, policy, seed=seed, where=where)
    except InvalidSequence as error:
        yield RejectedRecord(source, name, raw.line, error.code, error.reason, error.remedy)
        return
    for piece in cleaned.pieces:
        start = raw.start + piece.start
        part = raw.partial or len(piece.sequence) < cleaned.length
        yield SequenceRecord(
            name=f"{name}:{start + 1}-{start + len(piece.sequence)}" if part else name,
            sequence=reverse_complement(piece.sequence) if raw.strand == "-" else piece.sequence,
            description=raw.description,
            source=source,
            start=start,
            strand=raw.strand,
            labels=raw.labels,
            quality=None if raw.quality is None else _quality(raw.quality, piece),
            contig=raw.contig or name,
            ambiguous=cleaned.ambiguous,
            source_length=cleaned.length,
        )


def _quality(quality: str, piece: Piece) -> str:
    return quality[piece.start : piece.start + len(piece.sequence)]
