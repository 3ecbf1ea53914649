"""Layouts: the order of tokens, where the loss lies, and the traps of the released one."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Whitespace

from domains.genomics.answers import ClassAnswer, ImageAnswer, TextAnswer
from domains.genomics.answers.format import Layout

YES_NO = ClassAnswer(("0", "1"))
DNA = [5, 6, 7]


class Names:
    """Ids in the order of a list."""

    def __init__(self, tokens):
        self.tokens = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "A", "C", "G", "T", *tokens]

    def token_id(self, token: str) -> int:
        return self.tokens.index(token)

    def names(self, ids) -> list[str]:
        return [self.tokens[token] for token in ids]


ANSWERS = {"H3": YES_NO, "H4": YES_NO}


def test_a_row_of_the_layout_polyhead_has_loss_on_answer_and_end_only():
    layout = Layout("polyhead")
    names = Names(layout.vocabulary(ANSWERS))
    row = layout.example(DNA, "H4", YES_NO, "1", names)
    assert names.names(row.ids) == ["[CLS]", "A", "C", "G", "[MASK]", "<task:H4>", "<label:1>", "[EOS]"]
    assert names.names(row.targets) == ["<label:1>", "[EOS]"]
    assert row.asked == (5, 6)
    assert row.targets == tuple(row.ids[place + 1] for place in row.asked)
    assert names.names([row.ids[row.last]]) == ["G"]
    assert list(row.ids[:6]) == layout.prompt(DNA, "H4", names)


def test_label_replication_writes_classes_ten_times_and_text_and_images_once():
    layout = Layout("polyhead", repeat=10)
    text, image = TextAnswer.learn(["a b", "a c"]), ImageAnswer(6, (2, 2))
    answers = {"H3": YES_NO, "text": text, "image": image}
    names = Names(layout.vocabulary(answers))
    row = layout.example(DNA, "H3", YES_NO, "0", names)
    assert names.names(row.targets) == ["<label:0>"] * 10 + ["[EOS]"]
    assert names.names(layout.example(DNA, "text", text, "a b", names).targets)[-1] == "[EOS]"
    assert len(layout.example(DNA, "image", image, "1 2 3 4", names).targets) == 5
    for task, answer, label in (("H3", YES_NO, "1"), ("image", image, "1 2 3 4")):
        assert len(layout.example(DNA, task, answer, label, names).ids) == len(DNA) + layout.overhead(answer)


def test_the_vocabulary_names_every_token_once():
    layout = Layout("polyhead")
    assert layout.vocabulary(ANSWERS) == ("<task:H3>", "<task:H4>", "[EOS]", "<label:0>", "<label:1>")
    assert Layout("released").vocabulary(ANSWERS) == ("[EOS]", "<label:0>", "<label:1>")


def test_trap_1_the_released_prompts_of_two_tasks_are_equal():
    released, ours = Layout("released"), Layout("polyhead")
    names = Names(ours.vocabulary(ANSWERS))
    assert released.prompt(DNA, "H3", names) == released.prompt(DNA, "H4", names)
    assert ours.prompt(DNA, "H3", names) != ours.prompt(DNA, "H4", names)
    assert "no task token" in released.warnings(["H3", "H4"])[0]
    assert len(released.warnings(["H3"])) == 2
    assert ours.warnings(["H3", "H4"]) == []


def test_trap_2_the_released_rows_never_teach_the_published_end_token():
    released = Layout("released", repeat=2)
    names = Names(released.vocabulary(ANSWERS))
    row = released.example(DNA, "H3", YES_NO, "1", names)
    assert names.names(row.ids) == ["[CLS]", "A", "C", "G", "[MASK]", "<label:1>", "<label:1>", "[SEP]"]
    assert row.asked[0] == 4
    assert names.token_id("[PAD]") not in row.targets  # the published configuration's eos_token_id
    assert names.token_id("[EOS]") not in row.targets


def test_trap_3_digits_are_unknown_to_a_dna_vocabulary():
    letters = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "[MASK]": 4, "A": 5, "C": 6, "G": 7, "T": 8}
    tokenizer = Tokenizer(BPE(letters, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    assert tokenizer.encode("1111").ids == tokenizer.encode("0000").ids == [0, 0, 0, 0]
    names = Names(Layout("released").vocabulary(ANSWERS))
    assert names.token_id("<label:0>") != names.token_id("<label:1>")


def test_bad_layouts_and_empty_rows_are_refused():
    with pytest.raises(ValueError, match="unknown layout 'official'; known: polyhead, released"):
        Layout("official")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        Layout(repeat=0)
    with pytest.raises(ValueError, match="at least one DNA token"):
        Layout().example([], "H3", YES_NO, "1", Names(Layout().vocabulary(ANSWERS)))
