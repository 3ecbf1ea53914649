"""Labelled rows as the training loop takes them: tokenised once for both strands, written as rows, packed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.format import Example, Layout
from domains.genomics.data.labelled import LabelledData
from domains.genomics.models.network import answer_ids
from domains.genomics.models.packing import packed_batch
from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.tokenizer import DnaTokenizer
from domains.genomics.settings import GenomicsConfig
from polyhead.evaluation.report import Problem
from polyhead.tasks import TaskSet, TaskSpec

Inputs = dict[str, Tensor]
Targets = dict[str, Tensor]


class TokenCache:
    """The DNA tokens of sequences and of their reverse complements, each coded once for all tasks that use it."""

    def __init__(self, tokenizer: DnaTokenizer, sequences: Iterable[str], *, both_strands: bool):
        distinct = list(dict.fromkeys(sequences))
        self._forward = dict(zip(distinct, _arrays(tokenizer, distinct), strict=True))
        self._reverse: dict[str, np.ndarray] = {}
        if both_strands:
            others = _arrays(tokenizer, [reverse_complement(sequence) for sequence in distinct])
            self._reverse = dict(zip(distinct, others, strict=True))

    def tokens(self, sequence: str, *, reverse: bool = False) -> np.ndarray:
        """(T,) int32."""
        return (self._reverse if reverse else self._forward)[sequence]


def _arrays(tokenizer: DnaTokenizer, sequences: list[str]) -> list[np.ndarray]:
    return [np.array(ids, dtype=np.int32) for ids in tokenizer.encode_many(sequences)]


@dataclass(frozen=True)
class RowMaker:
    """How rows of all tasks are written: what `TaskRows` share."""

    tokenizer: DnaTokenizer
    layout: Layout
    config: GenomicsConfig
    cache: TokenCache


class TaskRows:
    """The rows of one task: `polyhead.training.loading.BatchedTaskData`.

    Targets are those of `network.weighted_cross_entropy`: for a task that answers by tokens the place of each token
    among those that compete, every row with the same weight in all; for a linear head the class.

    Args:
        task: the task.
        answer: how it answers.
        sequences, labels: of its rows.
        maker: what the tasks share.
        strands: chance that a training row is read from the other strand.
    """

    def __init__(
        self,
        task: TaskSpec,
        answer: Answer,
        sequences: Sequence[str],
        labels: Sequence[str],
        maker: RowMaker,
        *,
        strands: float = 0.0,
    ):
        self.task, self.answer, self.maker = task, answer, maker
        self.sequences, self.labels = list(sequences), list(labels)
        self.strands = strands
        self.by_tokens = task.reads == "answers"
        config, tokenizer = maker.config, maker.tokenizer
        self._index: np.ndarray | None = None
        if self.by_tokens and config.softmax == "answer":
            ids = answer_ids(answer, maker.layout, tokenizer)
            self._index = np.full(tokenizer.vocabulary_size, -1, dtype=np.int64)
            self._index[ids] = np.arange(len(ids))
        self._room = config.context - row_overhead(task, answer, maker.layout)

    def __len__(self) -> int:
        return len(self.sequences)

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[Inputs, Targets]:
        """A training batch; the strand of each row is a function of its seed."""
        turned = [self.strands > 0 and np.random.default_rng(seed).random() < self.strands for seed in seeds]
        return self.at(rows, turned)

    def at(self, rows: Sequence[int], turned: Sequence[bool] | None = None) -> tuple[Inputs, Targets]:
        """Inputs and targets of some rows, those of `turned` from the other strand where it fits the context."""
        examples = []
        for place, row in enumerate(rows):
            reverse = turned is not None and turned[place]
            dna = self.maker.cache.tokens(self.sequences[row], reverse=reverse)
            if len(dna) > self._room:
                dna = self.maker.cache.tokens(self.sequences[row])
            examples.append(self._example(dna.tolist(), self.labels[row]))
        config = self.maker.config
        inputs = packed_batch(examples, config.context if config.packing else None)
        return inputs, self._targets(examples, [self.labels[row] for row in rows])

    def _example(self, dna: list[int], label: str) -> Example:
        tokenizer, layout = self.maker.tokenizer, self.maker.layout
        if self.by_tokens:
            return layout.example(dna, self.task.name, self.answer, label, tokenizer)
        return Example(tuple(layout.prefix(dna, tokenizer)), (), (), len(dna))

    def _targets(self, examples: Sequence[Example], labels: Sequence[str]) -> Targets:
        if not self.by_tokens:
            index = torch.tensor([self.task.labels.index(label) for label in labels])
            return {"index": index, "weight": torch.full((len(labels),), 1 / len(labels))}
        index = np.array([token for example in examples for token in example.targets], dtype=np.int64)
        if self._index is not None:
            index = self._index[index]
        counts = np.array([len(example.targets) for example in examples])
        weight = np.repeat(1 / (counts * len(examples)), counts).astype(np.float32)
        return {"index": torch.from_numpy(index), "weight": torch.from_numpy(weight)}


def row_overhead(task: TaskSpec, answer: Answer, layout: Layout) -> int:
    """Tokens of a row beside its DNA, for the longest answer."""
    return layout.overhead(answer) if task.reads == "answers" else 2


def task_rows(
    data: LabelledData, specs: TaskSet, answers: Mapping[str, Answer], maker: RowMaker, *, training: bool
) -> tuple[dict[str, TaskRows], list[Problem]]:
    """The rows of each task that fit the context, and a line for each that does not.

    A row fits if its forward strand does; the other strand is read only where it fits too.
    """
    found: dict[str, TaskRows] = {}
    problems: list[Problem] = []
    for name, spec in specs.items():
        answer = answers[name]
        room = maker.config.context - row_overhead(spec, answer, maker.layout)
        sequences, labels = [], []
        for row in data.rows(task=name):
            sequence, label = data.sequences[row], str(data.label[row])
            count = len(maker.cache.tokens(sequence))
            if problem := _misfit(name, count, room, answer, label):
                problems.append(problem)
                continue
            sequences.append(sequence)
            labels.append(label)
        strands = maker.config.reverse_complement if training and data.facts[name].reverse_complement else 0.0
        found[name] = TaskRows(spec, answer, sequences, labels, maker, strands=strands)
    return found, problems


def _misfit(task: str, count: int, room: int, answer: Answer, label: str) -> Problem | None:
    where = f"task {task}"
    if count > room:
        reason = f"a sequence of {count} tokens, where the context leaves room for {room}"
        return Problem("too-long", where, reason, "cut it, or set a larger context")
    try:
        answer.encode(label)
    except ValueError as error:
        return Problem("invalid-label", where, str(error), "mend it, or drop the row")
    return None
