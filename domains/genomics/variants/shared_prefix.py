"""Alleles against their reference in one window: the tokens before the first change are read once, tasks branch off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from domains.genomics.answers.answer import Answer
    from domains.genomics.answers.format import Layout
    from domains.genomics.scoring.scorer import Scorer

_HEAD_ROWS = 4096


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
    """What variants and mutagenesis ask: `SharedPrefix`, or `PlainComparer` around any scorer."""

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


def comparer(scorer: Scorer) -> Comparer:
    """How a scorer's model compares alleles quickest: shared prefixes, or full passes where labels take several
    tokens."""
    # The scorer alone knows which tasks of its model have heads.
    heads = scorer._heads
    answers = {task: answer for task, answer in scorer.answers.items() if task not in heads}
    tasks: dict[str, TaskTokens | LinearTask] = dict(task_tokens(scorer.tokenizer, answers, scorer.layout))
    tasks |= {task: LinearTask(reads, head, scorer.labels[task]) for task, (reads, head) in heads.items()}
    if set(tasks) != set(scorer.labels):
        return PlainComparer(scorer)
    return SharedPrefix(scorer.decoder, scorer.tokenizer, tasks, batch_tokens=scorer.batch_tokens)


class PlainComparer:
    """Two full passes of every window; for any model that scores sequences. Token boundaries cannot be set.

    Args:
        scorer: `domains.genomics.scoring.scorer.Scorer`, or what has its ``labels``, ``score`` and ``log_likelihood``.
    """

    def __init__(self, scorer: Any):
        self.scorer = scorer

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        return self.scorer.labels

    def compare(self, groups: Sequence[AlleleGroup], tasks: Sequence[str] = ()) -> list[AlleleComparison]:
        """One comparison a group, in their order; a group with a cut is a `ValueError`."""
        if any(group.cut for group in groups):
            raise ValueError("this model sets no token boundaries: take 1 for the boundaries of variants")
        windows = [text for group in groups for text in (group.reference, *group.alternatives)]
        likely = iter([told.total for told in self.scorer.log_likelihood(windows)])
        scores = iter(self.scorer.score(windows, list(tasks)) if tasks else [{}] * len(windows))
        found = []
        for group in groups:
            base, reference = next(likely), next(scores)
            ratios = np.array([next(likely) - base for _ in group.alternatives], dtype=np.float64)
            found.append(AlleleComparison(ratios, reference, tuple(next(scores) for _ in group.alternatives)))
        return found


@dataclass(frozen=True)
class _Row:
    """`ids` with [CLS]; those before `start` lie in row `source` of the cache."""

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
        tasks: see `task_tokens`, `LinearTask` and `comparer`.
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
        rows = [_Row(windows[0], first=place) for windows, place in zip(groups, first, strict=True)]
        reference, cache, heads = self._read(rows, tasks, None, keep=self.reuse)
        tails = [_tail(scores, row.ids, self.unknown) for (scores, _), row in zip(reference, rows, strict=True)]
        ratios: list[list[float]] = [[0.0] * (len(windows) - 1) for windows in groups]
        told: list[list[Mapping[str, np.ndarray]]] = [[{}] * (len(windows) - 1) for windows in groups]
        offsets = np.cumsum([0, *(len(windows) - 1 for windows in groups)])
        for batch in self._batches(range(len(alternatives)), lambda index: len(alternatives[index].ids), alternatives):
            chosen = [alternatives[index] for index in batch]
            answers, _, _ = self._read(chosen, tasks, cache, before=heads)
            for index, row, (scores, probabilities) in zip(batch, chosen, answers, strict=True):
                place = int(index - offsets[row.source])
                own = _tail(scores, row.ids, self.unknown)[row.first]
                ratios[row.source][place] = float(own - tails[row.source][row.first])
                told[row.source][place] = probabilities
        return [
            AlleleComparison(np.array(ratio, dtype=np.float64), probabilities, tuple(others))
            for ratio, (_, probabilities), others in zip(ratios, reference, told, strict=True)
        ]

    def _batches(self, indices: Iterable[int], length: Any, rows: Sequence[_Row] = ()) -> Iterator[list[int]]:
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

    def _read(
        self,
        rows: Sequence[_Row],
        tasks: Sequence[str],
        cache: Any,
        *,
        before: Tensor | None = None,
        keep: bool = False,
    ) -> tuple[list[tuple[np.ndarray, dict[str, np.ndarray]]], Any, Tensor]:
        """One pass over the tokens after each row's `start`.

        Returns:
            for each row the log-probabilities of its tokens (n,), 0 before `first`, and those of the tasks' labels; the
            cache where it is to be kept; and the hidden states (rows, width, d).
        """
        import torch

        device = next(self.decoder.parameters()).device
        written = [told for task in tasks if isinstance(told := self.tasks[task], TaskTokens)]
        asked = [told.task for told in written if told.task is not None]
        branches = [self.prompt, *asked] if written else []
        fresh = [row.ids[row.start :] + branches for row in rows]
        width = max(1, *map(len, fresh))
        held = max(row.start for row in rows) if cache is not None else 0
        ids = torch.full((len(rows), width), self.unknown, dtype=torch.long)
        positions = torch.zeros(len(rows), width, dtype=torch.long)
        branch = torch.zeros(len(rows), width, dtype=torch.bool)
        for place, (row, tokens) in enumerate(zip(rows, fresh, strict=True)):
            ids[place, : len(tokens)] = torch.tensor(tokens)
            positions[place] = (row.start + torch.arange(width)).clamp_max(len(row.ids) + 1)
            branch[place, len(tokens) - len(asked) : len(tokens)] = True
        mask = None
        if cache is not None or asked:
            starts = torch.tensor([row.start for row in rows])
            mask = _mask(branch, starts, held, next(self.decoder.parameters()).dtype).to(device)
        past = _select(cache, [row.source for row in rows], held) if cache is not None and held else None
        answer = self.decoder.model(
            input_ids=ids.to(device),
            attention_mask=mask,
            position_ids=positions.to(device),
            past_key_values=past,
            use_cache=keep,
        )
        hidden: Tensor = answer.last_hidden_state
        scores = self._token_scores(rows, hidden, before)
        told = [self._labels(hidden[place], row, tasks, before) for place, row in enumerate(rows)]
        return list(zip(scores, told, strict=True)), answer.past_key_values if keep else None, hidden

    def _token_scores(self, rows: Sequence[_Row], hidden: Tensor, before: Tensor | None) -> list[np.ndarray]:
        """log P of the tokens from each row's `first` on; the head runs at the places before them only."""
        import torch

        width = hidden.shape[1]
        flat: list[int] = []
        targets: list[int] = []
        earlier: list[tuple[int, int, int]] = []
        for index, row in enumerate(rows):
            if row.first == row.start and row.first < len(row.ids):
                earlier.append((len(flat), row.source, row.start - 1))
            flat.extend(index * width + max(token - 1 - row.start, 0) for token in range(row.first, len(row.ids)))
            targets.extend(row.ids[row.first :])
        places = hidden.reshape(-1, hidden.shape[-1])[torch.tensor(flat, dtype=torch.long, device=hidden.device)]
        if earlier and before is not None:
            at, sources, tokens = (torch.tensor(column, device=hidden.device) for column in zip(*earlier, strict=True))
            places[at] = before[sources, tokens]
        scores = [np.zeros(len(row.ids)) for row in rows]
        values = []
        for start in range(0, len(targets), _HEAD_ROWS):
            logits = self.decoder.lm_head(places[start : start + _HEAD_ROWS]).float()
            chosen = torch.tensor(targets[start : start + _HEAD_ROWS], device=logits.device)
            values.append(torch.log_softmax(logits, -1).gather(1, chosen[:, None])[:, 0].cpu())
        told = torch.cat(values).double().numpy() if values else np.zeros(0)
        at = 0
        for line, row in zip(scores, rows, strict=True):
            count = len(row.ids) - row.first
            line[row.first :] = told[at : at + count]
            at += count
        return scores

    def _labels(self, hidden: Tensor, row: _Row, tasks: Sequence[str], before: Tensor | None) -> dict[str, np.ndarray]:
        """Probabilities among the labels of each task: from the place of its token, or by its head."""
        import torch

        found = {}
        prompt = len(row.ids) - row.start
        place = prompt
        for task in tasks:
            asked = self.tasks[task]
            if isinstance(asked, LinearTask):
                dna = hidden[:prompt] if row.start else hidden[1:prompt]
                if row.start and before is not None:
                    dna = torch.cat([before[row.source, 1 : row.start], dna])
                logits = asked.head(dna[-1] if asked.reads == "last" else dna.mean(0))
            else:
                place += asked.task is not None
                state = hidden[prompt if asked.task is None else place]
                logits = self.decoder.lm_head.weight[list(asked.label_ids)] @ state
            found[task] = torch.softmax(logits.double(), -1).cpu().numpy()
        return found


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


def _mask(branch: Tensor, starts: Tensor, held: int, dtype: Any) -> Tensor:
    """(rows, 1, width, held + width), added to the attention: 0 where a token may look, the type's least elsewhere."""
    import torch

    rows, width = branch.shape
    same = torch.eye(width, dtype=torch.bool)
    seen = torch.ones(width, width, dtype=torch.bool).tril()
    fresh = seen & ~(branch[:, :, None] & branch[:, None, :] & ~same)
    cached = (torch.arange(held)[None] < starts[:, None])[:, None].expand(rows, width, held)
    allowed = torch.cat([cached, fresh], -1)[:, None]
    return torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


def _select(cache: Any, sources: Sequence[int], held: int) -> Any:
    """A cache of the first `held` keys and values of the given rows."""
    import torch
    from transformers import DynamicCache

    chosen = DynamicCache()
    rows = torch.tensor(sources)
    for index, layer in enumerate(cache.layers):
        place = rows.to(layer.keys.device)
        chosen.update(layer.keys[:, :, :held][place], layer.values[:, :, :held][place], index)
    return chosen
