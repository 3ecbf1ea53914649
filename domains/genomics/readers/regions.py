"""Regions of a reference: BED (0-based, half-open) and GFF or GTF (1-based, closed)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.readers.reference import Reference
from domains.genomics.readers.stream import Lines
from domains.genomics.sequences.records import RejectedRecord

T = TypeVar("T")

_GFF_NAME = re.compile(r'(?:^|;)\s*(?:ID|Name|gene_id|transcript_id)(?:=| +")([^;"]+)')


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch [start, end) of the forward strand, 0-based. `strand` is ``+`` or ``-``; an unknown strand is ``+``."""

    contig: str
    start: int
    end: int
    name: str
    strand: str = "+"
    line: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


def region_name(contig: str, start: int, end: int, strand: str) -> str:
    """The name of a region that has none: ``chr1:101-200``, counted from 1, with ``(-)`` for the reverse strand."""
    return f"{contig}:{start + 1}-{end}" + ("(-)" if strand == "-" else "")


def read_bed(lines: Lines, source: Path | None = None) -> Iterator[Region | RejectedRecord]:
    """Rows of BED3 to BED12. Blocks of BED12 are not cut out: a region is read from its first to its last base."""
    for line in lines:
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) < 3:
            yield _malformed(source, lines.number, f"{len(cells)} columns", "BED has at least contig, start and end")
            continue
        labels = {"score": cells[4]} if len(cells) > 4 else {}
        yield make_region(source, lines.number, cells[0], cells[1], cells[2], *_name_and_strand(cells), labels=labels)


def read_gff(lines: Lines, source: Path | None = None) -> Iterator[Region | RejectedRecord]:
    """Rows of GFF3, GFF2 and GTF, up to a section ``##FASTA``; labels hold ``type`` and ``source``."""
    for line in lines:
        if line.startswith("##FASTA"):
            return
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) < 8:
            yield _malformed(source, lines.number, f"{len(cells)} columns", "GFF has nine columns between tabs")
            continue
        named = _GFF_NAME.search(cells[8]) if len(cells) > 8 else None
        yield make_region(
            source,
            lines.number,
            cells[0],
            cells[3],
            cells[4],
            named[1].strip() if named else "",
            cells[6],
            labels={"type": cells[2], "source": cells[1]},
            first=1,
        )


def make_region(
    source: Path | None,
    line: int,
    contig: str,
    start: str,
    end: str,
    name: str,
    strand: str,
    *,
    labels: Mapping[str, str],
    first: int = 0,
) -> Region | RejectedRecord:
    """A region from the cells of a row; `first` is the number of a contig's first base in this format (0 or 1)."""
    contig = contig.strip()
    try:
        begin, stop = int(start) - first, int(end)
    except ValueError:
        return _malformed(source, line, f"start {start!r} and end {end!r}", "both are whole numbers")
    strand = "-" if strand.strip() in ("-", "-1") else "+"
    name = name.strip() or region_name(contig, begin, stop, strand)
    if stop < begin:
        reason = f"the region ends at {end}, before its start at {start}"
        remedy = "swap start and end; the reverse strand is told by - in the column of strands"
        return RejectedRecord(source, name, line, "reversed-region", reason, remedy)
    if begin < 0:
        reason = f"the region begins at {start}, before its contig"
        return RejectedRecord(source, name, line, "empty-region", reason, f"a contig's first base is {first} here")
    if stop == begin:
        reason = f"the region from {start} to {end} holds no base"
        return RejectedRecord(source, name, line, "empty-region", reason, "its end is the base behind its last")
    return Region(contig, begin, stop, name, strand, line, labels)


def region_sequences(
    regions: Iterable[Region | T], reference: Reference, source: Path | None = None
) -> Iterator[RawRecord | RejectedRecord | T]:
    """The letters of each region; regions that the reference does not hold are rejected, other objects go through."""
    for region in regions:
        if not isinstance(region, Region):
            yield region
            continue
        try:
            contig = reference.name(region.contig)
            text = reference.fetch(contig, region.start, region.end)
        except ValueError as error:
            yield RejectedRecord(source, region.name, region.line, "not-in-reference", str(error))
            continue
        yield RawRecord(
            region.name,
            text,
            region.line,
            labels=region.labels,
            contig=contig,
            start=region.start,
            strand=region.strand,
        )


def _name_and_strand(cells: list[str]) -> tuple[str, str]:
    name = cells[3] if len(cells) > 3 and cells[3] != "." else ""
    return name, cells[5] if len(cells) > 5 else "+"


def _malformed(source: Path | None, line: int, what: str, remedy: str) -> RejectedRecord:
    return RejectedRecord(source, "", line, "malformed-row", f"cannot be read: {what}", remedy)
