"""Passes of a decoder that share a prefix: its keys and values are computed once, questions branch off from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class TokenTree:
    """Tokens that branch off from a prefix: each sees the prefix, its ancestors and itself.

    Attributes:
        tokens: ids, parents before children.
        parents: index of each token's parent, -1 where it follows the prefix.
        depths: 0 for the tokens that follow the prefix.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    _places: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, path: Sequence[int]) -> int:
        """The index of the last token of `path`, whose tokens are added where they are new; -1 for an empty path."""
        place = -1
        for token in path:
            known = self._places.get((place, token))
            if known is None:
                known = self._places[place, token] = len(self.tokens)
                self.depths.append(0 if place < 0 else self.depths[place] + 1)
                self.tokens.append(token)
                self.parents.append(place)
            place = known
        return place

    @property
    def height(self) -> int:
        return max(self.depths, default=-1) + 1

    def sight(self) -> Tensor:
        """Which token sees which, (n, n) bool."""
        import torch

        sight = torch.eye(len(self.tokens), dtype=torch.bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                sight[place] |= sight[parent]
        return sight


class Prefixes:
    """A batch of prefixes that a decoder has read, right-padded.

    Attributes:
        lengths: (B,) int64, tokens of each row that count so far.
        last: (B, d), the hidden state of each row's last token, after the final norm.
        hidden: (B, T, d), the hidden states of the rows as they were read, padding included.
    """

    def __init__(self, decoder: Any, rows: Sequence[Sequence[int]]):
        """Reads the rows.

        Args:
            decoder: a causal decoder of transformers with rotary positions (Llama, OLMo).
            rows: ids, none empty.
        """
        import torch
        from transformers import DynamicCache

        self._decoder = decoder
        parameter = next(decoder.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        ids, self.lengths = padded(rows, self._device)
        self._cache = DynamicCache(config=decoder.config)
        # No mask: rows are padded at the right, where causal attention never looks.
        answer = decoder.model(input_ids=ids, past_key_values=self._cache, use_cache=True)
        self.hidden: Tensor = answer.last_hidden_state
        self.last = self.hidden[torch.arange(len(rows), device=self._device), self.lengths - 1]
        self._seen = torch.arange(ids.shape[1], device=self._device) < self.lengths[:, None]

    def branch(self, tree: TokenTree) -> Tensor:
        """Hidden states of a tree's tokens behind every prefix, (B, n, d). The prefixes stay as they are."""
        import torch

        count, batch, width = len(tree.tokens), len(self.lengths), self._seen.shape[1]
        tokens = torch.tensor(tree.tokens, device=self._device)
        depths = torch.tensor(tree.depths, device=self._device)
        seen = self._seen[:, None, :].expand(batch, count, width)
        inner = tree.sight().to(self._device).expand(batch, count, count)
        hidden = self._read(tokens.expand(batch, count), self.lengths[:, None] + depths, torch.cat([seen, inner], -1))
        self._cache.crop(-count)
        return hidden

    def extend(self, tokens: Tensor) -> None:
        """Appends one token to every row, (B,) int64; `last` and `lengths` move on."""
        import torch

        self._seen = torch.cat([self._seen, self._seen.new_ones(len(tokens), 1)], -1)
        ids = tokens.to(self._device)[:, None]
        self.last = self._read(ids, self.lengths[:, None], self._seen[:, None, :])[:, 0]
        self.lengths = self.lengths + 1

    def keep(self, rows: Sequence[int]) -> None:
        """Leaves these rows only, in this order."""
        import torch

        chosen = torch.tensor(rows, device=self._device)
        self._cache.batch_select_indices(chosen)
        self.lengths, self.last = self.lengths[chosen], self.last[chosen]
        self.hidden, self._seen = self.hidden[chosen], self._seen[chosen]

    def _read(self, ids: Tensor, positions: Tensor, sees: Tensor) -> Tensor:
        """One pass behind the cache: ids (B, n), positions (B, n), sees (B, n, all) bool to hidden (B, n, d)."""
        import torch

        mask = torch.zeros(sees.shape, dtype=self._dtype, device=self._device)
        mask.masked_fill_(~sees, torch.finfo(self._dtype).min)
        return self._decoder.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask[:, None],
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state


def padded(rows: Sequence[Sequence[int]], device: Any = None) -> tuple[Tensor, Tensor]:
    """Rows of ids as (B, longest) int64, zeros at the right, and their lengths (B,) int64."""
    import torch

    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids.to(device), lengths.to(device)


def buckets(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of like lengths in batches of at most `tokens` tokens, padding counted; a longer row is alone."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        widest = lengths[batches[-1][0]] if batches else 0
        # Rows are given longest first, so that the first of a batch is its width.
        if not batches or widest * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
