"""A tuned model asked: all tasks' probabilities in one pass a sequence, valid answers, and likelihoods of DNA."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.genomics.answers.answer import EOS, Answer
from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.constrained import Constraint, Generated, Walk, step
from domains.genomics.answers.format import CLS, UNK, Layout
from domains.genomics.scoring.likelihood import LogLikelihood, token_log_probabilities
from domains.genomics.scoring.prefixes import Prefixes, TokenTree, buckets, padded
from domains.genomics.sequences.alphabet import reverse_complement as other_strand

if TYPE_CHECKING:
    from torch import Tensor, nn

    from domains.genomics.sequences.tokenizer import DnaTokenizer
    from polyhead.tasks import TaskSpec

CPU_TOKENS = 2048
"""Tokens of a batch on a processor, whose caches larger ones leave."""

ACCELERATOR_TOKENS = 32_768
"""Tokens of a batch on any other device."""

_POOLS = ("last", "mean")


@dataclass(frozen=True)
class _Place:
    """Where one step of a label is read: at a tree's token (-1: at the prefix's end), among some tokens."""

    node: int
    ids: tuple[int, ...]


class Scorer:
    """Asks a decoder that was tuned with a `Layout`.

    Args:
        model: a causal decoder of transformers (Llama, OLMo), or a module that holds one as `decoder`
            (`DnaBackbone`) or as `backbone.decoder` (`MultiHeadModel`: tasks of a linear head that reads ``last`` or
            ``mean`` are answered by it). It is asked in evaluation mode, and left in the mode that it was in.
        tokenizer: codes DNA and knows the tokens of the tasks and answers.
        answers: how each task answers.
        layout: of the rows that the model was tuned on.
        batch_tokens: tokens of a batch, padding counted; None for what suits the device.

    Attributes:
        heads: the tasks that a linear head answers, each with what it reads, ``last`` or ``mean``, and the head.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: DnaTokenizer,
        answers: Mapping[str, Answer] | None = None,
        *,
        layout: Layout | None = None,
        batch_tokens: int | None = None,
    ):
        specs: Mapping[str, TaskSpec] = getattr(model, "tasks", {})
        self.heads: dict[str, tuple[str, nn.Module]] = {
            task: (spec.reads, model.head(task)) for task, spec in specs.items() if spec.reads in _POOLS
        }
        model = getattr(model, "backbone", model)
        self.decoder: Any = getattr(model, "decoder", model)
        self.tokenizer = tokenizer
        self.answers = dict(answers or {})
        self.layout = layout or Layout()
        self._batch_tokens = batch_tokens

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch, padding counted."""
        device = next(self.decoder.parameters()).device.type
        return self._batch_tokens or (CPU_TOKENS if device == "cpu" else ACCELERATOR_TOKENS)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The tasks that have probabilities, with their labels in the order of these."""
        return {task: answer.labels for task, answer in self.answers.items() if isinstance(answer, ClassAnswer)}

    def score(
        self, sequences: Sequence[str], tasks: Sequence[str] | None = None, *, reverse_complement: bool = False
    ) -> list[dict[str, np.ndarray]]:
        """Probabilities of every task's labels, one pass over each sequence.

        ``[CLS] DNA [MASK]`` is read once; the tasks' tokens, and the first tokens of labels that have several, branch
        off from its keys and values side by side. A label's probability is the product over its tokens, each among
        those that may stand there; the labels of a task sum to 1.

        Args:
            sequences: upper-case letters, none empty.
            tasks: classification tasks; None for all of them.
            reverse_complement: the mean of the probabilities on both strands.

        Returns:
            For each sequence and task (labels,) float64, in the order of `ClassAnswer.labels`.
        """
        import torch

        tasks = list(self.labels) if tasks is None else list(tasks)
        tree, places = TokenTree(), {}
        for task in tasks:
            answer = self._answer(task)
            if not isinstance(answer, ClassAnswer):
                raise ValueError(
                    f"the task {task!r} answers with {answer.kind}, which has no probabilities: generate it"
                )
            if task not in self.heads:
                places[task] = self._label_places(tree, task, answer)
        if reverse_complement:
            strands = [*sequences, *map(other_strand, sequences)]
            both = self.score(strands, tasks)
            pairs = zip(both[: len(sequences)], both[len(sequences) :], strict=True)
            return [{task: (one[task] + two[task]) / 2 for task in tasks} for one, two in pairs]
        rows = self._prefixes(sequences, room=tree.height)
        scores: list[dict[str, np.ndarray]] = [{} for _ in rows]
        first = 0 if self.heads.keys() & set(tasks) else None
        with self._asking():
            for batch in buckets([len(row) + len(tree.tokens) for row in rows], self.batch_tokens):
                prefixes = Prefixes(self.decoder, [rows[index] for index in batch], first=first)
                hidden = prefixes.last[:, None]
                if tree.tokens:
                    # The prefix's end is put last, where the index -1 finds it.
                    hidden = torch.cat([prefixes.branch(tree), hidden], dim=1)
                for task, labels in places.items():
                    for index, line in zip(batch, self._probabilities(hidden, labels), strict=True):
                        scores[index][task] = line
                for task in self.heads.keys() & set(tasks):
                    for index, line in zip(batch, self._linear(prefixes, task), strict=True):
                        scores[index][task] = line
        return [{task: line[task] for task in tasks} for line in scores]

    def generate(self, sequences: Sequence[str], task: str) -> list[Generated]:
        """The likeliest valid answer, token by token: at each place the best of the tokens that the grammar allows.

        Args:
            sequences: upper-case letters, none empty.
            task: a task of any kind.
        """
        import torch

        answer = self._answer(task)
        if task in self.heads:
            raise ValueError(f"the task {task!r} is answered by a linear head, which writes nothing: score it")
        grammar = answer.grammar()
        constraint = Constraint(grammar, self.tokenizer, end=self.layout.end)
        question = self.layout.question(task, self.tokenizer)
        rows = [row + question for row in self._prefixes(sequences, room=len(question) + grammar.longest)]
        walks = [Walk(grammar.start) for _ in rows]
        with self._asking():
            for batch in buckets([len(row) + grammar.longest for row in rows], self.batch_tokens):
                prefixes = Prefixes(self.decoder, [rows[index] for index in batch])
                going = [walks[index] for index in batch]
                while True:
                    step(going, prefixes.last, constraint, self._logits)
                    left = [place for place, walk in enumerate(going) if not walk.ended]
                    if not left:
                        break
                    if len(left) < len(going):
                        prefixes.keep(left)
                        going = [going[place] for place in left]
                    prefixes.extend(torch.tensor([walk.ids[-1] for walk in going]))
        return [
            Generated(answer.decode([*walk.tokens, EOS]), tuple(walk.tokens), math.exp(walk.log_probability))
            for walk in walks
        ]

    def log_likelihood(self, sequences: Sequence[str]) -> list[LogLikelihood]:
        """Log-likelihood of each sequence behind [CLS], as the model was pretrained.

        Args:
            sequences: upper-case letters, none empty.
        """
        start, unknown = self.tokenizer.token_id(CLS), self.tokenizer.token_id(UNK)
        rows = [[start, *dna] for dna in self._encoded(sequences)]
        self._check_length(rows, 0)
        bases = np.asarray(self.tokenizer.token_lengths, dtype=np.int64)
        found: dict[int, LogLikelihood] = {}
        with self._asking():
            for batch in buckets([len(row) for row in rows], self.batch_tokens):
                for index, values in zip(batch, self._token_scores([rows[index] for index in batch]), strict=True):
                    ids = np.array(rows[index][1:])
                    found[index] = LogLikelihood(values, bases[ids], ids != unknown)
        return [found[index] for index in range(len(rows))]

    def _label_places(self, tree: TokenTree, task: str, answer: ClassAnswer) -> list[list[tuple[_Place, int]]]:
        """For each label the places that it is read at, each with its index among the tokens there."""
        question = self.layout.question(task, self.tokenizer)
        constraint = Constraint(answer.grammar(), self.tokenizer, end=self.layout.end)
        labels = []
        for label in answer.labels:
            path, state, steps = list(question), constraint.grammar.start, []
            for token in (*answer.encode(label), EOS):
                tokens, ids = constraint.allowed(state)
                if len(tokens) > 1:
                    steps.append((_Place(tree.add(path), tuple(ids.tolist())), tokens.index(token)))
                if token != EOS:
                    path.append(self.tokenizer.token_id(token))
                    state = constraint.grammar.advance(state, token)
            labels.append(steps)
        return labels

    def _probabilities(self, hidden: Tensor, labels: list[list[tuple[_Place, int]]]) -> np.ndarray:
        """(B, labels) float64 from the hidden states (B, nodes + 1, d)."""
        import torch

        told: dict[_Place, Tensor] = {}
        columns = []
        for steps in labels:
            total = torch.zeros(len(hidden), dtype=torch.float64, device=hidden.device)
            for place, index in steps:
                if place not in told:
                    ids = torch.tensor(place.ids, device=hidden.device)
                    told[place] = torch.log_softmax(self._logits(hidden[:, place.node], ids).double(), -1)
                total = total + told[place][:, index]
            columns.append(total)
        return torch.stack(columns, -1).exp().cpu().numpy()

    def _linear(self, prefixes: Prefixes, task: str) -> np.ndarray:
        """(B, labels) float64 from a linear head on the DNA tokens of the prefixes ``[CLS] DNA [MASK]``."""
        import torch

        reads, head = self.heads[task]
        places = torch.arange(prefixes.hidden.shape[1], device=prefixes.hidden.device)
        end = prefixes.lengths[:, None] - 1
        chosen = (places == end - 1) if reads == "last" else (places > 0) & (places < end)
        # Padding is set to zero and not multiplied by it: it may hold anything.
        kept = prefixes.hidden.masked_fill(~chosen[..., None], 0).sum(1)
        return torch.softmax(head(kept / chosen.sum(1, keepdim=True)).double(), -1).cpu().numpy()

    def _token_scores(self, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """For each row (T - 1,) float64: the log-probability of each token but the first."""
        import torch

        ids, lengths = padded(rows, next(self.decoder.parameters()).device)
        hidden = self.decoder.model(input_ids=ids, use_cache=False).last_hidden_state
        real = torch.arange(ids.shape[1] - 1, device=ids.device) < (lengths - 1)[:, None]
        values = token_log_probabilities(self.decoder, hidden[:, :-1][real], ids[:, 1:][real])
        return np.split(values, np.cumsum([len(row) - 1 for row in rows])[:-1])

    def _logits(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """The language head (n, d) to (n, k), for some tokens only."""
        weight = self.decoder.get_output_embeddings().weight
        return hidden @ (weight if ids is None else weight.index_select(0, ids)).T

    def _answer(self, task: str) -> Answer:
        if task not in self.answers:
            raise ValueError(f"unknown task {task!r}; this model has: {', '.join(self.answers) or 'none'}")
        return self.answers[task]

    def _prefixes(self, sequences: Sequence[str], *, room: int) -> list[list[int]]:
        rows = [self.layout.prefix(dna, self.tokenizer) for dna in self._encoded(sequences)]
        self._check_length(rows, room)
        return rows

    def _encoded(self, sequences: Sequence[str]) -> list[list[int]]:
        for place, sequence in enumerate(sequences):
            if not sequence:
                raise ValueError(f"sequence {place + 1} is empty")
        return self.tokenizer.encode_many(list(sequences)) if sequences else []

    def _check_length(self, rows: Sequence[Sequence[int]], room: int) -> None:
        limit = getattr(self.decoder.config, "max_position_embeddings", None)
        for place, row in enumerate(rows):
            if limit is not None and len(row) + room > limit:
                raise ValueError(
                    f"sequence {place + 1} takes {len(row)} tokens and its answer {room}, "
                    f"the model takes {limit}: cut it into windows"
                )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        import torch

        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.decoder.train(training)
