"""Text: a byte-pair vocabulary learned from the training answers, so that common words are one token each."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from domains.genomics.answers.answer import EOS, Answer, Grammar, InvalidAnswer, State, inner, without_end

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORD = r" ?[^ ]+| +"
"""A word with the space before it: tokens join to the text without rules about spaces."""

_PRINTABLE = tuple(sorted(set(string.printable) - set("\t\n\r\x0b\x0c")))


class TextGrammar(Grammar):
    """At least one token of the vocabulary, at most `most`, then `EOS`. A state is the number of tokens so far."""

    def __init__(self, tokens: Sequence[str], most: int):
        self._first = tuple(tokens)
        self._later = (*self._first, EOS)
        self.most = most
        self.start = 0
        self.shortest = 2
        self.longest = most + 1

    def allowed(self, state: State) -> tuple[str, ...]:
        assert isinstance(state, int)
        if state == 0:
            return self._first
        return self._later if state < self.most else (EOS,)

    def advance(self, state: State, token: str) -> State:
        assert isinstance(state, int)
        return state + 1


@dataclass(frozen=True)
class TextAnswer(Answer):
    """A sentence in tokens ``<text:...>``.

    Attributes:
        bpe: the learned byte-pair model as the JSON of a `tokenizers.Tokenizer`; its pieces are characters, printable
            ASCII and those of the training answers.
        most: tokens of the longest answer that may be given, without `EOS`.
    """

    kind: ClassVar[str] = "text"

    bpe: str
    most: int

    @classmethod
    def learn(
        cls, answers: Iterable[str], *, vocabulary: int = 2048, minimum: int = 2, room: float = 1.5
    ) -> TextAnswer:
        """Learns the vocabulary of a task's training answers; equal answers give an equal vocabulary.

        Args:
            answers: the training answers; none may be empty.
            vocabulary: pieces at most, single characters included.
            minimum: how often a pair of pieces must stand side by side to become one.
            room: `most` is the longest training answer times this.
        """
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import Split
        from tokenizers.trainers import BpeTrainer

        texts = list(answers)
        if not texts or not all(texts):
            raise ValueError("text answers must be at least one, and none may be empty")
        tokenizer = Tokenizer(BPE())
        tokenizer.pre_tokenizer = Split(Regex(_WORD), "isolated")
        letters = sorted(set(_PRINTABLE).union(*map(set, Counter(texts))))
        trainer = BpeTrainer(
            vocab_size=max(vocabulary, len(letters)),
            min_frequency=minimum,
            initial_alphabet=letters,
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        longest = max(len(encoding.ids) for encoding in tokenizer.encode_batch(sorted(set(texts))))
        return cls(json.dumps(json.loads(tokenizer.to_str())), max(1, round(longest * room)))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.bpe)

    @property
    def tokens(self) -> tuple[str, ...]:
        return self._tokens

    @cached_property
    def _tokens(self) -> tuple[str, ...]:
        vocabulary = self._tokenizer.get_vocab()
        return tuple(f"<text:{piece}>" for piece in sorted(vocabulary, key=lambda piece: vocabulary[piece]))

    def encode(self, label: str) -> list[str]:
        if not label:
            raise InvalidAnswer("an empty text is no answer")
        pieces = self._tokenizer.encode(label).tokens
        if "".join(pieces) != label:
            unknown = sorted(set(label) - set("".join(pieces)))
            raise InvalidAnswer(f"the letters {unknown} of {label!r} stand in no training answer")
        return [f"<text:{piece}>" for piece in pieces]

    def decode(self, tokens: Sequence[str]) -> str:
        return "".join(inner(token, "text") for token in without_end(tokens))

    def grammar(self) -> TextGrammar:
        return self._grammar

    @cached_property
    def _grammar(self) -> TextGrammar:
        return TextGrammar(self.tokens, self.most)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "bpe": json.loads(self.bpe), "most": self.most}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TextAnswer:
        return cls(json.dumps(data["bpe"]), data["most"])
