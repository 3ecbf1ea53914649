"""Classes: one token a label, or a spelling of several tokens where labels share parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from domains.genomics.answers.answer import Answer, InvalidAnswer, Trie, without_end


@dataclass(frozen=True)
class ClassAnswer(Answer):
    """One of a few labels.

    A label is the token ``<label:L>``, which tasks with an equal label share, as the published digits do; the task
    token before it says what is asked. With `own` it is ``<label:own=L>`` and belongs to this task alone.

    Attributes:
        labels: at least two, in the order in which probabilities are given.
        own: prefix of tokens that no other task shares; empty for shared ones.
        spelling: token names of each label where one token a label is not wanted.
    """

    kind: ClassVar[str] = "classes"
    repeats: ClassVar[bool] = True

    labels: tuple[str, ...]
    own: str = ""
    spelling: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"a class answer needs at least two labels, each once; got {list(self.labels)}")
        if self.spelling and set(self.spelling) != set(self.labels):
            raise ValueError(f"spelled are {sorted(self.spelling)}, the labels are {sorted(self.labels)}")
        self.grammar()

    @classmethod
    def of(cls, labels: Iterable[str], *, own: str = "") -> ClassAnswer:
        """The labels of a table: numbers in their order, then the others in the alphabet's."""
        return cls(tuple(sorted(set(labels), key=_label_order)), own=own)

    def spelled(self, label: str) -> tuple[str, ...]:
        """The tokens of a label of `labels`."""
        if self.spelling:
            return tuple(self.spelling[label])
        return (f"<label:{self.own}={label}>" if self.own else f"<label:{label}>",)

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(token for label in self.labels for token in self.spelled(label)))

    def encode(self, label: str) -> list[str]:
        if label not in self.labels:
            raise InvalidAnswer(f"unknown label {label!r}; this task has: {', '.join(self.labels)}")
        return list(self.spelled(label))

    def decode(self, tokens: Sequence[str]) -> str:
        label = self._labels_by_spelling.get(tuple(without_end(tokens)))
        if label is None:
            raise InvalidAnswer(f"{list(tokens)} is no label; this task has: {', '.join(self.labels)}")
        return label

    @cached_property
    def _labels_by_spelling(self) -> dict[tuple[str, ...], str]:
        return {self.spelled(label): label for label in self.labels}

    @cached_property
    def _grammar(self) -> Trie:
        return Trie([self.spelled(label) for label in self.labels])

    def grammar(self) -> Trie:
        return self._grammar

    def to_json(self) -> dict[str, Any]:
        spelling = {label: list(tokens) for label, tokens in self.spelling.items()}
        return {"kind": self.kind, "labels": list(self.labels), "own": self.own, "spelling": spelling}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClassAnswer:
        spelling = {label: tuple(tokens) for label, tokens in data.get("spelling", {}).items()}
        return cls(tuple(data["labels"]), own=data.get("own", ""), spelling=spelling)


def _label_order(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
