"""Every single-base change of a sequence asked (in-silico mutagenesis), and gradients at the tokens spread to bases."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.variants.alleles import AlleleComparison, AlleleGroup, Comparer, TaskTokens
from domains.genomics.variants.shared_prefix import SharedPrefix

BASES = "ACGT"


@dataclass(frozen=True)
class Mutagenesis:
    """What each base's change does to a sequence.

    Attributes:
        sequence: as it was asked, L bases.
        start: first base that was changed, 0-based.
        likelihood: (4, n) float64, rows A, C, G, T: log P(changed) - log P(sequence) in nats; 0 at the sequence's own
            base, not a number where that is none of the four.
        changes: task to (labels, 4, n), the change of each label's probability.
        reference: task to (labels,) probabilities of the unchanged sequence.
    """

    sequence: str
    start: int
    likelihood: np.ndarray
    changes: Mapping[str, np.ndarray]
    reference: Mapping[str, np.ndarray]

    def importance(self, task: str | None = None, label: int = -1) -> np.ndarray:
        """(n,): what the sequence's own base adds against the mean of the three others, in the likelihood or in a
        label's probability; positive where changes take away."""
        values = self.likelihood if task is None else self.changes[task][label]
        return -values.sum(0) / 3


def mutagenesis(
    sequence: str,
    model: Comparer,
    *,
    tasks: tuple[str, ...] = (),
    span: tuple[int, int] | None = None,
    strands: str = "both",
    one_strand: Collection[str] = (),
) -> Mutagenesis:
    """Asks for the three other bases at each place of `span`, 3 n windows against one.

    Args:
        sequence: upper case over A, C, G, T and N, as long as the model reads at once.
        span: half-open, 0-based; None for the whole sequence.
        strands: "both" takes the mean with the reverse complement.
        one_strand: tasks that are asked on the given strand alone, since the other one has another answer.

    Raises:
        ValueError: a span that is empty or not on the sequence.
    """
    start, end = span or (0, len(sequence))
    if not 0 <= start < end <= len(sequence):
        raise ValueError(f"bases {start + 1} to {end} are no stretch of a sequence of {len(sequence)}")
    if strands not in ("both", "forward"):
        raise ValueError(f"strands is {strands!r}; it is both or forward")
    places = [
        (row, place)
        for place in range(start, end)
        if sequence[place] in BASES
        for row, base in enumerate(BASES)
        if base != sequence[place]
    ]
    changed = [sequence[:place] + BASES[row] + sequence[place + 1 :] for row, place in places]
    groups = [AlleleGroup(sequence, tuple(changed))]
    if strands == "both":
        groups.append(AlleleGroup(reverse_complement(sequence), tuple(map(reverse_complement, changed))))
    told = model.compare(groups, tasks)
    known = np.array([letter in BASES for letter in sequence[start:end]])
    rows = np.array([row for row, _ in places], dtype=np.int64)
    columns = np.array([place - start for _, place in places], dtype=np.int64)

    def matrix(values: np.ndarray) -> np.ndarray:
        """(..., changes) to (..., 4, n)."""
        whole = np.where(known, 0.0, np.nan) * np.ones((*values.shape[:-1], 4, end - start))
        whole[..., rows, columns] = values
        return whole

    read = {task: told[:1] if task in one_strand else told for task in tasks}
    reference = {task: np.mean([answer.reference[task] for answer in read[task]], axis=0) for task in tasks}
    changes = {task: matrix(_changes(read[task], task, reference[task])) for task in tasks}
    return Mutagenesis(
        sequence, start, matrix(np.mean([answer.log_ratios for answer in told], axis=0)), changes, reference
    )


def _changes(told: list[AlleleComparison], task: str, reference: np.ndarray) -> np.ndarray:
    """(labels, changes), mean over the strands."""
    strands = [
        np.array([line[task] for line in answer.alternatives]).reshape(-1, len(reference)) - answer.reference[task]
        for answer in told
    ]
    return np.mean(strands, axis=0).T


def attribution(sequence: str, model: SharedPrefix, task: str, label: int = -1) -> np.ndarray:
    """Gradient times input of a label's log-probability at the token embeddings, each token's in equal parts on its
    bases.

    One pass forward and one back. It says how the answer would change were a token's embedding a little longer, not
    what another base would do: `mutagenesis` does that.

    Args:
        sequence: upper-case letters.
        label: place of the label among the task's.

    Returns:
        (L,) float64.

    Raises:
        ValueError: an unknown task, or tokens that do not stand for the sequence's letters.
    """
    import torch

    if task not in model.tasks:
        raise ValueError(
            f"{task} is no task that this model compares by; those are: {', '.join(model.tasks) or 'none'}"
        )
    asked = model.tasks[task]
    (ids,) = model.encode([sequence])
    lengths = np.asarray(model.tokenizer.token_lengths)[ids[1:]]
    if int(lengths.sum()) != len(sequence):
        raise ValueError(f"the tokens stand for {int(lengths.sum())} bases, the sequence has {len(sequence)}")
    question = []
    if isinstance(asked, TaskTokens):
        question = [model.prompt] if asked.task is None else [model.prompt, asked.task]
    decoder: Any = model.decoder
    training = decoder.training
    decoder.eval()
    try:
        device = next(decoder.parameters()).device
        with torch.enable_grad():
            found = decoder.get_input_embeddings()(torch.tensor([ids + question], device=device))
            embedded = found.detach().requires_grad_(True)
            hidden = decoder.model(inputs_embeds=embedded, use_cache=False).last_hidden_state[0]
            if isinstance(asked, TaskTokens):
                logits = decoder.lm_head.weight[list(asked.label_ids)] @ hidden[-1]
            else:
                logits = asked.head(hidden[-1] if asked.reads == "last" else hidden[1:].mean(0))
            (gradient,) = torch.autograd.grad(torch.log_softmax(logits.float(), -1)[label], embedded)
        values = (gradient * embedded.detach())[0, 1 : len(ids)].double().sum(-1).cpu().numpy()
    finally:
        decoder.train(training)
    return np.repeat(values / np.maximum(lengths, 1), lengths)
