"""Windows around variants, checks against the reference, means over strands and boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from domains.genomics.readers.vcf import Variant
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.variants.alleles import AlleleComparison, AlleleGroup
from domains.genomics.variants.effects import VariantScore, VariantWindows, score_variants

CONTIG = "".join(np.random.default_rng(11).choice(list("ACGT"), 400))


class StubGenome:
    def __init__(self, **contigs: str):
        self.contigs = contigs or {"chr1": CONTIG}

    def name(self, contig: str) -> str:
        for name in (contig, f"chr{contig}"):
            if name in self.contigs:
                return name
        raise ValueError(f"no contig {contig!r}")

    def length(self, contig: str) -> int:
        return len(self.contigs[self.name(contig)])

    def fetch(self, contig: str, start: int, end: int) -> str:
        assert 0 <= start < end <= self.length(contig)
        return self.contigs[self.name(contig)][start:end]


class Counting:
    """log P is 3 nats for each A and 1 for each G; the task's probability is the share of C."""

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {"c": ("no", "yes")}

    def __init__(self):
        self.groups: list[AlleleGroup] = []

    def compare(self, groups: Sequence[AlleleGroup], tasks: Sequence[str] = ()) -> list[AlleleComparison]:
        self.groups += groups

        def logp(text: str) -> float:
            return 3.0 * text.count("A") + text.count("G")

        def told(text: str) -> dict[str, np.ndarray]:
            share = text.count("C") / len(text)
            return {task: np.array([1 - share, share]) for task in tasks}

        return [
            AlleleComparison(
                np.array([logp(text) - logp(group.reference) for text in group.alternatives]),
                told(group.reference),
                tuple(map(told, group.alternatives)),
            )
            for group in groups
        ]


def variant(position: int, alt: str, length: int = 1, contig: str = "chr1") -> Variant:
    return Variant(contig, position, CONTIG[position : position + length], alt, "v", 7)


def only(found: list) -> VariantScore:
    assert len(found) == 1 and isinstance(found[0], VariantScore)
    return found[0]


def test_a_substitution_on_both_strands() -> None:
    place = CONTIG.index("T", 200)
    told = only(list(score_variants([variant(place, "A")], StubGenome(), Counting(), windows=VariantWindows(100))))
    # T to A is +3 on the forward strand; the reverse strand reads A to T.
    assert told.by_strand == {"+": 3.0, "-": -3.0}
    assert told.log_ratio == 0 and told.spread == 3.0 and told.readings == 2


def test_windows_hold_what_they_should() -> None:
    model, place = Counting(), 200
    alt = "A" if CONTIG[place] != "A" else "C"
    list(score_variants([variant(place, alt)], StubGenome(), model, windows=VariantWindows(100, before=30)))
    forward, reverse = model.groups
    assert forward.reference == CONTIG[170:270]
    assert forward.alternatives == (CONTIG[170:200] + alt + CONTIG[201:270],)
    assert reverse.reference == reverse_complement(CONTIG[131:231])
    assert reverse.alternatives == (reverse_complement(CONTIG[131:200] + alt + CONTIG[201:231]),)


@pytest.mark.parametrize("length, alt", [(1, "ACCGT"), (6, "G"), (3, "TTT"), (4, "CA")])
def test_alleles_of_other_lengths_are_read_over_as_many_bases(length: int, alt: str) -> None:
    model, place = Counting(), 200
    list(score_variants([variant(place, alt, length)], StubGenome(), model, windows=VariantWindows(60)))
    whole = CONTIG[:place] + alt + CONTIG[place + length :]
    forward, reverse = model.groups
    assert forward.reference == CONTIG[170:230] and forward.alternatives == (whole[170:230],)
    shift = len(alt) - length
    end = place + length + 30
    assert reverse.reference == reverse_complement(CONTIG[end - 60 : end])
    assert reverse.alternatives == (reverse_complement(whole[end + shift - 60 : end + shift]),)


def test_at_the_ends_of_a_contig_windows_are_shorter_and_of_one_length() -> None:
    model = Counting()
    rows = [variant(0, "GGT", 1), variant(397, "A" if CONTIG[397] != "A" else "C", 3)]
    found = list(score_variants(rows, StubGenome(), model, windows=VariantWindows(100)))
    assert all(isinstance(row, VariantScore) for row in found)
    for group in model.groups:
        assert all(len(text) == len(group.reference) for text in group.alternatives)
    assert model.groups[0].reference == CONTIG[:100]
    assert model.groups[2].reference == CONTIG[347:398]


def test_alternatives_of_a_site_are_one_group_and_near_variants_share_windows() -> None:
    others = [base for base in "ACGT" if base != CONTIG[200]]
    rows = [variant(200, base) for base in others]
    model = Counting()
    found = list(score_variants(rows, StubGenome(), model, windows=VariantWindows(100)))
    assert [len(group.alternatives) for group in model.groups] == [3, 3]
    shared = Counting()
    rows.append(variant(203, "A" if CONTIG[203] != "A" else "C"))
    list(score_variants(rows, StubGenome(), shared, windows=VariantWindows(100, share=16)))
    assert [len(group.alternatives) for group in shared.groups] == [4, 4]
    assert shared.groups[0].reference == CONTIG[144:244]
    single = [
        only(list(score_variants([row], StubGenome(), Counting(), windows=VariantWindows(100)))) for row in rows[:3]
    ]
    assert [only([row]).log_ratio for row in found] == [row.log_ratio for row in single]


def test_boundaries_before_the_variant() -> None:
    model = Counting()
    told = only(
        list(score_variants([variant(200, "AT")], StubGenome(), model, windows=VariantWindows(60, boundaries=3)))
    )
    assert told.readings == 6
    assert [group.cut for group in model.groups] == [0, 29, 28, 0, 29, 28]


def test_probabilities_and_ambiguous_bases() -> None:
    text = CONTIG[:190] + "NNRN" + CONTIG[194:]
    place = CONTIG.index("A", 200, 230)
    row = Variant("1", place, "A", "C", "", 3)
    told = only(
        list(score_variants([row], StubGenome(chr1=text), Counting(), tasks=["c"], windows=VariantWindows(100)))
    )
    # A to C on the forward strand, T to G on the other.
    np.testing.assert_allclose(told.change("c"), [-0.005, 0.005])
    one = only(
        list(
            score_variants(
                [row], StubGenome(chr1=text), Counting(), tasks=["c"], windows=VariantWindows(100), one_strand=["c"]
            )
        )
    )
    np.testing.assert_allclose(one.change("c"), [-0.01, 0.01])
    assert one.log_ratio == told.log_ratio
    assert told.ambiguous == pytest.approx(0.04) and told.contig == "chr1"


def test_what_cannot_be_scored_says_why() -> None:
    other = next(base for base in "ACGT" if base not in (CONTIG[9], reverse_complement(CONTIG[9])))
    before = RejectedRecord(None, "x", 2, "symbolic", "the alternative <DEL> is symbolic")
    rows: list[Variant | RejectedRecord] = [
        before,
        Variant("chr1", 9, other, CONTIG[9], "", 3),
        Variant("chr1", 9, reverse_complement(CONTIG[9]), other, "", 4),
        Variant("chr1", 9, other, reverse_complement(CONTIG[9]), "", 5),
        Variant("chr1", 400, "A", "C", "", 6),
        Variant("chr9", 4, "A", "C", "", 7),
        variant(20, "A" * 60),
        variant(50, "A" if CONTIG[50] != "A" else "C"),
        Variant("chr1", 51, CONTIG[51], CONTIG[51], "", 9),
    ]
    found = list(score_variants(rows, StubGenome(), Counting(), windows=VariantWindows(100), batch=2))
    assert found[0] is before
    lines = [(row.line, row.code) for row in found if isinstance(row, RejectedRecord)]
    codes = ["symbolic", *["ref-mismatch"] * 3, "past-contig-end", "unknown-contig", "allele-too-long", "same"]
    assert [code for _, code in lines] == codes
    assert isinstance(found[7], VariantScore)
    swapped, reverse, plain, past = (str(row) for row in found[1:5])
    assert f"REF is {other}, but the reference has {CONTIG[9]} at chr1:10" in swapped and "swapped" in swapped
    assert "reverse strand" in reverse and "take the reference" in plain
    assert "position 401 to 401 is past the end of chr1, which has 400 bases" in past


def test_settings_that_cannot_be() -> None:
    options: list[dict[str, Any]] = [{"size": 0}, {"before": 600}, {"strands": "reverse"}, {"boundaries": 0}]
    for option in options:
        with pytest.raises(ValueError):
            VariantWindows(**option)
