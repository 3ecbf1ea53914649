"""What readers yield: sequences, and a line for everything that is no sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SequenceRecord:
    """A clean sequence and where it comes from.

    Attributes:
        name: unique in one reading; a part of a record is named as samtools names regions, ``chr1:1001-2000``.
        sequence: upper case over A, C, G and T (and N under the policy ``mask``), read along `strand`.
        description: what the source says after the name.
        source: the file; None for the standard input.
        start: 0-based place of the sequence on the forward strand of `contig`.
        strand: ``+`` or ``-``; a sequence of ``-`` is the reverse complement of what lies at `start`.
        labels: the other columns of a table or of a region, as they are written.
        quality: Phred qualities of a read, ASCII with offset 33, as long as the sequence.
        contig: the record of the source that the sequence is a part of.
        ambiguous: letters of the record as it was read (or of the part of it) that are no single base.
        source_length: letters of the record as it was read (or of the part of it).
    """

    name: str
    sequence: str
    description: str = ""
    source: Path | None = None
    start: int = 0
    strand: str = "+"
    labels: Mapping[str, str] = field(default_factory=dict)
    quality: str | None = None
    contig: str = ""
    ambiguous: int = 0
    source_length: int = 0

    @property
    def end(self) -> int:
        """0-based end, exclusive, on the forward strand of `contig`."""
        return self.start + len(self.sequence)


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that is not given on, or not as it was written.

    Attributes:
        source: the file; None for the standard input.
        name: the record's name, empty where the file as a whole is meant.
        line: line (or row) of the source, counted from 1; 0 where there is none.
        code: stable word for programs.
        reason: what is wrong.
        remedy: what to do about it.
        lost: False where the record itself is read all the same (under another name, for example).
    """

    source: Path | None
    name: str
    line: int
    code: str
    reason: str
    remedy: str = ""
    lost: bool = True

    def __str__(self) -> str:
        place = str(self.source) if self.source is not None else "standard input"
        place += f", line {self.line}" if self.line else ""
        named = f"{self.name}: " if self.name and not self.reason.startswith(f"{self.name}: ") else ""
        return f"{place}: {named}{self.reason}" + (f"; {self.remedy}" if self.remedy else "")
