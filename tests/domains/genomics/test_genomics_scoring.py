"""Scoring with a shared prefix equals plain full passes; generated answers are the best valid ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from domains.genomics.answers import EOS, ClassAnswer, ImageAnswer, NumberAnswer, TextAnswer
from domains.genomics.answers.format import Layout
from domains.genomics.models.backbone import DnaBackbone
from domains.genomics.models.family import ModelShape, build_decoder
from domains.genomics.scoring.prefixes import Continuation, Prefixes, TokenTree, buckets
from domains.genomics.scoring.scorer import LogLikelihood, Scorer
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.tokenizer import DnaTokenizer
from polyhead.model import MultiHeadModel
from polyhead.tasks import TaskSet, TaskSpec

ANSWERS = {
    "H3": ClassAnswer(("0", "1")),
    "splice": ClassAnswer(("acceptor", "donor", "none")),
    "spelled": ClassAnswer(
        ("0", "1", "10"), spelling={"0": ("<digit:0>",), "1": ("<digit:1>",), "10": ("<digit:1>", "<digit:0>")}
    ),
    "expression": NumberAnswer(1, 2, signed=True),
    "function": TextAnswer.learn(["binds DNA", "binds RNA", "detects smells"], vocabulary=110),
    "needle": ImageAnswer(4, (2, 3)),
}
CLASSES = ["H3", "splice", "spelled"]


def dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


SEQUENCES = [dna(length, length) for length in (31, 80, 12, 55, 80)]


def scorer(layout: Layout, *, norm: str = "rms", tied: bool = False, batch_tokens: int = 300) -> Scorer:
    torch.manual_seed(5)
    tokenizer = DnaTokenizer.train([dna(3000, 1)], vocab=40)
    tokenizer.add(layout.vocabulary(ANSWERS), "task")
    shape = ModelShape(2, 32, 2, 64, norm=norm, tied=tied)  # type: ignore[arg-type]
    decoder = build_decoder(shape, tokenizer.vocabulary_size, context=128)
    for parameter in decoder.parameters():
        # Larger weights than a fresh model's: answers that hang on the sequence.
        torch.nn.init.normal_(parameter, std=0.3)
    return Scorer(decoder, tokenizer, ANSWERS, layout=layout, batch_tokens=batch_tokens)


def plain_log_probabilities(asked: Scorer, ids: list[int]) -> torch.Tensor:
    """The whole model on one row, no cache, no padding: (T, V) float64 logits."""
    with torch.no_grad():
        return asked.decoder(torch.tensor([ids])).logits[0].double()


def plain_probability(asked: Scorer, sequence: str, task: str, tokens: list[str]) -> float:
    """Product over the tokens of an answer, each among the allowed ones, by one full pass a token."""
    tokenizer, layout, grammar = asked.tokenizer, asked.layout, asked.answers[task].grammar()
    ids = layout.prompt(tokenizer.encode_many([sequence])[0], task, tokenizer)
    state, total = grammar.start, 0.0
    for token in [*tokens, EOS]:
        allowed = grammar.allowed(state)
        names = [layout.end if name == EOS else name for name in allowed]
        logits = plain_log_probabilities(asked, ids)[-1][[tokenizer.token_id(name) for name in names]]
        total += float(torch.log_softmax(logits, 0)[allowed.index(token)])
        if token != EOS:
            ids, state = [*ids, tokenizer.token_id(token)], grammar.advance(state, token)
    return math.exp(total)


@pytest.mark.parametrize(
    ("name", "norm", "tied"), [("polyhead", "rms", False), ("polyhead", "layer", True), ("released", "rms", False)]
)
def test_scores_equal_plain_full_passes(name, norm, tied):
    asked = scorer(Layout(name), norm=norm, tied=tied)
    scores = asked.score(SEQUENCES)
    assert [list(line) for line in scores] == [CLASSES] * len(SEQUENCES)
    for sequence, line in zip(SEQUENCES, scores, strict=True):
        for task in CLASSES:
            answer = ANSWERS[task]
            assert isinstance(answer, ClassAnswer)
            plain = [plain_probability(asked, sequence, task, answer.encode(label)) for label in answer.labels]
            np.testing.assert_allclose(line[task], plain, atol=1e-5)
            assert line[task].sum() == pytest.approx(1, abs=1e-9)
    assert np.ptp([line["H3"][0] for line in scores]) > 0.05


def test_tasks_asked_alone_and_sequences_asked_alone_give_the_same():
    asked = scorer(Layout())
    together = asked.score(SEQUENCES)
    for task in CLASSES:
        for line, alone in zip(together, asked.score(SEQUENCES, [task]), strict=True):
            assert list(alone) == [task]
            np.testing.assert_allclose(alone[task], line[task], atol=1e-5)
    for sequence, line in zip(SEQUENCES, together, strict=True):
        np.testing.assert_allclose(asked.score([sequence], ["splice"])[0]["splice"], line["splice"], atol=1e-5)
    assert asked.score([]) == []


def test_reverse_complement_averaging_is_symmetric_and_the_mean_of_both_strands():
    asked = scorer(Layout())
    strands = [reverse_complement(sequence) for sequence in SEQUENCES]
    one, two = asked.score(SEQUENCES), asked.score(strands)
    mean, back = asked.score(SEQUENCES, reverse_complement=True), asked.score(strands, reverse_complement=True)
    for place in range(len(SEQUENCES)):
        for task in CLASSES:
            np.testing.assert_allclose(mean[place][task], (one[place][task] + two[place][task]) / 2, atol=1e-5)
            np.testing.assert_allclose(mean[place][task], back[place][task], atol=1e-5)


@pytest.mark.parametrize("name", ["polyhead", "released"])
@pytest.mark.parametrize("task", ["expression", "function", "needle", "spelled"])
def test_generated_answers_are_valid_and_each_token_is_the_best_allowed_one(name, task):
    asked = scorer(Layout(name))
    answer, tokenizer = ANSWERS[task], asked.tokenizer
    grammar = answer.grammar()
    for sequence, generated in zip(SEQUENCES, asked.generate(SEQUENCES, task), strict=True):
        assert grammar.accepts([*generated.tokens, EOS])
        assert np.array_equal(answer.decode(generated.tokens), generated.value)
        ids = asked.layout.prompt(tokenizer.encode_many([sequence])[0], task, tokenizer)
        state = grammar.start
        for token in [*generated.tokens, EOS]:
            allowed = grammar.allowed(state)
            named = [tokenizer.token_id(asked.layout.end if other == EOS else other) for other in allowed]
            assert allowed[int(plain_log_probabilities(asked, ids)[-1][named].argmax())] == token
            if token != EOS:
                ids, state = [*ids, tokenizer.token_id(token)], grammar.advance(state, token)
        plain = plain_probability(asked, sequence, task, list(generated.tokens))
        assert generated.probability == pytest.approx(plain, rel=1e-4)


def test_generation_ends_texts_of_different_lengths_each_at_its_own_place():
    asked = scorer(Layout())
    lengths = {len(line.tokens) for line in asked.generate([dna(30, seed) for seed in range(12)], "function")}
    assert len(lengths) > 1
    assert max(lengths) <= ANSWERS["function"].grammar().longest - 1


def test_log_likelihood_equals_the_plain_pass_per_token_and_per_base():
    asked = scorer(Layout())
    for sequence, told in zip(SEQUENCES, asked.log_likelihood(SEQUENCES), strict=True):
        ids = asked.tokenizer.encode_many([sequence])[0]
        plain = torch.log_softmax(plain_log_probabilities(asked, [1, *ids]), -1)
        expected = plain[:-1].gather(1, torch.tensor(ids)[:, None])[:, 0].numpy()
        np.testing.assert_allclose(told.tokens, expected, atol=1e-5)
        assert told.lengths.sum() == len(told.bases) == len(sequence)
        assert told.bases.sum() == pytest.approx(told.total, abs=1e-9)
        assert told.bits_per_base == pytest.approx(-expected.sum() / len(sequence) / math.log(2), abs=1e-6)


def test_letters_without_a_token_are_in_no_sum():
    asked = scorer(Layout())
    (told,) = asked.log_likelihood(["ACGTNNNNACGGT"])
    assert np.isnan(told.bases[4:8]).all() and np.isfinite(told.bases[[0, 3, 8, 12]]).all()
    assert told.total == pytest.approx(np.nansum(told.bases))
    empty = LogLikelihood(np.array([-1.0]), np.array([1]), np.array([False]))
    assert empty.total == 0 and math.isnan(empty.bits_per_base)


@pytest.mark.parametrize("reads", ["last", "mean"])
def test_a_linear_head_is_asked_beside_the_tasks_that_answer_by_tokens(reads):
    asked = scorer(Layout())
    tasks = TaskSet([TaskSpec("splice", "classification", reads, 3), TaskSpec("H3", "classification", "answers", 2)])
    backbone = DnaBackbone(asked.decoder)
    heads = {"splice": torch.nn.Linear(32, 3, bias=False), "H3": torch.nn.Identity()}
    model = MultiHeadModel(backbone, heads, tasks)
    answers = {task: ANSWERS[task] for task in ("splice", "H3")}
    both = Scorer(model, asked.tokenizer, answers, batch_tokens=300)
    with pytest.raises(ValueError, match="linear head, which writes nothing: score it"):
        both.generate(SEQUENCES, "splice")
    scores = both.score(SEQUENCES)
    for sequence, line, other in zip(SEQUENCES, scores, asked.score(SEQUENCES, ["H3"]), strict=True):
        assert list(line) == ["splice", "H3"]
        np.testing.assert_allclose(line["H3"], other["H3"], atol=1e-5)
        ids = [1, *asked.tokenizer.encode_many([sequence])[0]]
        with torch.no_grad():
            hidden = asked.decoder.model(torch.tensor([ids])).last_hidden_state[0]
            feature = hidden[-1] if reads == "last" else hidden[1:].mean(0)
            plain = torch.softmax(heads["splice"](feature), -1)
        np.testing.assert_allclose(line["splice"], plain.numpy(), atol=1e-5)


def test_a_training_model_is_asked_in_evaluation_mode_and_left_in_training():
    asked = scorer(Layout())
    asked.decoder.train()
    asked.score(SEQUENCES[:1])
    assert asked.decoder.training


def test_a_token_tree_sees_ancestors_only_and_shares_beginnings():
    tree = TokenTree()
    assert [tree.add(path) for path in ([7], [8], [7, 5], [7, 5, 6], [8, 5], [])] == [0, 1, 2, 3, 4, -1]
    assert tree.tokens == [7, 8, 5, 6, 5]
    assert tree.height == 3
    assert tree.sight().int().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],
    ]


def test_prefixes_branch_and_go_on_as_full_passes_do():
    asked = scorer(Layout())
    rows = [[1, 5, 6, 7, 4], [1, 8, 4], [1, 5, 5, 5, 5, 5, 4]]
    with torch.no_grad():
        prefixes = Prefixes(asked.decoder, rows)
        tree = TokenTree()
        paths = [[9], [10, 11], [10, 12]]
        places = [tree.add(path) for path in paths]
        for _ in range(2):  # branching leaves the prefixes as they were
            hidden = prefixes.branch(tree)
            for (row, ids), (place, path) in itertools.product(enumerate(rows), zip(places, paths, strict=True)):
                plain = asked.decoder.model(torch.tensor([ids + path])).last_hidden_state[0, -1]
                torch.testing.assert_close(hidden[row, place], plain, atol=1e-5, rtol=0)
        prefixes.extend(torch.tensor([9, 10, 11]))
        prefixes.keep([2, 0])
        prefixes.extend(torch.tensor([5, 6]))
        for last, ids in zip(prefixes.last, [[*rows[2], 11, 5], [*rows[0], 9, 6]], strict=True):
            plain = asked.decoder.model(torch.tensor([ids])).last_hidden_state[0, -1]
            torch.testing.assert_close(last, plain, atol=1e-5, rtol=0)
        assert prefixes.lengths.tolist() == [9, 7]


def test_continuations_of_one_prefix_are_full_passes_with_their_trees():
    asked = scorer(Layout())
    rows = [[1, 5, 6, 7, 8, 9], [1, 8, 4, 7]]
    tree = TokenTree()
    places = [tree.add(path) for path in ([9], [9, 10], [9, 11], [12])]
    paths = [[9], [9, 10], [9, 11], [12]]
    lines = [
        Continuation(0, 4, [5, 5, 5]),
        Continuation(0, 1, [6]),
        Continuation(1, 4, []),
        Continuation(1, 2, [4] * 6),
    ]
    with torch.no_grad():

        def plain(ids: list[int]) -> torch.Tensor:
            return asked.decoder.model(torch.tensor([ids])).last_hidden_state[0, -1]

        prefixes = Prefixes(asked.decoder, rows, tree=tree)
        for (row, ids), (place, path) in itertools.product(enumerate(rows), zip(places, paths, strict=True)):
            torch.testing.assert_close(prefixes.branches[row, place], plain(ids + path), atol=1e-5, rtol=0)
        for _ in range(2):  # the prefixes stay as they were
            hidden, branches = prefixes.follow(lines, tree)
            for number, line in enumerate(lines):
                ids = [*rows[line.source][: line.start], *line.tokens]
                if line.tokens:
                    torch.testing.assert_close(hidden[number, len(line.tokens) - 1], plain(ids), atol=1e-5, rtol=0)
                for place, path in zip(places, paths, strict=True):
                    torch.testing.assert_close(branches[number, place], plain(ids + path), atol=1e-5, rtol=0)
        bare, none = prefixes.follow(lines[2:3])
        assert bare.shape[:2] == (1, 1) and none.shape[1] == 0
        prefixes.extend(torch.tensor([6, 6]))
        torch.testing.assert_close(prefixes.last[1], plain([*rows[1], 6]), atol=1e-5, rtol=0)
        unkept = Prefixes(asked.decoder, rows, tree=tree, keep=False)
        torch.testing.assert_close(unkept.branches, Prefixes(asked.decoder, rows, tree=tree).branches)


def test_buckets_hold_all_rows_once_within_the_budget():
    lengths = np.random.default_rng(0).integers(1, 60, 100).tolist()
    batches = buckets(lengths, 120)
    assert sorted(itertools.chain(*batches)) == list(range(100))
    assert all(len(batch) * max(lengths[index] for index in batch) <= 120 for batch in batches)
    assert buckets([500, 3], 120) == [[0], [1]]
    assert buckets([], 120) == []


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda asked: asked.score(["ACGT"], ["H4"]), "unknown task 'H4'; this model has: H3, splice"),
        (lambda asked: asked.score(["ACGT"], ["needle"]), "'needle' answers with image, which has no probabilities"),
        (lambda asked: asked.score(["ACGT", ""]), "sequence 2 is empty"),
        (lambda asked: asked.score(["ACGT" * 200]), "sequence 1 takes .* tokens .* the model takes 128"),
        (lambda asked: asked.generate(["ACGT" * 200], "H3"), "cut it into windows"),
        (lambda asked: asked.log_likelihood([""]), "sequence 1 is empty"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(action, message):
    with pytest.raises(ValueError, match=message):
        action(scorer(Layout()))
