"""Reading variants: pysam as oracle for VCF, and each row that cannot be scored."""

import gzip
import io

import pyarrow
import pysam
import pytest
from pyarrow import parquet

from domains.genomics.readers.vcf import Variant, read_variants
from domains.genomics.sequences.records import RejectedRecord

HEADER = "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=1000>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
ROWS = [("chr1", 11, "rs1", "A", "G"), ("chr1", 20, ".", "AC", "A,ACT"), ("chr1", 30, ".", "acg", "TTT")]
EXPECTED = [
    Variant("chr1", 10, "A", "G", "rs1", 4),
    Variant("chr1", 19, "AC", "A", "", 5),
    Variant("chr1", 19, "AC", "ACT", "", 5),
    Variant("chr1", 29, "ACG", "TTT", "", 6),
]


def read(text):
    return list(read_variants(io.BytesIO(text if isinstance(text, bytes) else text.encode())))


def rows(entries):
    return "".join("\t".join(map(str, entry)) + "\t.\tPASS\t.\n" for entry in entries)


def test_vcf_agrees_with_pysam(tmp_path):
    path = tmp_path / "v.vcf"
    path.write_text(HEADER + rows(ROWS))
    found = list(read_variants(path))
    assert found == EXPECTED
    with pysam.VariantFile(str(path)) as oracle:
        theirs = [(entry.chrom, entry.start, (entry.ref or "").upper(), alt) for entry in oracle for alt in entry.alts]
    assert [(variant.contig, variant.position, variant.ref, variant.alt) for variant in EXPECTED] == theirs
    assert EXPECTED[1].name == "chr1:20:AC:A"


def test_packed_headerless_spaced_and_crlf_vcf_give_the_same(tmp_path):
    text = HEADER + rows(ROWS)
    path = tmp_path / "v.vcf.bgz"
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text.encode())
    assert list(read_variants(path)) == EXPECTED
    assert read(gzip.compress(text.replace("\n", "\r\n").encode())) == EXPECTED
    bare = [(variant.name, variant.id) for variant in EXPECTED]
    assert [(variant.name, variant.id) for variant in read(rows(ROWS))] == bare
    assert [(variant.name, variant.id) for variant in read(rows(ROWS).replace("\t", " "))] == bare


def test_tables_count_from_one():
    text = 'id,chrom,pos,ref,alt\nrs1,chr1,11,A,G\n,chr1,20,AC,"A,ACT"\n,chr1,30,acg,TTT\n'
    found = read(text)
    assert [(variant.name, variant.id) for variant in found] == [(variant.name, variant.id) for variant in EXPECTED]
    assert [variant.source_line for variant in found] == [2, 3, 3, 4]
    (lost,) = read("chrom,pos,ref\nchr1,1,A\n")
    assert (lost.code, lost.lost) == ("no-variants", True)
    assert "'chrom', 'pos', 'ref'" in lost.reason


def test_parquet_gives_what_the_table_gives(tmp_path):
    path = tmp_path / "v.parquet"
    columns = {"id": ["rs1", None, ""], "chrom": ["chr1"] * 3, "ref": ["A", "AC", "acg"]}
    for positions, alternatives in (
        ([11, 20, 30], ["G", "A,ACT", "TTT"]),
        # A column with a gap comes as floats out of data frames, alternatives as lists out of variant stores.
        ([11.0, 20.0, 30.0], [["G"], ["A", "ACT"], ["TTT"]]),
    ):
        parquet.write_table(pyarrow.table(columns | {"pos": positions, "alt": alternatives}), path)
        found = list(read_variants(path))
        assert [(variant.name, variant.id) for variant in found] == [(each.name, each.id) for each in EXPECTED]
        assert [variant.source_line for variant in found] == [1, 2, 2, 3]
    parquet.write_table(pyarrow.table({"chrom": ["1"], "pos": [None], "ref": ["A"], "alt": ["C"]}), path)
    assert [str(row) for row in read_variants(path)] == [
        f"{path}, line 1: 1:: the position '' is on no base; positions are whole numbers that count from 1"
    ]
    parquet.write_table(pyarrow.table({"x": [1]}), path)
    assert "no columns of variants; the columns are 'x'; name the columns chrom, pos" in str(*read_variants(path))
    path.write_bytes(b"PAR1" + bytes(100))
    (lost,) = read_variants(path)
    assert lost.code == "broken-archive" and "copy or write the file again" in str(lost)
    path.write_bytes(b"PAR1")
    assert [row.code for row in read(path.read_bytes())] == ["parquet-stream"]


def test_a_file_without_a_variant_says_so():
    for text in (HEADER, "chrom,pos,ref,alt\n"):
        (lost,) = read(text)
        assert (lost.code, lost.reason) == ("no-variants", "the file has a header and no variant")


def test_a_long_deletion_fits_into_a_table():
    (found,) = read(f"chrom,pos,ref,alt\n1,5,{'A' * 200_000},A\n")
    assert len(found.ref) == 200_000


def test_indices_beside_packed_files_are_named():
    for magic in (b"TBI\x01", b"CSI\x01"):
        (lost,) = read(gzip.compress(magic + bytes(50)))
        assert str(lost) == "standard input: the index of a packed file; name the file that it is of"


@pytest.mark.parametrize(
    ("ref", "alt", "code"),
    [
        ("A", "<DEL>", "symbolic"),
        ("A", "*", "spanning-deletion"),
        ("A", "G]17:198982]", "breakend"),
        ("A", "[13:123457[C", "breakend"),
        ("A", "A.", "breakend"),
        ("A", ".", "no-alternative"),
        ("A", "<NON_REF>", "no-alternative"),
        ("A", "R", "allele"),
        ("N", "A", "allele"),
        ("A", "a", "same"),
    ],
)
def test_alleles_that_are_no_bases_are_rejected_alone(ref, alt, code):
    found = read(HEADER + rows([("chr1", 5, "x", ref, f"{alt},C"), ("chr1", 6, ".", "A", "T")]))
    (rejected,) = [record for record in found if isinstance(record, RejectedRecord)]
    assert (rejected.code, rejected.line, rejected.name) == (code, 4, "x")
    kept = [variant.name for variant in found if isinstance(variant, Variant)]
    assert kept == (["chr1:6:A:T"] if ref == "N" else ["chr1:5:A:C", "chr1:6:A:T"])


@pytest.mark.parametrize("position", ["0", "-3", "x", "1.5"])
def test_positions_on_no_base(position):
    (rejected,) = read(HEADER + rows([("chr1", position, ".", "A", "T")]))
    assert rejected.code == "position"


def test_broken_files(tmp_path):
    assert [record.code for record in read(HEADER + "chr1\t5\tx\n")] == ["malformed-row"]
    assert [record.code for record in read(">a\nACGT\n")] == ["no-variants"]
    assert [record.code for record in read_variants(tmp_path / "none.vcf")] == ["missing"]
    assert [record.code for record in read(b"BCF\x02\x02rest")] == ["bcf"]
    data = gzip.compress((HEADER + rows([("chr1", k, ".", "A", "T") for k in range(1, 20_000)])).encode())
    found = read(data[: len(data) // 2])
    assert [record.code for record in found if isinstance(record, RejectedRecord)] == ["broken-archive"]
    assert isinstance(found[-1], RejectedRecord)
