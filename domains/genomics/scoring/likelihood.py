"""How likely a sequence is, token by token, and the head that tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_HEAD_ROWS = 4096


@dataclass(frozen=True)
class LogLikelihood:
    """How likely a sequence is, token by token, in nats.

    Attributes:
        tokens: (T,) float64, log P(token | the tokens before it), among the whole vocabulary; the first follows [CLS].
        lengths: (T,) int64, bases of each token.
        known: (T,) bool, False for letters that have no token ([UNK]): they are in no sum and no mean.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    known: np.ndarray

    @property
    def bases(self) -> np.ndarray:
        """(L,) float64: a token's value in equal parts on its bases; not a number where there is no token."""
        share = np.where(self.known, self.tokens / np.maximum(self.lengths, 1), np.nan)
        return np.repeat(share, self.lengths)

    @property
    def total(self) -> float:
        return float(self.tokens[self.known].sum())

    @property
    def bits_per_base(self) -> float:
        """Negative log2-likelihood per base; not a number for a sequence without known bases."""
        bases = int(self.lengths[self.known].sum())
        return -self.total / math.log(2) / bases if bases else math.nan


def token_log_probabilities(decoder: Any, states: Tensor, targets: Tensor) -> np.ndarray:
    """(n,) float64: log P of the tokens (n,) that follow the hidden states (n, d), in parts that fit into memory."""
    import torch
    from torch.nn import functional

    weight = decoder.get_output_embeddings().weight
    values = [
        -functional.cross_entropy((part @ weight.T).float(), following, reduction="none")
        for part, following in zip(states.split(_HEAD_ROWS), targets.split(_HEAD_ROWS), strict=True)
    ]
    return torch.cat(values).double().cpu().numpy()
