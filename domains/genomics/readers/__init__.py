"""Readers: sequences and variants from the formats of the field, one record at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from domains.genomics.readers.fasta import read_fasta
from domains.genomics.readers.fastq import read_fastq
from domains.genomics.readers.genbank import read_genbank
from domains.genomics.readers.raw_records import RawRecord, accept
from domains.genomics.readers.recognise import recognise
from domains.genomics.readers.reference import Reference
from domains.genomics.readers.regions import Region, read_bed, read_gff, region_sequences
from domains.genomics.readers.stream import Lines, Source, UnreadableSource
from domains.genomics.readers.table import read_parquet, read_plain, read_table
from domains.genomics.readers.vcf import Variant, read_variants
from domains.genomics.sequences.alphabet import POLICIES
from domains.genomics.sequences.records import RejectedRecord, SequenceRecord

__all__ = ["RejectedRecord", "SequenceRecord", "Variant", "read_records", "read_variants"]


def read_records(
    source: Path | str | BinaryIO,
    *,
    reference: Reference | Path | str | None = None,
    policy: str = "split",
    seed: int = 0,
    chunk: int | None = None,
) -> Iterator[SequenceRecord | RejectedRecord]:
    """Clean sequences of a file in its order, in constant memory, and a line for everything that is none.

    FASTA, FASTQ, GenBank, EMBL, BED, GFF, tables (CSV, TSV, parquet) and one sequence a line are told apart by what
    they hold, and by their ending where that does not tell. gzip, bgzip, bzip2 and xz are unpacked on the way.

    Args:
        source: a file, ``-`` for the standard input, or a binary stream.
        reference: where the sequences of regions are read from (BED, GFF, tables of regions).
        policy: what becomes of letters that name no single base, one of `alphabet.POLICIES`.
        seed: of the policy ``resolve``, which draws for each part on its own.
        chunk: FASTA records longer than this come in parts of this many letters, so that no contig is held whole.

    Raises:
        ValueError: an unknown policy, a reference that cannot be read; while reading: regions without a reference.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy is one of {', '.join(POLICIES)}, got {policy!r}")
    return _read(source, reference, policy, seed, chunk)


def _read(
    source: Path | str | BinaryIO, reference: Reference | Path | str | None, policy: str, seed: int, chunk: int | None
) -> Iterator[SequenceRecord | RejectedRecord]:
    path, lines = None, None
    try:
        with Source(source) as opened:
            path = opened.path
            found = recognise(opened.head, path)
            lines = Lines(opened.text())
            raw = _raw(found, opened, lines, chunk)
            yield from accept(_located(raw, reference, path), path, policy, seed)
    except UnreadableSource as error:
        if path is None and isinstance(source, (str, Path)) and str(source) != "-":
            path = Path(source)
        yield RejectedRecord(path, "", lines.number if lines else 0, error.code, error.reason, error.remedy)


def _raw(found: str, opened: Source, lines: Lines, chunk: int | None) -> Iterator[RawRecord | Region | RejectedRecord]:
    path = opened.path
    if found == "fasta":
        return read_fasta(lines, path, chunk=chunk)
    if found == "fastq":
        return read_fastq(lines, path)
    if found in ("genbank", "embl"):
        return read_genbank(opened.text(), path, dialect=found)
    if found == "bed":
        return read_bed(lines, path)
    if found == "gff":
        return read_gff(lines, path)
    if found == "table":
        return read_table(lines, path)
    if found == "plain":
        return read_plain(lines)
    if found == "parquet":
        if path is None or opened.compression:
            raise UnreadableSource("parquet-stream", "parquet cannot be read from a stream", "name an unpacked file")
        return read_parquet(path)
    raise UnreadableSource("variants", "a file of variants, not of sequences", "score it with `genomics variants`")


def _located(
    raw: Iterator[RawRecord | Region | RejectedRecord], reference: Reference | Path | str | None, source: Path | None
) -> Iterator[RawRecord | RejectedRecord]:
    """Puts the reference's letters in the place of regions; the reference is opened at the first of them."""
    opened = reference if isinstance(reference, Reference) else None
    try:
        for record in raw:
            if not isinstance(record, Region):
                yield record
                continue
            if reference is None:
                raise ValueError(f"{source or 'standard input'} holds regions; name the reference that they lie on")
            if opened is None:
                opened = Reference(Path(reference))  # type: ignore[arg-type]
            yield from region_sequences([record], opened, source)
    finally:
        if opened is not None and opened is not reference:
            opened.close()
