"""One pass of a decoder over tokens; its last feed-forward part leaves out tokens that nobody asks about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def read_tokens(
    decoder: Any,
    ids: Tensor,
    *,
    positions: Tensor | None = None,
    mask: Tensor | None = None,
    cache: Any = None,
    first: int = 0,
) -> Tensor:
    """Hidden states, after the final norm, of the tokens from `first` on, (B, T - first, d).

    The tokens before `first` are seen by those behind them, and their keys and values go into the cache; the last
    block's feed-forward part, most of the block's work, is left out for them where they are a quarter or more.

    Args:
        decoder: a causal decoder of transformers with rotary positions (Llama, OLMo).
        ids: (B, T) int64.
        positions: (B, T) int64; None where a row begins at 0 and nothing is cached.
        mask: (B, 1, T, cached + T), added to the attention; None for causal attention with nothing cached.
        cache: keys and values of earlier tokens, to which those of these tokens are added; None to keep none.
        first: in 0..T - 1.
    """
    import torch
    from transformers import DynamicCache

    model = decoder.model
    width = ids.shape[1]
    # Of the ways to attend, this one takes causal attention without a mask, and a mask of its own for the rest.
    if 4 * first < width or decoder.config._attn_implementation != "sdpa":
        found = model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return found.last_hidden_state[:, first:]
    hidden = model.embed_tokens(ids)
    if positions is None:
        positions = torch.arange(width, device=ids.device)[None]
    cos, sin = model.rotary_emb(hidden, position_ids=positions)
    for block in model.layers[:-1]:
        hidden = block(
            hidden,
            attention_mask=mask,
            position_ids=positions,
            position_embeddings=(cos, sin),
            past_key_values=cache,
            use_cache=cache is not None,
        )
    held = DynamicCache(config=decoder.config) if cache is None else cache
    block = model.layers[-1]
    # Leaves keys and values in the cache.
    block.self_attn(
        hidden_states=block.input_layernorm(hidden[:, :first]),
        attention_mask=None if mask is None else mask[:, :, :first, : mask.shape[-1] - width + first],
        position_ids=positions[:, :first],
        position_embeddings=(cos[:, :first], sin[:, :first]),
        past_key_values=held,
        use_cache=True,
    )
    sees = torch.ones(width - first, width, dtype=torch.bool, device=ids.device).tril(first)[None, None]
    hidden = block(
        hidden[:, first:],
        attention_mask=sees if mask is None else mask[:, :, first:],
        position_ids=positions[:, first:],
        position_embeddings=(cos[:, first:], sin[:, first:]),
        past_key_values=held,
        use_cache=True,
    )
    return model.norm(hidden)
