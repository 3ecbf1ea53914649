"""Alleles that go on from their reference's keys and values against full passes and an independent forward."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.format import Layout
from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.variants.alleles import AlleleGroup, TaskTokens, task_tokens
from domains.genomics.variants.shared_prefix import SharedPrefix


class StubTokenizer:
    """The longest of the words at each place; tokens therefore change with what follows them."""

    def __init__(self, extra: tuple[str, ...] = ()):
        special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
        words = ["".join(word) for size in (1, 2) for word in itertools.product("ACGT", repeat=size)]
        words += ["TATA", "GATTAC", "ACGTAC", "CCC", "AAA"]
        self.ids = {token: place for place, token in enumerate([*special, *words, *extra])}
        self.names = list(self.ids)

    def encode(self, sequence: str) -> list[int]:
        ids, place = [], 0
        while place < len(sequence):
            for size in range(6, 0, -1):
                word = sequence[place : place + size]
                if len(word) == size and word in self.ids:
                    ids.append(self.ids[word])
                    break
            else:
                size = 1
                ids.append(0)
            place += size
        return ids

    def encode_many(self, sequences: list[str]) -> list[list[int]]:
        return [self.encode(sequence) for sequence in sequences]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.names[token] for token in ids)

    def token_id(self, token: str) -> int:
        return self.ids[token]


ANSWERS = {"promoter": ClassAnswer(("0", "1")), "splice": ClassAnswer(("none", "donor", "acceptor"))}
EXTRA = ("<task:promoter>", "<task:splice>", *ANSWERS["promoter"].tokens, *ANSWERS["splice"].tokens)


def engine(norm: str = "rms", layout: str = "polyhead", **options) -> SharedPrefix:
    torch.manual_seed(3)
    tokenizer = StubTokenizer(EXTRA)
    shape = ModelShape(2, 32, 4, 64, norm=norm, tied=norm == "layer")  # pyright: ignore[reportArgumentType]
    decoder = build_decoder(shape, len(tokenizer.ids), context=256).eval()
    # Weights of training's size: at their start the probabilities hardly differ.
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(2)
    tasks = task_tokens(tokenizer, ANSWERS, Layout(layout))  # pyright: ignore[reportArgumentType]
    return SharedPrefix(decoder, tokenizer, tasks, **options)


def draw(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def groups() -> list[AlleleGroup]:
    one, two = draw(60, 1), draw(47, 2)
    return [
        AlleleGroup(one, tuple(one[:30] + base + one[31:] for base in "ACGT" if base != one[30])),
        AlleleGroup(two, (two[:20] + "GG" + two[20:45], two[:5] + two[9:], "T" + two[1:], two[:-3])),
        AlleleGroup(one, (one[:31] + "C" + one[31:59],), cut=29),
    ]


def by_hand(model: SharedPrefix, text: str, cut: int) -> tuple[float, dict[str, np.ndarray]]:
    """The sum of log P of a window's tokens, and the labels' probabilities: one plain forward for each."""
    tokenizer, decoder = model.tokenizer, model.decoder
    ids = [1, *tokenizer.encode(text[:cut]), *tokenizer.encode(text[cut:])]
    with torch.no_grad():
        scores = torch.log_softmax(decoder(torch.tensor([ids])).logits[0], -1)
        total = sum(float(scores[place - 1, token]) for place, token in enumerate(ids) if place)
        told = {}
        for task, tokens in model.tasks.items():
            assert isinstance(tokens, TaskTokens)
            asked = [4] if tokens.task is None else [4, tokens.task]
            logits = decoder(torch.tensor([[*ids, *asked]])).logits[0, -1]
            told[task] = torch.softmax(logits[list(tokens.label_ids)], -1).numpy()
    return total, told


@pytest.mark.parametrize(
    "norm, layout, batch_tokens", [("rms", "polyhead", 100), ("layer", "polyhead", 8192), ("rms", "released", 8192)]
)
def test_equal_to_a_plain_forward_of_every_window(norm: str, layout: str, batch_tokens: int) -> None:
    model = engine(norm, layout, batch_tokens=batch_tokens)
    for group, told in zip(groups(), model.compare(groups(), ["splice", "promoter"]), strict=True):
        base, probabilities = by_hand(model, group.reference, group.cut)
        for task in model.tasks:
            np.testing.assert_allclose(told.reference[task], probabilities[task], atol=1e-5)
        for text, ratio, answers in zip(group.alternatives, told.log_ratios, told.alternatives, strict=True):
            total, probabilities = by_hand(model, text, group.cut)
            assert ratio == pytest.approx(total - base, abs=2e-4, rel=1e-5)
            for task in model.tasks:
                np.testing.assert_allclose(answers[task], probabilities[task], atol=1e-5)


def test_reuse_changes_nothing() -> None:
    with_cache, without = engine(), engine(reuse=False)
    for one, other in zip(
        with_cache.compare(groups(), ["promoter"]), without.compare(groups(), ["promoter"]), strict=True
    ):
        np.testing.assert_allclose(one.log_ratios, other.log_ratios, atol=1e-4)
        for left, right in zip(one.alternatives, other.alternatives, strict=True):
            np.testing.assert_allclose(left["promoter"], right["promoter"], atol=1e-5)
    assert with_cache.compare(groups())[0].reference == {}


def test_fewer_tokens_are_read_with_reuse() -> None:
    read = []
    for reuse in (True, False):
        model = engine(reuse=reuse)
        seen = [0]
        model.decoder.model.embed_tokens.register_forward_pre_hook(
            lambda _module, given, seen=seen: seen.__setitem__(0, seen[0] + given[0].numel())
        )
        model.compare(groups()[:1])
        read.append(seen[0])
    assert read[0] < 0.75 * read[1]


def test_ambiguous_bases_are_left_out_of_the_ratio() -> None:
    model = engine()
    text = draw(40, 5)
    masked = text[:30] + "N" + text[31:]
    ids = [1, *model.tokenizer.encode(masked)]
    other = [1, *model.tokenizer.encode("G" + masked[1:] if masked[0] != "G" else "A" + masked[1:])]
    with torch.no_grad():
        sums = []
        for row in (ids, other):
            scores = torch.log_softmax(model.decoder(torch.tensor([row])).logits[0], -1)
            sums.append(sum(float(scores[place - 1, token]) for place, token in enumerate(row) if place and token))
    told = model.compare([AlleleGroup(masked, (model.tokenizer.decode(other[1:]).replace("[UNK]", "N"),))])
    assert 0 in ids
    assert told[0].log_ratios[0] == pytest.approx(sums[1] - sums[0], abs=2e-4)


def test_the_same_window_gives_zero_and_unknown_tasks_are_named() -> None:
    model = engine()
    text = draw(30, 6)
    told = model.compare([AlleleGroup(text, (text,)), AlleleGroup(text, ())], ["promoter"])
    assert told[0].log_ratios.tolist() == [0.0]
    np.testing.assert_allclose(told[0].alternatives[0]["promoter"], told[0].reference["promoter"], atol=1e-6)
    assert told[1].alternatives == ()
    with pytest.raises(ValueError, match=r"enhancer is no task .* promoter, splice"):
        model.compare([AlleleGroup(text, ())], ["enhancer"])
    with pytest.raises(ValueError, match="longer than the model's 256"):
        model.compare([AlleleGroup(draw(900, 7), ())])
