"""The multi-task model: a decoder as the shared part, and heads that are its own language head or a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.format import Layout, Vocabulary
from domains.genomics.models.backbone import DnaBackbone, add_lora
from domains.genomics.settings import GenomicsConfig
from polyhead.model import MultiHeadModel
from polyhead.tasks import TaskSet

if TYPE_CHECKING:
    from domains.genomics.models.family import Decoder

PRETRAIN_TASK, PRETRAIN_KIND = "pretrain", "language"


class TokenHead(nn.Module):
    """The language head of the shared part on the tokens of one task: no weights of its own.

    Args:
        backbone: whose head answers.
        tokens: (k,) int64 ids that compete; None for the whole vocabulary.
    """

    tokens: Tensor | None

    def __init__(self, backbone: DnaBackbone, tokens: Tensor | None):
        super().__init__()
        # In a tuple the shared part is no part of this module: its weights are listed and saved once, with itself.
        self._shared = (backbone,)
        self.register_buffer("tokens", tokens, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, d) hidden states to (N, k) or (N, V) logits."""
        return self._shared[0].logits(hidden, self.tokens)


class LinearHead(nn.Module):
    """Classes from one vector a sequence, without bias, as the published classification head has none."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(width, outputs, bias=False)
        nn.init.normal_(self.linear.weight, std=0.02)

    def forward(self, feature: Tensor) -> Tensor:
        """(S, d) to (S, outputs) logits."""
        return self.linear(feature)


def answer_ids(answer: Answer, layout: Layout, vocabulary: Vocabulary) -> list[int]:
    """The ids of an answer's tokens in their order, and of the token that ends a row."""
    return [vocabulary.token_id(token) for token in (*answer.tokens, layout.end)]


def build_model(
    specs: TaskSet,
    config: GenomicsConfig,
    decoder: Decoder,
    vocabulary: Vocabulary,
    answers: Mapping[str, Answer],
) -> MultiHeadModel:
    """The model of some tasks around a decoder whose vocabulary has their tokens.

    Linear heads are drawn from torch's global generator. Adapters are put in where the settings ask for them.
    """
    backbone = DnaBackbone(decoder, embedding_noise=config.neftune)
    layout = Layout(config.layout, config.replication)
    heads: dict[str, nn.Module] = {}
    for name, spec in specs.items():
        if spec.reads != "answers":
            heads[name] = LinearHead(backbone.width, spec.outputs)
            continue
        whole = spec.kind == PRETRAIN_KIND or config.softmax == "vocabulary"
        tokens = None if whole else torch.tensor(answer_ids(answers[name], layout, vocabulary))
        heads[name] = TokenHead(backbone, tokens)
    if config.lora is not None:
        add_lora(backbone, config.lora.rank, config.lora.alpha, train_vocabulary=config.lora.train_vocabulary)
    return MultiHeadModel(backbone, heads, specs)


def backbone_of(model: MultiHeadModel) -> DnaBackbone:
    """The shared part by its type."""
    assert isinstance(model.backbone, DnaBackbone)
    return model.backbone


def weighted_cross_entropy(logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Sum of the cross-entropies at all places, each times its weight; the weights of a batch add up to one.

    Args:
        logits: (N, k).
        targets: ``index`` (N,) int64 in [0, k), ``weight`` (N,) float32.
    """
    losses = functional.cross_entropy(logits, targets["index"], reduction="none")
    return (losses * targets["weight"]).sum()
