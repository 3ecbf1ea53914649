"""Alleles against their reference in one window: the tokens before the first change are read once, tasks branch off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.genomics.scoring.likelihood import token_log_probabilities
from domains.genomics.scoring.prefixes import Continuation, Prefixes, TokenTree
from domains.genomics.variants.alleles import (
    AlleleComparison,
    AlleleGroup,
    LinearTask,
    TaskTokens,
    Tokens,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class _Row:
    """`ids` with [CLS]; hidden states are there from `start` on, earlier ones are those of the reference `source`."""

    ids: list[int]
    start: int = 0
    source: int = 0
    first: int = 1
    """Tokens from here on get a log-probability."""


class SharedPrefix:
    """Reads the reference window of a group once; every alternative goes on from its first token that differs.

    The tasks' tokens follow ``[MASK]`` side by side at one position and do not see each other, so that one pass gives
    the likelihood and all probabilities. Equal to full passes of every window up to rounding.

    Args:
        decoder: a causal language model of transformers with rotary positions (Llama, OLMo): ``model``, ``lm_head``.
        tokenizer: with ``[CLS]``, ``[MASK]`` and ``[UNK]``.
        tasks: see `alleles.task_tokens`, `alleles.LinearTask` and `comparers.comparer`.
        batch_tokens: the most tokens, those of the cache counted, in a pass.
        reuse: False reads every window from its beginning.
    """

    def __init__(
        self,
        decoder: nn.Module,
        tokenizer: Tokens,
        tasks: Mapping[str, TaskTokens | LinearTask] | None = None,
        *,
        batch_tokens: int = 8192,
        reuse: bool = True,
    ):
        self.decoder: Any = decoder
        self.tokenizer: Any = tokenizer
        self.tasks = dict(tasks or {})
        self.batch_tokens, self.reuse = batch_tokens, reuse
        self.start, self.prompt, self.unknown = (tokenizer.token_id(name) for name in ("[CLS]", "[MASK]", "[UNK]"))

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {name: tokens.labels for name, tokens in self.tasks.items()}

    def encode(self, sequences: Sequence[str], cut: int = 0) -> list[list[int]]:
        """Token ids with [CLS] first; a boundary is set before base `cut`."""
        parts = self.tokenizer.encode_many([part for text in sequences for part in (text[:cut], text[cut:]) if part])
        taken = iter(parts)
        ids = [sum((next(taken) for part in (text[:cut], text[cut:]) if part), [self.start]) for text in sequences]
        longest = max(map(len, ids), default=0) + 2
        limit = getattr(getattr(self.decoder, "config", None), "max_position_embeddings", None)
        if limit is not None and longest > limit:
            raise ValueError(f"a window of {longest - 3} tokens is longer than the model's {limit}: take a shorter one")
        return ids

    def compare(self, groups: Sequence[AlleleGroup], tasks: Sequence[str] = ()) -> list[AlleleComparison]:
        """One comparison a group, in their order.

        Raises:
            ValueError: an unknown task; a window with more tokens than the model takes.
        """
        import torch

        unknown = [task for task in tasks if task not in self.tasks]
        if unknown:
            known = ", ".join(self.tasks) or "none"
            raise ValueError(f"{unknown[0]} is no task that this model compares by; those are: {known}")
        encoded = [self.encode([group.reference, *group.alternatives], group.cut) for group in groups]
        answers: dict[int, AlleleComparison] = {}
        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.inference_mode():
                for batch in self._batches(range(len(groups)), lambda index: len(encoded[index][0])):
                    answers |= zip(batch, self._together([encoded[index] for index in batch], tasks), strict=True)
        finally:
            self.decoder.train(training)
        return [answers[index] for index in range(len(groups))]

    def _together(self, groups: Sequence[list[list[int]]], tasks: Sequence[str]) -> list[AlleleComparison]:
        alternatives = [
            _Row(ids, start := _common(windows[0], ids) if self.reuse else 0, source, max(start, 1))
            for source, windows in enumerate(groups)
            for ids in windows[1:]
        ]
        first = [len(windows[0]) for windows in groups]
        for row in alternatives:
            first[row.source] = min(first[row.source], row.first)
        tree, nodes = self._questions(tasks)
        begin = 0 if any(isinstance(self.tasks[task], LinearTask) for task in tasks) else min(first) - 1
        windows = [group[0] for group in groups]
        prefixes = Prefixes(self.decoder, windows, tree=tree, keep=self.reuse, first=begin)
        rows = [_Row(ids, prefixes.first, first=place) for ids, place in zip(windows, first, strict=True)]
        reference = self._labels(rows, tasks, nodes, prefixes.hidden, prefixes.branches)
        scores = self._token_scores(rows, prefixes.hidden)
        tails = [_tail(line, row.ids, self.unknown) for line, row in zip(scores, rows, strict=True)]
        ratios: list[list[float]] = [[0.0] * (len(windows) - 1) for windows in groups]
        told: list[list[Mapping[str, np.ndarray]]] = [[{}] * (len(windows) - 1) for windows in groups]
        offsets = np.cumsum([0, *(len(windows) - 1 for windows in groups)])
        for batch in self._batches(range(len(alternatives)), lambda index: len(alternatives[index].ids), alternatives):
            chosen = [alternatives[index] for index in batch]
            if self.reuse:
                lines = [Continuation(row.source, row.start, row.ids[row.start :]) for row in chosen]
                hidden, branches = prefixes.follow(lines, tree)
            else:
                read = Prefixes(self.decoder, [row.ids for row in chosen], tree=tree, keep=False, first=0)
                hidden, branches = read.hidden, read.branches
            answers = self._labels(chosen, tasks, nodes, hidden, branches, prefixes)
            scores = self._token_scores(chosen, hidden, prefixes)
            for index, row, line, probabilities in zip(batch, chosen, scores, answers, strict=True):
                place = int(index - offsets[row.source])
                own = _tail(line, row.ids, self.unknown)[row.first]
                ratios[row.source][place] = float(own - tails[row.source][row.first])
                told[row.source][place] = probabilities
        return [
            AlleleComparison(np.array(ratio, dtype=np.float64), probabilities, tuple(others))
            for ratio, probabilities, others in zip(ratios, reference, told, strict=True)
        ]

    def _batches(
        self, indices: Iterable[int], length: Callable[[int], int], rows: Sequence[_Row] = ()
    ) -> Iterator[list[int]]:
        """Indices of like lengths (and like places to start at), within `batch_tokens` a batch."""
        batch: list[int] = []
        widest = 0
        for index in sorted(indices, key=lambda index: ((rows[index].start if rows else 0), length(index))):
            widest = max(widest, length(index) + 8)
            if batch and widest * (len(batch) + 1) > self.batch_tokens:
                yield batch
                batch, widest = [], length(index) + 8
            batch.append(index)
        if batch:
            yield batch

    def _questions(self, tasks: Sequence[str]) -> tuple[TokenTree, dict[str, int]]:
        """[MASK] with the tasks' tokens side by side behind it, and the place of each task that is answered there."""
        tree, nodes = TokenTree(), {}
        for task in tasks:
            asked = self.tasks[task]
            if isinstance(asked, TaskTokens):
                nodes[task] = tree.add([self.prompt] if asked.task is None else [self.prompt, asked.task])
        return tree, nodes

    def _token_scores(self, rows: Sequence[_Row], hidden: Tensor, before: Prefixes | None = None) -> list[np.ndarray]:
        """For each row (n,) log P of its tokens, 0 before its `first`; the head runs where it is asked only.

        Args:
            hidden: (rows, width, d), of the tokens from each row's `start` on.
            before: the reference windows, which predict the first token of a row that starts behind them.
        """
        import torch

        parts: list[Tensor] = []
        for place, row in enumerate(rows):
            if row.first >= len(row.ids):
                continue
            if row.first == row.start and before is not None:
                place_before = row.start - 1 - before.first
                parts.append(before.hidden[row.source, place_before : place_before + 1])
            parts.append(hidden[place, max(row.first - 1 - row.start, 0) : len(row.ids) - 1 - row.start])
        scores = [np.zeros(len(row.ids)) for row in rows]
        if parts:
            targets = torch.tensor([token for row in rows for token in row.ids[row.first :]], device=hidden.device)
            told = iter(
                np.split(
                    token_log_probabilities(self.decoder, torch.cat(parts), targets),
                    np.cumsum([max(len(row.ids) - row.first, 0) for row in rows])[:-1],
                )
            )
            for line, row, values in zip(scores, rows, told, strict=True):
                line[row.first :] = values
        return scores

    def _labels(
        self,
        rows: Sequence[_Row],
        tasks: Sequence[str],
        nodes: Mapping[str, int],
        hidden: Tensor,
        branches: Tensor,
        before: Prefixes | None = None,
    ) -> list[dict[str, np.ndarray]]:
        """For each row the probabilities of each task's labels: from the place of its token, or by its head."""
        import torch

        weight = self.decoder.get_output_embeddings().weight
        pooled: dict[str, Tensor] = {}
        found: list[dict[str, np.ndarray]] = [{} for _ in rows]
        for task in tasks:
            asked = self.tasks[task]
            if isinstance(asked, LinearTask):
                if asked.reads not in pooled:
                    pooled[asked.reads] = _pooled(asked.reads, rows, hidden, before)
                logits = asked.head(pooled[asked.reads])
            else:
                logits = branches[:, nodes[task]] @ weight[list(asked.label_ids)].T
            told = torch.softmax(logits.double(), -1).cpu().numpy()
            for line, values in zip(found, told, strict=True):
                line[task] = values
        return found


def _pooled(reads: str, rows: Sequence[_Row], hidden: Tensor, before: Prefixes | None) -> Tensor:
    """(rows, d): the last of each row's hidden states, or their mean without that of [CLS]."""
    import torch

    states = []
    for place, row in enumerate(rows):
        dna = hidden[place, max(1 - row.start, 0) : len(row.ids) - row.start]
        if row.start and before is not None:
            dna = torch.cat([before.hidden[row.source, 1 : row.start], dna])
        states.append(dna[-1] if reads == "last" else dna.mean(0))
    return torch.stack(states)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens are the same."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _tail(scores: np.ndarray, ids: Sequence[int], unknown: int) -> np.ndarray:
    """(n + 1,) sums of the log-probabilities from each token to the end, ambiguous bases left out."""
    counted = np.where(np.array(ids) == unknown, 0.0, scores)
    return np.append(np.cumsum(counted[::-1])[::-1], 0.0)
