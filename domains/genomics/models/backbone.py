"""The backbone of the multi-task model: a decoder over token rows, and the features that heads read.

Inputs are a mapping of int64 tensors:

    ids        (B, T)  tokens, right-padded, or several samples after one another in a row
    positions  (B, T)  0, 1, ... in each sample
    segments   (B, T)  0 for padding, 1, 2, ... for the samples of a row
    answers    (N, 2)  row and column of each token whose next token is asked
    last       (S, 2)  row and column of the last DNA token of each sample

`answers` and `last` may be left out where nothing asks for them. `packing.packed_batch` makes such inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.genomics.models.family import CLS_ID, shape_of, tie

if TYPE_CHECKING:
    from domains.genomics.models.family import Decoder, ModelShape

Inputs = Mapping[str, Tensor]

FEATURES = ("answers", "last", "mean")

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class DnaBackbone(nn.Module):
    """A decoder as the shared part of `polyhead.model.MultiHeadModel`.

    Features, all float (·, d) after the last norm:

        "answers"  (N, d)  at the places of `answers`
        "last"     (S, d)  at the places of `last`
        "mean"     (S, d)  mean over the DNA tokens of each sample: from its start, [CLS] left out, to its `last`

    Args:
        decoder: a decoder of `build_decoder` or `load_decoder`; it is held, not copied.
        embedding_noise: alpha of NEFTune, in training mode only: uniform noise in [-1, 1] times alpha / sqrt(L d) is
            added to the token embeddings, L the length of the token's own sample.
    """

    def __init__(self, decoder: Decoder, *, embedding_noise: float = 0.0):
        super().__init__()
        if embedding_noise < 0:
            raise ValueError(f"embedding noise is {embedding_noise}; it must be at least 0")
        self.decoder = tie(decoder)
        self.embedding_noise = embedding_noise
        # Weights assigned by name leave two parameters where a tied decoder has one.
        self.register_load_state_dict_post_hook(_tie_again)

    @property
    def width(self) -> int:
        return self.decoder.config.hidden_size

    @property
    def vocabulary(self) -> int:
        return self.decoder.lm_head.weight.shape[0]

    @property
    def shape(self) -> ModelShape:
        return shape_of(self.decoder)

    def forward(self, inputs: Inputs, needed: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        """The features named in `needed`, each for the rows named there (None: for all), with one pass.

        Raises:
            ValueError: an unknown feature, or inputs that lack the places it is read at.
        """
        for feature in needed:
            if feature not in FEATURES:
                raise ValueError(f"unknown feature {feature!r}; known: {', '.join(FEATURES)}")
            if (places := "answers" if feature == "answers" else "last") not in inputs:
                raise ValueError(f"the feature {feature!r} needs the inputs {places!r}")
        hidden = self.hidden(inputs)
        found = {}
        for feature, rows in needed.items():
            places = inputs["answers" if feature == "answers" else "last"]
            places = places if rows is None else places.index_select(0, rows.to(places.device))
            found[feature] = _mean(hidden, places, inputs) if feature == "mean" else hidden[places[:, 0], places[:, 1]]
        return found

    def hidden(self, inputs: Inputs) -> Tensor:
        """Hidden states after the last norm at all places, (B, T, d); at padding they mean nothing."""
        ids, segments = inputs["ids"], inputs["segments"]
        embedded = self.decoder.model.embed_tokens(ids)
        if self.training and self.embedding_noise > 0:
            embedded = embedded + _noise(embedded, segments, self.embedding_noise)
        plain = _one_sample_a_row(segments)
        output = self.decoder.model(
            inputs_embeds=embedded,
            attention_mask=None if plain else self._mask(segments, embedded.dtype),
            # Real tokens see no padding behind them: where rows are plain, causal attention over 0, 1, ... is exact.
            position_ids=None if plain else inputs["positions"],
            use_cache=False,
        )
        return output.last_hidden_state

    def _mask(self, segments: Tensor, dtype: torch.dtype) -> Tensor:
        """Block-diagonal causal attention, (B, 1, T, T); padding sees padding, so that no row is empty."""
        length = segments.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
        allowed = (causal & (segments[:, :, None] == segments[:, None, :]))[:, None]
        if self.decoder.config._attn_implementation == "eager":
            return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
        return allowed

    def logits(self, hidden: Tensor, token_ids: Tensor | None = None) -> Tensor:
        """The language head on some hidden states and for some tokens only.

        Args:
            hidden: (n, d).
            token_ids: (k,) int64, the tokens that may follow; None for all.

        Returns:
            (n, k), or (n, V).
        """
        weight = self.decoder.lm_head.weight
        return functional.linear(hidden, weight if token_ids is None else weight.index_select(0, token_ids))


def add_lora(backbone: DnaBackbone, rank: int, alpha: float, *, train_vocabulary: bool = True) -> DnaBackbone:
    """Puts low-rank adapters on the projections of attention and SwiGLU, in place; all other weights are frozen.

    A new adapter changes nothing: its second factor starts at zero.

    Args:
        rank: r >= 1.
        alpha: the adapter is scaled by alpha / r.
        train_vocabulary: the embedding and the language head go on learning. Without, tokens that were added to the
            vocabulary keep the values they started with.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if rank < 1:
        raise ValueError(f"the rank of the adapters is {rank}; it must be at least 1")
    if has_lora(backbone):
        raise ValueError("the backbone has adapters already")
    training = backbone.training
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(LORA_TARGETS), lora_dropout=0.0, bias="none")  # pyright: ignore[reportArgumentType]
    inject_adapter_in_model(config, backbone.decoder)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_("lora_" in name)
    if train_vocabulary:
        backbone.decoder.model.embed_tokens.weight.requires_grad_(True)
        backbone.decoder.lm_head.weight.requires_grad_(True)
    return backbone.train(training)


def has_lora(backbone: DnaBackbone) -> bool:
    return any("lora_" in name for name, _ in backbone.named_parameters())


def merge_lora(backbone: DnaBackbone) -> DnaBackbone:
    """Adds the adapters to the weights under them and takes them away, in place: a decoder as any other is left."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(backbone.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)  # pyright: ignore[reportAttributeAccessIssue]
            parent = backbone.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
    for parameter in backbone.parameters():
        parameter.requires_grad_(True)
    return backbone


def _tie_again(backbone: nn.Module, _: object) -> None:
    assert isinstance(backbone, DnaBackbone)
    tie(backbone.decoder)


def _one_sample_a_row(segments: Tensor) -> bool:
    """Whether every row holds one sample from its first column on, with padding behind it only."""
    return bool((segments <= 1).all() and (segments[:, 1:] <= segments[:, :-1]).all())


def _noise(embedded: Tensor, segments: Tensor, alpha: float) -> Tensor:
    counts = torch.zeros(len(segments), int(segments.max()) + 1, device=segments.device)
    lengths = counts.scatter_add_(1, segments, torch.ones_like(segments, dtype=counts.dtype)).gather(1, segments)
    scale = alpha / (lengths * embedded.shape[-1]).sqrt()
    return torch.empty_like(embedded).uniform_(-1, 1) * scale[..., None].to(embedded.dtype)


def _mean(hidden: Tensor, last: Tensor, inputs: Inputs) -> Tensor:
    """Mean over the DNA tokens that end at `last` (S, 2), as (S, d)."""
    rows, columns = last.unbind(1)
    start = columns - inputs["positions"][rows, columns]
    # A sample that is [CLS] alone keeps it: there is nothing else to read.
    start = start + ((inputs["ids"][rows, start] == CLS_ID) & (start < columns)).to(start.dtype)
    lengths = columns - start + 1
    owner = torch.repeat_interleave(torch.arange(len(last), device=last.device), lengths)
    offset = torch.arange(len(owner), device=last.device) - (lengths.cumsum(0) - lengths)[owner]
    tokens = hidden[rows[owner], start[owner] + offset]
    return hidden.new_zeros(len(last), hidden.shape[-1]).index_add(0, owner, tokens) / lengths[:, None]
