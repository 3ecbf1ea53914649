"""Constrained decoding: a task's grammar in token ids, and the greedy walk through it. An answer is always valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from domains.genomics.answers.answer import EOS, Grammar, State

if TYPE_CHECKING:
    from torch import Tensor


class Vocabulary(Protocol):
    """What is needed of a tokenizer here."""

    def token_id(self, token: str, /) -> int: ...


@dataclass(frozen=True)
class Generated:
    """An answer as the model wrote it.

    Attributes:
        value: what `Answer.decode` makes of it: a label, a number, a text, or codes (rows, columns).
        tokens: its tokens, without the end.
        probability: product of the probabilities of its tokens, each among those that the grammar allowed.
    """

    value: Any
    tokens: tuple[str, ...]
    probability: float


class Constraint:
    """A grammar over the ids of a vocabulary.

    Args:
        grammar: the valid answers.
        vocabulary: gives the ids; an answer token that it lacks is its `ValueError`.
        end: the token that stands for the grammar's `EOS` in the layout of the rows.
    """

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary, *, end: str = EOS):
        self.grammar = grammar
        self._vocabulary = vocabulary
        self._end = end
        # By the tokens, not by the state: the states of a long text all allow the same tokens.
        self._ids: dict[tuple[str, ...], Tensor] = {}

    def allowed(self, state: State) -> tuple[tuple[str, ...], Tensor]:
        """The tokens that may follow and their ids, (k,) int64."""
        import torch

        tokens = self.grammar.allowed(state)
        ids = self._ids.get(tokens)
        if ids is None:
            numbers = [self._vocabulary.token_id(self._end if token == EOS else token) for token in tokens]
            ids = self._ids[tokens] = torch.tensor(numbers, dtype=torch.int64)
        return tokens, ids


@dataclass
class Walk:
    """An answer that is being given.

    Attributes:
        state: of the grammar.
        tokens: the tokens so far, without `EOS`.
        ids: their ids.
        log_probability: sum of their log-probabilities, and that of `EOS` at the end, each among the allowed tokens.
        ended: whether `EOS` was reached.
    """

    state: State
    tokens: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    log_probability: float = 0.0
    ended: bool = False


def step(
    walks: Sequence[Walk], hidden: Tensor, constraint: Constraint, logits: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Moves every walk by its likeliest allowed token, in place; then also by `EOS` where nothing else may follow.

    Args:
        walks: n walks that have not ended.
        hidden: (n, d), the hidden state from which each next token is told.
        constraint: the grammar of all of them.
        logits: hidden (m, d) and ids (k,) to (m, k): the language head for these tokens only.
    """
    import torch

    groups: dict[tuple[str, ...], list[int]] = {}
    for row, walk in enumerate(walks):
        groups.setdefault(constraint.grammar.allowed(walk.state), []).append(row)
    for tokens, rows in groups.items():
        ids = constraint.allowed(walks[rows[0]].state)[1]
        if len(tokens) == 1:
            best, scores = [0] * len(rows), [0.0] * len(rows)
        else:
            told = torch.log_softmax(logits(hidden[rows], ids.to(hidden.device)).double(), -1)
            top = told.max(-1)
            best, scores = top.indices.tolist(), top.values.tolist()
        for row, index, score in zip(rows, best, scores, strict=True):
            walk = walks[row]
            walk.log_probability += score
            _move(walk, tokens[index], int(ids[index]), constraint.grammar)


def _move(walk: Walk, token: str, number: int, grammar: Grammar) -> None:
    if token == EOS:
        walk.ended = True
        return
    walk.tokens.append(token)
    walk.ids.append(number)
    walk.state = grammar.advance(walk.state, token)
    walk.ended = grammar.allowed(walk.state) == (EOS,)
