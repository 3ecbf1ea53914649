"""Tables and VCF of scored variants, read back by other programs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pysam
import pytest

from domains.genomics.readers.vcf import Variant, read_variants
from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.variants.effects import VariantScore
from domains.genomics.variants.files import write_variant_table, write_variant_vcf

LABELS = {"promoter": ("0", "1"), "splice site": ("none", "donor", "acceptor")}

VCF = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=400>
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
chr1\t10\trs1\tA\tC,<DEL>,G\t50\tPASS\tDP=7
chr1\t12\t.\tT\t<DEL>\t.\t.\t.
chr1\t20\t.\tG\tGA\t.\t.\t.
"""


def score(variant: Variant, ratio: float) -> VariantScore:
    half = np.array([0.5, 0.5])
    return VariantScore(
        variant,
        "chr1",
        ratio,
        {"+": ratio + 0.25, "-": ratio - 0.25},
        0.25,
        2,
        {"promoter": half, "splice site": np.array([0.5, 0.25, 0.25])},
        {"promoter": np.array([0.25, 0.75]), "splice site": np.array([0.25, 0.25, 0.5])},
        0.02,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(VCF)
    return path


def scored(source: Path) -> list[VariantScore | RejectedRecord]:
    rows = list(read_variants(source))
    return [score(row, -1.5 - place) if isinstance(row, Variant) else row for place, row in enumerate(rows)]


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz"])
def test_the_source_keeps_its_lines_and_gets_values(source: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_variant_vcf(scored(source), path, LABELS, source=source) == {"scored": 3, "rejected": 2}
    with pysam.VariantFile(str(path)) as file:
        first, deleted, last = list(file)
    assert first.info["DP"] == 7 and first.id == "rs1" and first.qual == 50
    assert first.info["POLYHEAD_LLR"] == (-1.5, None, -3.5)
    assert first.info["POLYHEAD_promoter_CHANGE"] == (0.25, None, 0.25)
    assert first.info["POLYHEAD_splice_site_acceptor_REF"] == (0.25, None, 0.25)
    assert first.info["POLYHEAD_REJECTED"] == ("symbolic",)
    assert "POLYHEAD_LLR" not in deleted.info and deleted.info["POLYHEAD_REJECTED"] == ("symbolic",)
    assert last.info["POLYHEAD_LLR"] == (-5.5,) and last.alts == ("GA",)


def test_annotating_twice_declares_once_and_headers_are_made(source: Path, tmp_path: Path) -> None:
    once, twice, bare = tmp_path / "once.vcf", tmp_path / "twice.vcf", tmp_path / "bare.vcf"
    write_variant_vcf(scored(source), once, LABELS, source=source)
    once_rows = [score(row, 1.0) if isinstance(row, Variant) else row for row in read_variants(once)]
    write_variant_vcf(once_rows, twice, LABELS, source=once)
    assert twice.read_text().count("##INFO=<ID=POLYHEAD_LLR,") == 1
    with pysam.VariantFile(str(twice)) as file:
        assert next(iter(file)).info["POLYHEAD_LLR"] == (1.0, None, 1.0)
    bare.write_text("chr1\t20\t.\tG\tGA\nbroken\nchr1\t21\t.\tA\tT\n")
    rows = scored(bare)
    write_variant_vcf(rows, once, {}, source=bare, contigs={"chr1": 400})
    with pysam.VariantFile(str(once)) as file:
        assert [record.pos for record in file] == [20, 21]
        assert file.header.contigs["chr1"].length == 400


def test_variants_of_a_table_get_lines_of_their_own(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.vcf"
    write_variant_vcf(scored(source), path, LABELS, contigs={"chr1": 400})
    with pysam.VariantFile(str(path)) as file:
        assert [(record.pos, record.alts) for record in file] == [(10, ("C",)), (10, ("G",)), (20, ("GA",))]


@pytest.mark.parametrize("name, delimiter", [("out.tsv", "\t"), ("out.csv", ",")])
def test_the_table(source: Path, tmp_path: Path, name: str, delimiter: str) -> None:
    path = tmp_path / name
    assert write_variant_table(scored(source), path, LABELS) == {"scored": 3, "rejected": 2}
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=delimiter))
    assert len(rows) == 5
    assert (rows[0]["chrom"], rows[0]["pos"], rows[0]["ref"], rows[0]["alt"]) == ("chr1", "10", "A", "C")
    assert float(rows[0]["log_ratio"]) == -1.5 and float(rows[0]["log_ratio_reverse"]) == -1.75
    assert float(rows[0]["promoter:1.change"]) == 0.25 and "promoter:0.ref" not in rows[0]
    assert float(rows[0]["splice site:none.alt"]) == 0.25
    assert rows[1]["rejected"] == "symbolic" and "<DEL>" in rows[1]["reason"] and rows[1]["log_ratio"] == ""
    assert sum(row["rejected"] != "" for row in rows) == 2


def test_a_failure_leaves_the_old_file(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    path.write_text("old")

    def broken():
        yield scored(source)[0]
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_variant_table(broken(), path, LABELS)
    assert path.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.vcf", "out.tsv"]
