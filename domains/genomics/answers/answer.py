"""What an answer is: tokens of its own, a way there and back, and a grammar that says which token may follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

EOS = "[EOS]"
"""Token that ends every answer; it is learned, unlike the padding token that the published layout waits for."""

State = Hashable


class InvalidAnswer(ValueError):
    """A label that a task cannot answer, or tokens that are no answer of it."""


class Grammar(ABC):
    """The valid answers of a task as a deterministic automaton over token names.

    An answer is a walk from `start` that ends with `EOS`: ``state = advance(state, token)`` for a token of
    ``allowed(state)``. Every state but the one after `EOS` allows at least one token, and every walk is finite.

    Attributes:
        start: the state before the first token.
        longest: tokens of the longest answer, `EOS` included.
        shortest: tokens of the shortest one, `EOS` included.
    """

    start: State
    longest: int
    shortest: int

    @abstractmethod
    def allowed(self, state: State) -> tuple[str, ...]:
        """The tokens that may follow."""

    @abstractmethod
    def advance(self, state: State, token: str) -> State:
        """The state after `token`, which `allowed` must hold."""

    def accepts(self, tokens: Iterable[str]) -> bool:
        """Whether `tokens`, with its `EOS`, is a whole valid answer."""
        state, ended = self.start, False
        for token in tokens:
            if ended or token not in self.allowed(state):
                return False
            ended = token == EOS
            state = None if ended else self.advance(state, token)
        return ended


class Slots(Grammar):
    """Answers of one length: slot i takes one of ``slots[i]``, then `EOS`. A state is the number of filled slots."""

    def __init__(self, slots: Sequence[Sequence[str]]):
        self.slots = tuple(tuple(slot) for slot in slots)
        if not self.slots or not all(self.slots):
            raise ValueError("a grammar needs at least one slot, and each slot at least one token")
        self.start = 0
        self.longest = self.shortest = len(self.slots) + 1

    def allowed(self, state: State) -> tuple[str, ...]:
        assert isinstance(state, int)
        return self.slots[state] if state < len(self.slots) else (EOS,)

    def advance(self, state: State, token: str) -> State:
        assert isinstance(state, int)
        return state + 1


class Trie(Grammar):
    """A finite set of spellings. A state is the tuple of tokens so far.

    Args:
        spellings: one non-empty token sequence an answer, no two equal.
    """

    def __init__(self, spellings: Sequence[Sequence[str]]):
        self.spellings = tuple(tuple(spelling) for spelling in spellings)
        if not self.spellings or not all(self.spellings) or len(set(self.spellings)) != len(self.spellings):
            raise ValueError("spellings must be at least one, none empty, and no two equal")
        self.start = ()
        self.longest = max(map(len, self.spellings)) + 1
        self.shortest = min(map(len, self.spellings)) + 1
        children: dict[tuple[str, ...], dict[str, None]] = {}
        for spelling in self.spellings:
            for index, token in enumerate((*spelling, EOS)):
                children.setdefault(spelling[:index], {})[token] = None
        self._children = {state: tuple(tokens) for state, tokens in children.items()}

    def allowed(self, state: State) -> tuple[str, ...]:
        assert isinstance(state, tuple)
        return self._children[state]

    def advance(self, state: State, token: str) -> State:
        assert isinstance(state, tuple)
        return (*state, token)


@dataclass(frozen=True)
class Answer(ABC):
    """How one task answers.

    Attributes:
        kind: ``"classes"``, ``"number"``, ``"text"`` or ``"image"``.
        repeats: whether label replication applies, where all answers are of one length.
    """

    kind: ClassVar[str]
    repeats: ClassVar[bool] = False

    @property
    @abstractmethod
    def tokens(self) -> tuple[str, ...]:
        """Tokens that the vocabulary needs for this answer, each once, without `EOS`."""

    @abstractmethod
    def encode(self, label: str) -> list[str]:
        """The tokens of a label as a table holds it, without `EOS`; `InvalidAnswer` where the task has no such."""

    @abstractmethod
    def decode(self, tokens: Sequence[str]) -> Any:
        """The value of an answer's tokens, with or without `EOS`; `InvalidAnswer` where they are no answer."""

    @abstractmethod
    def grammar(self) -> Grammar:
        """The valid answers."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything needed to build it again, ``"kind"`` included."""


def without_end(tokens: Sequence[str]) -> list[str]:
    """The tokens before the first `EOS`."""
    tokens = list(tokens)
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens


def inner(token: str, kind: str) -> str:
    """What stands in a token like ``<label:yes>``; `InvalidAnswer` for a token of another kind."""
    head = f"<{kind}:"
    if not (token.startswith(head) and token.endswith(">")):
        raise InvalidAnswer(f"{token!r} is no {kind} token")
    return token[len(head) : -1]
