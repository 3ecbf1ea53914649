"""Which format a file has: by what it holds, and only where that does not tell, by its name."""

from __future__ import annotations

import re
from pathlib import Path

from domains.genomics.readers.stream import HEAD, UnreadableSource

FORMATS = ("fasta", "fastq", "bed", "gff", "vcf", "genbank", "embl", "table", "parquet", "plain")

SEQUENCE_COLUMNS = ("sequence", "seq", "dna", "dna_sequence", "nucleotide_sequence", "nucleotides", "text")
"""Names of the column that holds DNA, compared without case; the first that is there counts."""

_ENDINGS = {
    "fasta": ".fa .fasta .fna .ffn .fas .mpfa",
    "fastq": ".fq .fastq",
    "bed": ".bed .bed3 .bed6 .bed12 .narrowpeak .broadpeak",
    "gff": ".gff .gff3 .gtf",
    "vcf": ".vcf",
    "genbank": ".gb .gbk .gbff .genbank",
    "embl": ".embl",
    "table": ".csv .tsv .tab",
    "parquet": ".parquet .pq",
}
_BY_ENDING = {ending: name for name, endings in _ENDINGS.items() for ending in endings.split()}
_PACKED = {".gz", ".bgz", ".bz2", ".xz"}

_FOREIGN = (
    (b"\x1a\x41\x27\x43", "two-bit", "a 2bit file", "turn it into FASTA with `twoBitToFa IN.2bit OUT.fa`"),
    (b"\x43\x27\x41\x1a", "two-bit", "a 2bit file", "turn it into FASTA with `twoBitToFa IN.2bit OUT.fa`"),
    (b"BAM\x01", "alignments", "a BAM file of aligned reads", "write its reads out with `samtools fasta`"),
    (b"CRAM", "alignments", "a CRAM file of aligned reads", "write its reads out with `samtools fasta`"),
    (b"BCF\x02", "bcf", "a BCF file", "turn it into VCF with `bcftools view`"),
    (b"\x89HDF", "hdf5", "an HDF5 file", "write its sequences out as FASTA or CSV"),
    (b"TBI\x01", "index", "the index of a packed file", "name the file that it is of"),
    (b"CSI\x01", "index", "the index of a packed file", "name the file that it is of"),
    (b"PK\x03\x04", "zip", "a ZIP archive or a workbook", "unpack it, or save the sheet as CSV"),
    (b"\xff\xfe", "encoding", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "encoding", "text in UTF-16", "save it as UTF-8"),
)
_WHOLE_NUMBER = re.compile(r"\d+")
_ALLELES = re.compile(r"[A-Za-z.,*<>:\[\]0-9_]+")
_NUCLEOTIDES = re.compile(r"[ACGTUNRYSWKMBDHV]+", re.IGNORECASE)


def recognise(head: bytes, path: Path | None) -> str:
    """One of `FORMATS` for the first bytes of an (unpacked) file.

    Raises:
        UnreadableSource: an empty file, another format, or none that is known.
    """
    if not head.strip():
        raise UnreadableSource("empty-file", "the file is empty", "")
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, code, what, remedy in _FOREIGN:
        if head.startswith(magic):
            raise UnreadableSource(code, what, remedy)
    if b"\0" in head:
        raise UnreadableSource("binary", "not a text file", f"{_known()} are read")
    lines = _lines(head)
    found = _signature(lines) or _by_rows(lines) or by_name(path) or _by_columns(lines)
    if found is None:
        raise UnreadableSource(
            "unknown-format",
            f"the format cannot be recognised; it begins with {lines[0][:40]!r}",
            f"{_known()} are read",
        )
    return found


def by_name(path: Path | None) -> str | None:
    """The format that the ending of a file name stands for, None where it stands for none."""
    if path is None:
        return None
    endings = [ending.lower() for ending in path.suffixes]
    while endings and endings[-1] in _PACKED:
        endings.pop()
    return _BY_ENDING.get(endings[-1]) if endings else None


def delimiter(header: str) -> str:
    """The delimiter of a table's header; a tab where none is there."""
    return max("\t,;", key=header.count)


def _known() -> str:
    return "FASTA, FASTQ, GenBank, EMBL, BED, GFF, tables (CSV, TSV, parquet) and one sequence a line"


def _lines(head: bytes) -> list[str]:
    text = head.decode("utf-8-sig", "backslashreplace")
    lines = text.splitlines()
    # The last line may be cut.
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip()]


def _signature(lines: list[str]) -> str | None:
    first = next((line for line in lines if not line.startswith(";")), lines[0])
    if first.startswith(">"):
        return "fasta"
    if re.match(r"@(HD|SQ|RG|PG)\t", first):
        raise UnreadableSource("alignments", "a SAM file of aligned reads", "write its reads out with `samtools fasta`")
    if first.startswith("@"):
        return "fastq"
    if first.startswith("LOCUS ") or (first.startswith("ID   ") and ";" in first):
        return "genbank" if first.startswith("LOCUS ") else "embl"
    if any(line.startswith("##gff-version") for line in lines[:5]):
        return "gff"
    if lines[0].startswith("##fileformat=VCF") or any(line.startswith("#CHROM\tPOS\tID") for line in lines):
        return "vcf"
    return None


def _by_rows(lines: list[str]) -> str | None:
    """BED, GFF and VCF without a header, by the numbers in the first row."""
    row = next((line for line in lines if not line.startswith(("#", "track", "browser"))), None)
    if row is None:
        return None
    cells = row.split("\t") if "\t" in row else row.split()
    number = [_WHOLE_NUMBER.fullmatch(cell) is not None for cell in cells]
    if len(cells) >= 8 and number[3] and number[4] and cells[6] in "+-.?":
        return "gff"
    if len(cells) >= 3 and number[1] and number[2]:
        return "bed"
    if len(cells) >= 5 and number[1] and all(map(_ALLELES.fullmatch, cells[3:5])) and not number[3] and not number[4]:
        return "vcf"
    return None


def _by_columns(lines: list[str]) -> str | None:
    cells = [cell.strip().strip('"').lower() for cell in lines[0].lstrip("#").split(delimiter(lines[0]))]
    if set(cells).intersection(SEQUENCE_COLUMNS):
        return "table"
    if all(map(_NUCLEOTIDES.fullmatch, map(str.strip, lines))):
        return "plain"
    return "table" if len(cells) > 1 else None
