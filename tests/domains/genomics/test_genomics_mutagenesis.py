"""Mutagenesis by a model known by hand; gradients against differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.format import Layout
from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.tokenizer import DnaTokenizer
from domains.genomics.variants.alleles import AlleleComparison, AlleleGroup, task_tokens
from domains.genomics.variants.mutagenesis import attribution, mutagenesis
from domains.genomics.variants.shared_prefix import SharedPrefix

WEIGHTS = np.random.default_rng(0).normal(size=(4, 30))


class Linear:
    """log P is the sum of a weight for each base at its place; the probability a multiple of it."""

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {"t": ("no", "yes")}

    def compare(self, groups: Sequence[AlleleGroup], tasks: Sequence[str] = ()) -> list[AlleleComparison]:
        def logp(text: str) -> float:
            return sum(float(WEIGHTS["ACGT".index(base), place]) for place, base in enumerate(text) if base in "ACGT")

        def told(text: str) -> dict[str, np.ndarray]:
            return {task: np.array([-logp(text), logp(text)]) / 100 for task in tasks}

        return [
            AlleleComparison(
                np.array([logp(text) - logp(group.reference) for text in group.alternatives]),
                told(group.reference),
                tuple(map(told, group.alternatives)),
            )
            for group in groups
        ]


def draw(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_a_linear_model_gives_its_weights() -> None:
    text = draw(30, 1)
    text = text[:12] + "N" + text[13:]
    told = mutagenesis(text, Linear(), tasks=("t",), span=(10, 20), strands="forward")
    own = np.array(["ACGTN".index(base) for base in text])
    for column, place in enumerate(range(10, 20)):
        if text[place] == "N":
            assert np.isnan(told.likelihood[:, column]).all()
            continue
        expected = WEIGHTS[:, place] - WEIGHTS[own[place], place]
        np.testing.assert_allclose(told.likelihood[:, column], expected, atol=1e-12)
        np.testing.assert_allclose(told.changes["t"][1, :, column], expected / 100, atol=1e-12)
        assert told.importance()[column] == pytest.approx(-expected.sum() / 3)
    assert told.changes["t"].shape == (2, 4, 10) and told.start == 10
    np.testing.assert_allclose(told.importance("t", 1), told.importance() / 100)


def test_both_strands_are_averaged() -> None:
    text = draw(30, 2)
    told = mutagenesis(text, Linear())
    other = reverse_complement(text)
    place, row = 4, "ACGT".index("A" if text[4] != "A" else "C")
    mirror = 29 - place
    forward = WEIGHTS[row, place] - WEIGHTS["ACGT".index(text[place]), place]
    reverse = WEIGHTS[3 - row, mirror] - WEIGHTS["ACGT".index(other[mirror]), mirror]
    assert told.likelihood[row, place] == pytest.approx((forward + reverse) / 2)
    one = mutagenesis(text, Linear(), tasks=("t",), one_strand={"t"})
    assert one.changes["t"][1, row, place] == pytest.approx(forward / 100)
    assert one.likelihood[row, place] == told.likelihood[row, place]
    with pytest.raises(ValueError, match="no stretch of a sequence of 30"):
        mutagenesis(text, Linear(), span=(20, 31))


def engine() -> SharedPrefix:
    torch.manual_seed(1)
    tokenizer = DnaTokenizer.train([draw(4000, 3)], vocab=60)
    answers = {"t": ClassAnswer(("no", "yes", "perhaps"))}
    tokenizer.add(Layout().vocabulary(answers), "task")
    decoder = build_decoder(ModelShape(2, 32, 4, 64), tokenizer.vocabulary_size, context=128)
    # Larger than at their start, so that answers differ by more than rounding.
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(1.3)
    return SharedPrefix(decoder, tokenizer, task_tokens(tokenizer, answers, Layout()))


def test_gradient_times_input_against_differences() -> None:
    model: Any = engine()
    text = draw(60, 4)
    text = text[:20] + "N" + text[21:]
    told = attribution(text, model, "t", 1)
    assert told.shape == (60,)
    assert np.abs(told).max() > 1e-3
    decoder = model.decoder.eval()
    tokens = model.tasks["t"]
    (ids,) = model.encode([text])
    embedded = decoder.get_input_embeddings()(torch.tensor([[*ids, 4, tokens.task]])).detach()

    def answer(place: int, scale: float) -> float:
        longer = embedded.clone()
        longer[0, place] *= scale
        with torch.no_grad():
            logits = decoder(inputs_embeds=longer).logits[0, -1, list(tokens.label_ids)]
        return float(torch.log_softmax(logits, -1)[1])

    at = 0
    for place in range(1, len(ids)):
        length = int(model.tokenizer.token_lengths[ids[place]])
        slope = (answer(place, 1.02) - answer(place, 0.98)) / 0.04
        assert told[at : at + length].sum() == pytest.approx(slope, abs=5e-5, rel=1e-2)
        np.testing.assert_allclose(told[at : at + length], told[at])
        at += length
    assert at == 60


def test_mutagenesis_of_a_decoder_is_that_of_full_passes() -> None:
    model = engine()
    text = draw(40, 5)
    told = mutagenesis(text, model, tasks=("t",), strands="forward", span=(5, 12))
    model.reuse = False
    again = mutagenesis(text, model, tasks=("t",), strands="forward", span=(5, 12))
    np.testing.assert_allclose(told.likelihood, again.likelihood, atol=2e-5)
    np.testing.assert_allclose(told.changes["t"], again.changes["t"], atol=1e-6)
    with pytest.raises(ValueError, match="u is no task"):
        attribution(text, model, "u")
