"""Needle in DNA: one motif on both strands, evenly placed, in the background asked for; pictures read back."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.simulator.needle import (
    MOTIFS,
    GenomeBackground,
    MarkovBackground,
    digits,
    even_background,
    judge,
    occurrences,
    plant,
)


def test_every_sequence_holds_its_motif_once_and_no_other_on_either_strand():
    needles = plant(80, 120, seed=2)
    for needle in needles:
        end = needle.position + len(needle.motif)
        assert needle.sequence[needle.position : end] == needle.motif
        assert needle.distance == 120 - end >= 0
        assert needle.digit == MOTIFS[needle.motif]
        words = [motif for motif in MOTIFS if motif in needle.sequence]
        assert words == [needle.motif] and needle.sequence.count(needle.motif) == 1
        assert not any(motif in reverse_complement(needle.sequence) for motif in MOTIFS)
        assert len(needle.sequence) == 120 and not needle.sequence.strip("ACGT")
    assert Counter(needle.motif for needle in needles) == dict.fromkeys(MOTIFS, 20)
    assert np.ptp([needle.distance for needle in needles]) > 80


def test_occurrences_are_found_on_both_strands_and_overlapping():
    assert occurrences("AATTGCAATGG") == [range(1, 5), range(5, 9)]  # ATTG is CAAT on the other strand
    assert occurrences("CAATTG") == [range(4), range(2, 6)]
    assert occurrences("ACGT") == []


def test_needles_are_equal_for_equal_seeds_only():
    assert plant(8, 60, seed=1) == plant(8, 60, seed=1) != plant(8, 60, seed=2)


def test_pictures_are_digits_of_the_motif():
    pictures = digits()
    assert pictures.images.shape == (720, 8, 8) and set(pictures.digits) == {0, 1, 2, 3}
    assert (pictures.images.min(), pictures.images.max()) == (0, 1)
    for needle in plant(20, 60, pictures=pictures):
        assert pictures.digits[needle.image] == needle.digit


def test_a_markov_background_has_the_probabilities_of_its_sequences():
    random = np.random.default_rng(0)
    # After A always C or G, after C always A, after G always T, after T always A.
    steps = {"A": "CG", "C": "A", "G": "T", "T": "A"}
    letters = ["A"]
    for _ in range(6000):
        letters.append(steps[letters[-1]][int(random.integers(len(steps[letters[-1]])))])
    background = MarkovBackground(["".join(letters), "NNN"], order=1)
    assert background.probabilities[0] == pytest.approx([0, 0.5, 0.5, 0], abs=0.03)
    assert background.probabilities[2, 3] == pytest.approx(1, abs=0.01)
    pairs = Counter(zip(drawn := background(4000, random), drawn[1:], strict=False))
    assert pairs["A", "C"] / (pairs["A", "C"] + pairs["A", "G"]) == pytest.approx(0.5, abs=0.05)
    assert pairs["G", "A"] + pairs["C", "C"] < 20
    np.testing.assert_allclose(MarkovBackground([], order=2).probabilities, 0.25)


def test_a_genome_background_gives_windows_of_the_genome_without_other_letters():
    genome = ["ACGTTGCA" * 10 + "N" + "GGCATTAC" * 10, "ACG"]
    background, random = GenomeBackground(genome), np.random.default_rng(0)
    for _ in range(20):
        window = background(30, random)
        assert window in genome[0] and "N" not in window
    assert len(plant(4, 40, background=background)) == 4
    with pytest.raises(ValueError, match="no sequence of the background is 500 bases long"):
        background(500, random)
    with pytest.raises(ValueError, match="hardly a window"):
        background(100, random)


def test_pictures_of_the_right_digit_are_read_right_by_distance():
    pictures = digits()
    needles = plant(40, 130, pictures=pictures, background=even_background)
    shown = pictures.images[[needle.image for needle in needles]]
    score = judge(needles, shown, pictures, bins=(0, 60))
    assert score.accuracy > 0.95 and score.f1 > 0.95
    assert sum(count for count, _ in score.by_distance.values()) == score.count == 40
    assert list(score.by_distance) == [(0, 60), (60, max(needle.distance for needle in needles) + 1)]
    wrong = np.array([needle.digit != 0 for needle in needles])
    zero = pictures.images[int(np.flatnonzero(pictures.digits == 0)[0])]
    guess = judge(needles, np.repeat(zero[None], 40, 0), pictures)
    assert guess.accuracy == pytest.approx(1 - wrong.mean()) == pytest.approx(0.25)
    assert guess.f1 == pytest.approx((2 * 0.25 / 1.25) / 4)


def test_the_reader_of_digits_knows_pictures_that_it_has_not_seen():
    pictures = digits()
    first, second = slice(None, None, 2), slice(1, None, 2)
    read = type(pictures)(pictures.images[first], pictures.digits[first]).judge()
    assert (read(pictures.images[second]) == pictures.digits[second]).mean() > 0.98


def test_what_cannot_be_planted_is_refused():
    with pytest.raises(ValueError, match="at least 12 bases"):
        plant(1, 11)
    with pytest.raises(ValueError, match="order must be from 0 to 8"):
        MarkovBackground([], order=9)
    with pytest.raises(ValueError, match="0 pictures for 1 needles"):
        judge(plant(1, 30), np.zeros((0, 8, 8)), digits())
