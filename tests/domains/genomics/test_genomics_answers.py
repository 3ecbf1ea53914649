"""Answers: there and back, grammars that accept what is encoded and nothing else, and refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from domains.genomics.answers import (
    EOS,
    Answer,
    ClassAnswer,
    ImageAnswer,
    NumberAnswer,
    TextAnswer,
    answer_from_json,
    answer_tokens,
    load_answers,
    save_answers,
)
from domains.genomics.answers.answer import InvalidAnswer, Slots, Trie

SENTENCES = ["olfactory receptor, detects smells", "zinc finger protein, binds DNA", "olfactory receptor, binds DNA"]
SPELLED = ClassAnswer(
    ("0", "1", "10"), spelling={"0": ("<digit:0>",), "1": ("<digit:1>",), "10": ("<digit:1>", "<digit:0>")}
)

CASES: list[tuple[Answer, str]] = [
    (ClassAnswer(("no", "yes")), "yes"),
    (SPELLED, "10"),
    (SPELLED, "1"),
    (NumberAnswer(2, 3, signed=True), "-3.250"),
    (NumberAnswer(3, 0), "42"),
    (TextAnswer.learn(SENTENCES), SENTENCES[1]),
    (ImageAnswer(16, (2, 3)), "0 15 7 7 1 2"),
]


@pytest.mark.parametrize(("answer", "label"), CASES)
def test_an_answer_comes_back_from_its_tokens_and_its_grammar_accepts_it(answer: Answer, label: str):
    tokens = answer.encode(label)
    value = answer.decode([*tokens, EOS])
    if isinstance(answer, NumberAnswer):
        assert value == float(label)
    elif isinstance(answer, ImageAnswer):
        assert answer.label(value) == label
    else:
        assert value == label
    grammar = answer.grammar()
    assert set(tokens) <= set(answer.tokens)
    assert grammar.accepts([*tokens, EOS])
    assert not grammar.accepts(tokens)
    assert not grammar.accepts([EOS])
    assert not grammar.accepts([*tokens, EOS, EOS])
    assert not grammar.accepts(["A", *tokens[1:], EOS])
    assert grammar.shortest <= len(tokens) + 1 <= grammar.longest


@pytest.mark.parametrize(("answer", "label"), CASES)
def test_every_random_walk_of_a_grammar_is_a_valid_answer(answer: Answer, label: str):
    random = np.random.default_rng(3)
    grammar = answer.grammar()
    for _ in range(20):
        state, tokens = grammar.start, []
        while not tokens or tokens[-1] != EOS:
            allowed = grammar.allowed(state)
            assert len(set(allowed)) == len(allowed) > 0
            tokens.append(allowed[int(random.integers(len(allowed)))])
            if tokens[-1] != EOS:
                state = grammar.advance(state, tokens[-1])
        assert len(tokens) <= grammar.longest
        answer.decode(tokens)


@pytest.mark.parametrize(("answer", "label"), CASES)
def test_an_answer_survives_json(answer: Answer, label: str):
    again = answer_from_json(json.loads(json.dumps(answer.to_json())))
    assert again == answer
    assert again.tokens == answer.tokens
    assert again.encode(label) == answer.encode(label)


def test_answers_are_saved_and_loaded_in_order(tmp_path: Path):
    answers = {f"task {index}": answer for index, (answer, _) in enumerate(CASES)}
    save_answers(tmp_path, answers)
    again = load_answers(tmp_path)
    assert list(again) == list(answers)
    assert answer_tokens(again.values()) == answer_tokens(answers.values())
    assert answer_tokens(again.values())[0] == EOS


def test_a_folder_without_answers_and_a_broken_file_are_said(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no answers\.json"):
        load_answers(tmp_path)
    (tmp_path / "answers.json").write_text("{")
    with pytest.raises(ValueError, match="not the answers of a genomics run"):
        load_answers(tmp_path)
    (tmp_path / "answers.json").write_text('{"t": {"kind": "klass"}}')
    with pytest.raises(ValueError, match="unknown answer kind"):
        load_answers(tmp_path)


def test_labels_are_sorted_as_numbers_then_as_words():
    assert ClassAnswer.of(["10", "b", "2", "a", "2"]).labels == ("2", "10", "a", "b")


def test_labels_are_shared_between_tasks_unless_they_are_own():
    assert ClassAnswer(("0", "1")).tokens == ("<label:0>", "<label:1>")
    assert ClassAnswer(("0", "1"), own="H3").tokens == ("<label:H3=0>", "<label:H3=1>")


def test_a_trie_offers_the_end_where_one_spelling_begins_another():
    grammar = SPELLED.grammar()
    assert grammar.allowed(()) == ("<digit:0>", "<digit:1>")
    assert grammar.allowed(("<digit:1>",)) == (EOS, "<digit:0>")
    assert grammar.allowed(("<digit:0>",)) == (EOS,)


@pytest.mark.parametrize(
    ("label", "written", "value"),
    [("0", "+00.00", 0.0), ("-0.001", "+00.00", 0.0), ("7.006", "+07.01", 7010.0), ("-12.5", "-12.50", -12500.0)],
)
def test_numbers_have_fixed_places_and_round_to_the_nearest(label: str, written: str, value: float):
    answer = NumberAnswer(2, 2, signed=True, scale=1000.0)
    tokens = answer.encode(str(float(label) * 1000))
    assert tokens == [f"<digit:{letter}>" for letter in written]
    assert answer.decode(tokens) == pytest.approx(value)


def test_a_minus_before_zeros_is_zero():
    answer = NumberAnswer(1, 1, signed=True)
    assert str(answer.decode([f"<digit:{letter}>" for letter in "-0.0"])) == "0.0"


@pytest.mark.parametrize(
    ("labels", "whole", "scale", "signed"),
    [
        (["0.00123", "0.0005"], 1, 1e-3, False),
        (["-5210", "12"], 1, 1e3, True),
        (["9.999"], 2, 1.0, False),
        (["0"], 1, 1.0, False),
    ],
)
def test_places_are_derived_from_the_labels_and_hold_them_all(labels, whole, scale, signed):
    answer = NumberAnswer.of(labels, digits=3)
    assert (answer.whole, answer.decimals, answer.scale, answer.signed) == (whole, 2, scale, signed)
    for label in labels:
        assert answer.decode(answer.encode(label)) == pytest.approx(float(label), abs=scale * 0.005 * 1.0001)


def test_text_tokens_are_learned_from_the_answers_and_any_printable_text_has_tokens():
    answer = TextAnswer.learn(SENTENCES * 3)
    assert len(answer.encode(SENTENCES[0])) <= 5
    assert answer.decode(answer.encode("Quite  another; sentence!")) == "Quite  another; sentence!"
    assert TextAnswer.learn(SENTENCES * 3) == answer
    assert answer.most == round(1.5 * max(len(answer.encode(sentence)) for sentence in SENTENCES))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: ClassAnswer(("no", "yes")).encode("maybe"), "unknown label 'maybe'; this task has: no, yes"),
        (lambda: ClassAnswer(("no", "yes")).decode(["<label:maybe>"]), "is no label"),
        (lambda: NumberAnswer(1, 1).encode("-3"), "no sign"),
        (lambda: NumberAnswer(1, 1).encode("12"), "beyond the largest number of this task, 9.9"),
        (lambda: NumberAnswer(1, 1).encode("nan"), "no finite number"),
        (lambda: NumberAnswer(1, 1).encode("x"), "'x' is no number"),
        (lambda: NumberAnswer(1, 1).decode(["<digit:1>"]), "is no number with 1 and 1 digits"),
        (lambda: TextAnswer.learn(SENTENCES).encode("ß receptor"), "letters .'ß'."),
        (lambda: TextAnswer.learn(SENTENCES).encode(""), "empty text"),
        (lambda: TextAnswer.learn(SENTENCES).decode(["<label:a>"]), "no text token"),
        (lambda: ImageAnswer(6, (2, 2)).encode("1 2 3"), "3 codes, where the grid 2 x 2 has 4"),
        (lambda: ImageAnswer(6, (2, 2)).encode("1 2 3 6"), "'6' is no code from 0 to 5"),
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(action, message: str):
    with pytest.raises(InvalidAnswer, match=message):
        action()


@pytest.mark.parametrize(
    "action",
    [
        lambda: ClassAnswer(("only",)),
        lambda: ClassAnswer(("a", "a")),
        lambda: ClassAnswer(("a", "b"), spelling={"a": ("x",)}),
        lambda: ClassAnswer(("a", "b"), spelling={"a": ("x",), "b": ("x",)}),
        lambda: NumberAnswer(0, 1),
        lambda: NumberAnswer(1, 1, scale=0.0),
        lambda: NumberAnswer.of([]),
        lambda: TextAnswer.learn([]),
        lambda: TextAnswer.learn(["a", ""]),
        lambda: ImageAnswer(1, (2, 2)),
        lambda: Slots([]),
        lambda: Slots([["a"], []]),
        lambda: Trie([[]]),
    ],
)
def test_answers_that_cannot_be_are_refused(action):
    with pytest.raises(ValueError):
        action()
