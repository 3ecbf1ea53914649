"""The quickest way in which a scorer's model compares alleles with their reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.genomics.variants.alleles import (
    AlleleComparison,
    AlleleGroup,
    Comparer,
    LinearTask,
    TaskTokens,
    task_tokens,
)
from domains.genomics.variants.shared_prefix import SharedPrefix

if TYPE_CHECKING:
    from domains.genomics.scoring.scorer import Scorer


def comparer(scorer: Scorer) -> Comparer:
    """How a scorer's model compares alleles quickest: shared prefixes, or full passes where labels take several
    tokens."""
    answers = {task: answer for task, answer in scorer.answers.items() if task not in scorer.heads}
    tasks: dict[str, TaskTokens | LinearTask] = dict(task_tokens(scorer.tokenizer, answers, scorer.layout))
    tasks |= {task: LinearTask(reads, head, scorer.labels[task]) for task, (reads, head) in scorer.heads.items()}
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
