"""Variants: VCF, with or without its header, and tables of contig, position, reference and alternative."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from domains.genomics.readers.recognise import recognise
from domains.genomics.readers.stream import Lines, Source, UnreadableSource
from domains.genomics.readers.table import CONTIG_COLUMNS, find_column, parquet_rows, text_rows
from domains.genomics.sequences.records import RejectedRecord

_COLUMNS = (
    CONTIG_COLUMNS,
    ("pos", "position"),
    ("ref", "reference", "ref_allele"),
    ("alt", "alternate", "alternative", "alt_allele"),
)
_BASES = re.compile(r"[ACGT]+")


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative allele.

    Attributes:
        contig: as written; `Reference.name` finds the reference's own name.
        position: 0-based place of the first base of `ref`.
        ref: bases of the reference, upper case over A, C, G and T.
        alt: bases that stand there instead.
        id: the variant's identifier, empty where it has none.
        source_line: line of the source, counted from 1.
    """

    contig: str
    position: int
    ref: str
    alt: str
    id: str = ""
    source_line: int = 0

    @property
    def name(self) -> str:
        """``chr1:101:A:G``, counted from 1 as in VCF."""
        return f"{self.contig}:{self.position + 1}:{self.ref}:{self.alt}"


def read_variants(source: Path | str | BinaryIO) -> Iterator[Variant | RejectedRecord]:
    """Variants in the order of the file, in constant memory; positions of VCF and of tables count from 1.

    Rows with several alternatives give one `Variant` each. Symbolic alleles (``<DEL>``), ``*``, breakends, alleles
    with ambiguous bases, and rows without an alternative are rejected, each with its line. VCF may lack its header and
    may be packed; a table (CSV, TSV or parquet) needs columns such as ``chrom``, ``pos``, ``ref``, ``alt`` and may have
    ``id``. A file without any row is told, too.
    """
    path = None if not isinstance(source, (str, Path)) or str(source) == "-" else Path(source)
    lines = None
    try:
        with Source(source) as opened:
            found = recognise(opened.head, opened.path)
            lines = Lines(opened.text())
            if found == "parquet" and (path is None or opened.compression):
                raise UnreadableSource(
                    "parquet-stream", "parquet cannot be read from a stream", "name an unpacked file"
                )
            if found == "vcf":
                rows = _vcf(lines, path)
            elif found == "table":
                rows = _table(text_rows(lines), path)
            elif found == "parquet" and path is not None:
                rows = _table(parquet_rows(path), path)
            else:
                remedy = "give VCF, or a table with the columns chrom, pos, ref and alt"
                raise UnreadableSource("no-variants", f"a file of the format {found}", remedy)
            first = next(rows, None)
            if first is None:
                raise UnreadableSource("no-variants", "the file has a header and no variant", "")
            yield first
            yield from rows
    except csv.Error as error:
        line = lines.number if lines else 0
        yield RejectedRecord(path, "", line, "malformed-table", str(error), "export the table again")
    except UnreadableSource as error:
        yield RejectedRecord(path, "", lines.number if lines else 0, error.code, error.reason, error.remedy)


def _vcf(lines: Lines, source: Path | None) -> Iterator[Variant | RejectedRecord]:
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) < 5:
            reason = f"{len(cells)} columns"
            yield RejectedRecord(
                source, "", lines.number, "malformed-row", reason, "VCF has at least five, between tabs"
            )
            continue
        contig, position, name, ref, alternatives = cells[:5]
        yield from _variants(source, lines.number, contig, position, name, ref, alternatives)


def _table(rows: Iterable[tuple[int, list[Any]]], source: Path | None) -> Iterator[Variant | RejectedRecord]:
    rows = iter(rows)
    _, header = next(rows)
    places = [find_column(header, names) for names in _COLUMNS]
    if None in places:
        columns = ", ".join(repr(cell[:20]) for cell in header[:20])
        remedy = "name the columns chrom, pos (counted from 1), ref and alt"
        yield RejectedRecord(source, "", 1, "no-variants", f"no columns of variants; the columns are {columns}", remedy)
        return
    named = find_column(header, ("id", "name", "rsid"))
    for line, row in rows:
        if len(row) != len(header):
            reason = f"{len(row)} cells, the header has {len(header)}"
            yield RejectedRecord(source, "", line, "malformed-row", reason, "write one cell for every column")
            continue
        contig, position, ref, alternatives = (_cell(row[k]) for k in places if k is not None)
        name = _cell(row[named]) if named is not None else ""
        yield from _variants(source, line, contig, position, name, ref, alternatives)


def _cell(value: Any) -> str:
    """A value of parquet as a table writes it: lists of alternatives with commas, whole numbers without a point."""
    if isinstance(value, list):
        return ",".join(map(_cell, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _variants(
    source: Path | None, line: int, contig: str, position: str, name: str, ref: str, alternatives: str
) -> Iterator[Variant | RejectedRecord]:
    contig, name, ref = contig.strip(), name.strip(), ref.strip().upper()
    name = "" if name == "." else name
    shown = name or f"{contig}:{position}"
    try:
        place = int(position) - 1
    except ValueError:
        place = -1
    if place < 0:
        remedy = "positions are whole numbers that count from 1"
        yield RejectedRecord(source, shown, line, "position", f"the position {position!r} is on no base", remedy)
        return
    if not _BASES.fullmatch(ref):
        remedy = "write the bases of the reference, A, C, G or T"
        yield RejectedRecord(source, shown, line, "allele", f"the reference allele {ref[:20]!r}", remedy)
        return
    for alternative in alternatives.strip().split(","):
        alt = alternative.strip().upper()
        fault = _fault(ref, alt, alternative.strip())
        if fault is None:
            yield Variant(contig, place, ref, alt, name, line)
        else:
            yield RejectedRecord(source, shown, line, *fault)


def _fault(ref: str, alt: str, written: str) -> tuple[str, str, str] | None:
    """Code, reason and remedy for an alternative that is no stretch of bases, None for one that is."""
    spelled = "write out the bases that stand there instead"
    if _BASES.fullmatch(alt):
        return ("same", f"reference and alternative are both {ref[:20]}", "") if ref == alt else None
    if alt in ("", ".", "<NON_REF>", "<*>"):
        return "no-alternative", "the row has no alternative allele", ""
    if alt.startswith("<"):
        return "symbolic", f"the alternative {written[:20]} is symbolic", spelled
    if alt == "*":
        return "spanning-deletion", "the alternative * stands for a deletion that another row describes", ""
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "breakend", f"the alternative {written[:20]} is a breakend", "rearrangements are not scored"
    return "allele", f"the alternative {written[:20]!r} holds letters other than A, C, G and T", spelled
