"""A scorer, a reference file and a VCF file together: shared prefixes against two full passes, and what is written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pysam
import pytest
import torch

from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.format import Layout
from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.predicting.scan import Region, ScanWindows, scan, tracks_of, write_scan
from domains.genomics.readers.reference import Reference
from domains.genomics.readers.vcf import read_variants
from domains.genomics.scoring.scorer import Scorer
from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.sequences.tokenizer import DnaTokenizer
from domains.genomics.variants.comparers import PlainComparer, comparer
from domains.genomics.variants.effects import VariantScore, VariantWindows, score_variants
from domains.genomics.variants.files import write_variant_vcf
from domains.genomics.variants.shared_prefix import SharedPrefix

CONTIG = "".join(np.random.default_rng(21).choice(list("ACGT"), 1200))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    lines = [CONTIG[place : place + 60].lower() for place in range(0, len(CONTIG), 60)]
    path.write_text(">chr1\n" + "\n".join(lines) + "\n")
    with Reference(path) as opened:
        yield opened


def scorer(*, heads: bool = False, spelled: bool = False) -> Scorer:
    torch.manual_seed(4)
    tokenizer = DnaTokenizer.train([CONTIG], vocab=120)
    spelling = {"a": ("<label:x>", "<label:y>"), "b": ("<label:x>", "<label:z>")} if spelled else {}
    answers = {
        "promoter": ClassAnswer(("0", "1")),
        "splice": ClassAnswer(("none", "donor", "acceptor")),
        "own": ClassAnswer(("a", "b"), spelling=spelling),
    }
    tokenizer.add(Layout().vocabulary(answers), "task")
    decoder = build_decoder(ModelShape(2, 32, 4, 64), tokenizer.vocabulary_size, context=256)
    if not heads:
        return Scorer(decoder, tokenizer, answers)
    linear = {"promoter": torch.nn.Linear(32, 2), "splice": torch.nn.Linear(32, 3)}
    model = SimpleNamespace(
        tasks={"promoter": SimpleNamespace(reads="mean"), "splice": SimpleNamespace(reads="last")},
        head=linear.__getitem__,
        backbone=SimpleNamespace(decoder=decoder),
    )
    return Scorer(model, tokenizer, answers)


def vcf(folder: Path) -> Path:
    def other(place: int) -> str:
        return "A" if CONTIG[place] != "A" else "G"

    base = CONTIG[300]
    wrong = next(letter for letter in "ACGT" if letter not in (CONTIG[500], other(500)))
    rows = [
        ("1", 301, "multi", base, ",".join(letter for letter in "ACGT" if letter != base)),
        ("chr1", 351, "deletion", CONTIG[350:356], CONTIG[350]),
        ("chr1", 401, "insertion", CONTIG[400], CONTIG[400] + "GATTACA"),
        ("chr1", 451, "mnv", CONTIG[450:453], "".join(map(other, range(450, 453)))),
        ("chr1", 501, "wrong", wrong, other(500)),
        ("chr1", 1201, "past", "A", "C"),
        ("chr1", 1200, "last", CONTIG[1199], other(1199)),
    ]
    path = folder / "in.vcf"
    lines = ["\t".join([contig, str(place), name, ref, alt, ".", ".", "."]) for contig, place, name, ref, alt in rows]
    path.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("share", [1, 64])
def test_equal_to_two_full_passes(reference: Reference, tmp_path: Path, heads: bool, share: int) -> None:
    asked = scorer(heads=heads)
    quick = comparer(asked)
    assert isinstance(quick, SharedPrefix) and dict(quick.labels) == dict(asked.labels)
    tasks, windows = list(asked.labels), VariantWindows(200, share=share)
    path = vcf(tmp_path)
    one = list(score_variants(read_variants(path), reference, quick, tasks=tasks, windows=windows))
    two = list(score_variants(read_variants(path), reference, PlainComparer(asked), tasks=tasks, windows=windows))
    codes = [row.code for row in one if isinstance(row, RejectedRecord)]
    assert codes == ["ref-mismatch", "past-contig-end"] and len(one) == 9
    for left, right in zip(one, two, strict=True):
        assert type(left) is type(right)
        if isinstance(left, VariantScore) and isinstance(right, VariantScore):
            assert left.log_ratio == pytest.approx(right.log_ratio, abs=5e-5)
            for task in tasks:
                np.testing.assert_allclose(left.reference[task], right.reference[task], atol=1e-5)
                np.testing.assert_allclose(left.alternative[task], right.alternative[task], atol=1e-5)


def test_labels_of_several_tokens_take_full_passes() -> None:
    asked = scorer(spelled=True)
    plain = comparer(asked)
    assert isinstance(plain, PlainComparer) and plain.labels == asked.labels


def test_values_arrive_in_the_vcf(reference: Reference, tmp_path: Path) -> None:
    path, out = vcf(tmp_path), tmp_path / "out.vcf.gz"
    model = comparer(scorer())
    scored = list(score_variants(read_variants(path), reference, model, tasks=["promoter"], source=path))
    labels = {"promoter": model.labels["promoter"]}
    counts = write_variant_vcf(scored, out, labels, source=path, contigs=reference.contigs)
    assert counts == {"scored": 7, "rejected": 2}
    with pysam.VariantFile(str(out)) as file:
        records = {record.id: record for record in file}
    told = [row for row in scored if isinstance(row, VariantScore)]
    assert records["multi"].info["POLYHEAD_LLR"] == pytest.approx([row.log_ratio for row in told[:3]], rel=1e-4)
    assert records["wrong"].info["POLYHEAD_REJECTED"] == ("ref-mismatch",)
    change = records["deletion"].info["POLYHEAD_promoter_CHANGE"][0]
    assert change == pytest.approx(told[3].change("promoter")[1], rel=1e-3, abs=1e-8)


def test_boundaries_change_the_tokens_at_the_variant(reference: Reference) -> None:
    model = comparer(scorer())
    assert isinstance(model, SharedPrefix)
    plain, cut = model.encode([CONTIG[:100]])[0], model.encode([CONTIG[:100]], 49)[0]
    ends = np.cumsum(model.tokenizer.token_lengths[cut[1:]])
    assert 49 in ends and ends[-1] == 100
    assert model.tokenizer.decode(cut[1:]) == model.tokenizer.decode(plain[1:])


def test_a_scan_of_a_file(reference: Reference, tmp_path: Path) -> None:
    asked = scorer()
    names = [name for _, _, name in tracks_of(asked.labels, ["promoter"])]
    settings = ScanWindows(100, 50, "forward", batch=7)
    stretches = list(scan(reference, [Region("chr1", 0, 1200)], asked, tasks=["promoter"], settings=settings))
    write_scan(stretches, tmp_path, reference.contigs, names, formats=("bedgraph",))
    (alone,) = asked.score([CONTIG[:100]], ["promoter"])
    assert (stretches[0].start, stretches[0].end, stretches[-1].end) == (0, 50, 1200)
    assert stretches[0].values[0] == pytest.approx(alone["promoter"][1], abs=1e-6)
    assert len((tmp_path / "promoter.bedgraph").read_text().splitlines()) == len(stretches) + 1
