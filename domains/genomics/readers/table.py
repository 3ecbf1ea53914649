"""Tables with a column of sequences, or with regions of a reference: CSV, TSV and parquet; and one sequence a line."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.readers.recognise import SEQUENCE_COLUMNS, delimiter
from domains.genomics.readers.regions import Region, make_region
from domains.genomics.readers.stream import Lines, UnreadableSource
from domains.genomics.sequences.records import RejectedRecord

NAME_COLUMNS = ("name", "id", "seq_id", "sequence_id", "identifier", "accession", "index", "")
CONTIG_COLUMNS = ("chrom", "#chrom", "chr", "contig", "region", "seqname", "chromosome")

Row = RawRecord | Region | RejectedRecord


def find_column(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Place of the first of `names` in a header, without regard to case; None where there is none."""
    lower = [cell.strip().lower() for cell in header]
    return next((lower.index(name) for name in names if name in lower), None)


def read_table(lines: Lines, source: Path | None = None) -> Iterator[Row]:
    """Rows of CSV or TSV (comma, tab or semicolon, by the header), in constant memory.

    The sequence is in the first of `SEQUENCE_COLUMNS` that is there. A table without one that has a contig, ``start``
    and ``end`` (0-based, half-open; ``strand`` if it is there) gives regions. All other columns become labels.
    """
    numbered = text_rows(lines)
    try:
        yield from _table(numbered, source)
    except csv.Error as error:
        yield RejectedRecord(source, "", lines.number, "malformed-table", str(error), "export the table again")


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a parquet file in batches, by the rules of `read_table`; missing values become empty text."""
    rows = parquet_rows(path)
    yield from _table(((line, ["" if value is None else str(value) for value in row]) for line, row in rows), path)


def parquet_rows(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """The names of the columns under 0, and then the values of each row under its number from 1; read in batches.

    Raises:
        UnreadableSource: no parquet, or one that is cut.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield 0, list(file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, list(row)
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"the parquet file cannot be read ({str(error).splitlines()[0].rstrip('.')})"
        raise UnreadableSource("broken-archive", reason, "copy or write the file again") from error


def read_plain(lines: Lines) -> Iterator[RawRecord]:
    """One sequence a line, named by its line; empty lines are left out."""
    for line in lines:
        if line.strip():
            yield RawRecord(f"line_{lines.number}", line.strip(), lines.number)


def text_rows(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """The cells of the header, and then of each row, with the line that they end on; the delimiter is the header's.

    Raises:
        csv.Error: no table, such as one with a byte that no text has.
    """
    # The limit of the csv module is 131 072 letters a cell; sequences are longer.
    csv.field_size_limit(sys.maxsize)
    text = iter(lines)
    header = next((line for line in text if line.strip()), "")
    yield lines.number, next(csv.reader([header], delimiter=delimiter(header)))
    for row in csv.reader((line + "\n" for line in text), delimiter=delimiter(header)):
        if row:
            yield lines.number, row


def _table(rows: Iterable[tuple[int, list[str]]], source: Path | None) -> Iterator[Row]:
    rows = iter(rows)
    _, cells = next(rows)
    header = [cell.strip() for cell in cells]
    sequence = find_column(header, SEQUENCE_COLUMNS)
    place = [find_column(header, names) for names in (CONTIG_COLUMNS, ("start",), ("end", "stop"))]
    if sequence is None and None in place:
        columns = ", ".join(repr(cell[:20]) for cell in header[:20])
        yield RejectedRecord(
            source,
            "",
            1,
            "no-sequence-column",
            f"no column of sequences; the columns are {columns}",
            "name one of them sequence; a table begins with a line of column names",
        )
        return
    name = find_column(header, NAME_COLUMNS)
    strand = find_column(header, ("strand",))
    taken = {name, sequence} if sequence is not None else {name, strand, *place}
    others = [k for k in range(len(header)) if k not in taken]
    for count, (line, row) in enumerate(rows, start=1):
        if len(row) != len(header):
            reason = f"{len(row)} cells, the header has {len(header)}"
            yield RejectedRecord(source, "", line, "malformed-row", reason, "write one cell for every column")
            continue
        labels = {header[k]: row[k] for k in others}
        given = row[name].strip() if name is not None else ""
        if sequence is not None:
            yield RawRecord(given or f"row_{count}", row[sequence].strip(), line, labels=labels)
        else:
            contig, start, end = (row[k] for k in place if k is not None)
            direction = row[strand] if strand is not None else "+"
            yield make_region(source, line, contig, start, end, given, direction, labels=labels)
