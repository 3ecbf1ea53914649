"""What is asked when alleles are compared with their reference, what is answered, and by which tokens tasks answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from domains.genomics.answers.answer import Answer
    from domains.genomics.answers.format import Layout


@dataclass(frozen=True)
class AlleleGroup:
    """One window as it stands in the reference, and as it reads with each alternative.

    Attributes:
        reference: upper case, ACGT and N.
        alternatives: whole windows, compared with `reference` one by one.
        cut: a token boundary is set before this base of every window (what lies before is tokenised by itself);
            0 leaves the tokens as they come.
    """

    reference: str
    alternatives: tuple[str, ...]
    cut: int = 0


@dataclass(frozen=True)
class AlleleComparison:
    """What the model says of one `AlleleGroup` of k alternatives.

    Attributes:
        log_ratios: (k,) float64, log P(alternative) - log P(reference) in nats; the tokens of ambiguous bases are left
            out of both sums.
        reference: task to (labels,) float64 probabilities.
        alternatives: the same for each alternative.
    """

    log_ratios: np.ndarray
    reference: Mapping[str, np.ndarray]
    alternatives: tuple[Mapping[str, np.ndarray], ...]


class Comparer(Protocol):
    """What variants and mutagenesis ask: `shared_prefix.SharedPrefix`, or `comparers.PlainComparer`."""

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """The labels of each classification task, in the order of the probabilities."""
        ...

    def compare(self, groups: Sequence[AlleleGroup], tasks: Sequence[str] = ()) -> list[AlleleComparison]:
        """One comparison a group, in their order."""
        ...


class Tokens(Protocol):
    """The part of the tokenizer that is needed here."""

    def encode_many(self, sequences: list[str], /) -> list[list[int]]: ...

    def token_id(self, token: str, /) -> int: ...


@dataclass(frozen=True)
class TaskTokens:
    """A classification task in the vocabulary: ``[MASK] <task>`` is followed by one of the label tokens.

    Attributes:
        task: id of the task's token; None where the layout has none and [MASK] itself asks.
        label_ids: one token a label.
        labels: what the labels are called, in the same order.
    """

    task: int | None
    label_ids: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LinearTask:
    """A classification task of a linear head on DNA tokens.

    Attributes:
        reads: "last" or "mean", of the hidden states after the last norm.
        head: (d,) to (labels,) logits.
        labels: what the labels are called.
    """

    reads: str
    head: nn.Module
    labels: tuple[str, ...]


def task_tokens(tokenizer: Tokens, answers: Mapping[str, Answer], layout: Layout) -> dict[str, TaskTokens]:
    """The tasks among `answers` whose answer is one label of one token."""
    from domains.genomics.answers.classes import ClassAnswer

    found = {}
    for name, answer in answers.items():
        if not isinstance(answer, ClassAnswer):
            continue
        spelled = [answer.encode(label) for label in answer.labels]
        if all(len(tokens) == 1 for tokens in spelled):
            question = layout.question(name, tokenizer)
            ids = tuple(tokenizer.token_id(tokens[0]) for tokens in spelled)
            found[name] = TaskTokens(question[0] if question else None, ids, answer.labels)
    return found
