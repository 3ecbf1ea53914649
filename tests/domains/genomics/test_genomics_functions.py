"""The DNA-to-text set: what a sentence says is in the sequence, and every sentence is a valid text answer."""

from __future__ import annotations

from collections import Counter

import pytest

from domains.genomics.answers import EOS, TextAnswer
from domains.genomics.simulator.functions import FAMILIES, LEVELS, PLACES, sentence, simulate, translate


def test_sentences_follow_the_grammar():
    said = sentence("zinc finger protein", "nucleus", "weakly")
    assert said == "zinc finger protein of the nucleus; binds DNA; weakly expressed."
    sentences = {sentence(family, place, level) for family in FAMILIES for place in PLACES for level in LEVELS}
    assert len(sentences) == 36


def test_without_mutations_the_protein_holds_signal_and_consensus():
    for sample in simulate(60, seed=1, mutated=0.0):
        assert len(sample.sequence) == 240 and not sample.sequence.strip("ACGT")
        protein = translate(sample.sequence, sample.start)
        assert protein[0] == "M"
        assert protein[1:].startswith(PLACES[sample.place])
        assert [family for family, (consensus, _) in FAMILIES.items() if consensus in protein] == [sample.family]
        stop = sample.start + 3 * len(protein)
        assert sample.sequence[stop : stop + 3] in ("TAA", "TAG", "TGA")
        assert len(sample.sequence) - stop - 3 >= 6
        assert sample.text == sentence(sample.family, sample.place, sample.level)


def test_codons_end_as_the_expression_says():
    for sample in simulate(40, seed=4):
        protein = translate(sample.sequence, sample.start)
        thirds = Counter(sample.sequence[sample.start + 5 + 3 * place] for place in range(len(protein) - 1))
        share = (thirds["G"] + thirds["C"]) / thirds.total()
        assert share > 0.5 if sample.level == "strongly" else share < 0.5


def test_families_places_and_levels_are_drawn_evenly_and_seeds_hold():
    samples = simulate(600, seed=5)
    for names, count in ((Counter(s.family for s in samples), 6), (Counter(s.place for s in samples), 3)):
        assert len(names) == count
        assert min(names.values()) > 0.7 * 600 / count
    assert simulate(5, seed=5) == samples[:5] != simulate(5, seed=6)


def test_mutations_change_some_of_the_consensus():
    held = [FAMILIES[s.family][0] in translate(s.sequence, s.start) for s in simulate(200, mutated=0.1)]
    # Ten amino acids, each drawn anew with chance 0.1 and then the same again with 1/20.
    assert sum(held) / 200 == pytest.approx((1 - 0.1 * 19 / 20) ** 10, abs=0.1)


def test_sentences_are_short_text_answers():
    texts = [sample.text for sample in simulate(200)]
    answer = TextAnswer.learn(texts, vocabulary=400)
    for text in set(texts):
        tokens = answer.encode(text)
        assert answer.decode(tokens) == text and answer.grammar().accepts([*tokens, EOS])
        assert len(tokens) <= 20


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 144 bases"):
        simulate(1, length=100)
    with pytest.raises(ValueError, match="from 0 to below 1"):
        simulate(1, mutated=1.0)
