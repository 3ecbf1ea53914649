"""Passes of a decoder that share a prefix: its keys and values are computed once, questions branch off from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domains.genomics.scoring.reading import read_tokens

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

    @property
    def is_path(self) -> bool:
        """Whether each token sees all before it, as without branches."""
        return all(parent == place - 1 for place, parent in enumerate(self.parents))

    def sight(self) -> Tensor:
        """Which token sees which, (n, n) bool."""
        import torch

        sight = torch.eye(len(self.tokens), dtype=torch.bool)
        for place, parent in enumerate(self.parents):
            if parent >= 0:
                sight[place] |= sight[parent]
        return sight


@dataclass(frozen=True)
class Continuation:
    """Tokens that go on from the beginning of a prefix.

    Attributes:
        source: the prefix.
        start: how many of its tokens come before, at least one.
        tokens: ids, maybe none.
    """

    source: int
    start: int
    tokens: Sequence[int]


class Prefixes:
    """A batch of prefixes that a decoder has read, right-padded.

    Attributes:
        lengths: (B,) int64, tokens of each row that count so far.
        first: the first token with a hidden state.
        last: (B, d), the hidden state of each row's last token, after the final norm.
        hidden: (B, T - first, d), the hidden states of the rows as they were read, padding included.
        branches: (B, n, d), those of the tree's tokens behind every row.
    """

    def __init__(
        self,
        decoder: Any,
        rows: Sequence[Sequence[int]],
        *,
        tree: TokenTree | None = None,
        keep: bool = True,
        first: int | None = None,
    ):
        """Reads the rows.

        Args:
            decoder: a causal decoder of transformers with rotary positions (Llama, OLMo).
            rows: ids, none empty.
            tree: tokens that branch off from the end of every row, read in the same pass.
            keep: hold keys and values; without them nothing can go on from the rows.
            first: of the rows' tokens before this one, from 0 on, no hidden state is asked for; None asks for each
                row's last only. It is lowered to the end of the shortest row.
        """
        import torch
        from transformers import DynamicCache

        self._decoder = decoder
        parameter = next(decoder.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._cache: Any = DynamicCache(config=decoder.config) if keep else None
        shortest = min(map(len, rows)) - 1
        self.first = shortest if first is None else min(first, shortest)
        starts = [0] * len(rows)
        self.hidden, self.branches = self._lines(rows, starts, tree or TokenTree(), self._cache, 0, self.first)
        self.lengths = torch.tensor([len(row) for row in rows], device=self._device)
        self.last = self.hidden[torch.arange(len(rows), device=self._device), self.lengths - 1 - self.first]
        # Neither padding nor the tree is seen by what goes on from the rows.
        width = self.first + self.hidden.shape[1]
        self._seen = torch.arange(width, device=self._device) < self.lengths[:, None]

    def follow(self, lines: Sequence[Continuation], tree: TokenTree | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states of continuations (N, T, d), padding included, and of a tree's tokens behind each (N, n, d).

        One pass; the prefixes stay as they are, and any number of continuations may share one.
        """
        import torch
        from transformers import DynamicCache

        held = max(line.start for line in lines)
        sources = torch.tensor([line.source for line in lines], device=self._device)
        cache = DynamicCache(config=self._decoder.config)
        for index, layer in enumerate(self._cache.layers):
            cache.update(layer.keys[:, :, :held][sources], layer.values[:, :, :held][sources], index)
        starts = [line.start for line in lines]
        return self._lines([line.tokens for line in lines], starts, tree or TokenTree(), cache, held)

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

    def _lines(
        self,
        rows: Sequence[Sequence[int]],
        starts: Sequence[int],
        tree: TokenTree,
        cache: Any,
        held: int,
        first: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """One pass over rows, each with the tree at its end, behind the first `starts` of `held` cached tokens.

        Hidden states are those of the tokens from `first` on, which no row ends before.
        """
        import torch

        count, batch = len(tree.tokens), len(rows)
        ids, _ = padded([[*row, *tree.tokens] or [0] for row in rows], self._device)
        width = ids.shape[1]
        positions = mask = None
        # Rows alone, padded at the right, are what causal attention sees anyhow.
        if held or not tree.is_path:
            positions = torch.tensor(starts)[:, None] + torch.arange(width)
            sees = torch.ones(width, held + width, dtype=torch.bool).tril(held).repeat(batch, 1, 1)
            sees[:, :, :held] = torch.arange(held) < torch.tensor(starts)[:, None, None]
            sight, depths = tree.sight(), torch.tensor(tree.depths)
            for place, row in enumerate(rows if count else ()):
                end = len(row)
                positions[place, end : end + count] = starts[place] + end + depths
                sees[place, end : end + count, held + end : held + end + count] = sight
            # Padding may stand past the positions that the decoder knows.
            positions = positions.clamp_max(int(self._decoder.config.max_position_embeddings) - 1).to(self._device)
            mask = self._mask(sees.to(self._device))
        hidden = read_tokens(self._decoder, ids, positions=positions, mask=mask, cache=cache, first=first)
        ends = torch.tensor([len(row) - first for row in rows], device=self._device)[:, None]
        nodes = torch.arange(count, device=self._device)
        return hidden, hidden[torch.arange(batch, device=self._device)[:, None], ends + nodes]

    def _mask(self, sees: Tensor) -> Tensor:
        """(B, n, all) bool to (B, 1, n, all), added to the attention: the type's least where a token may not look."""
        import torch

        mask = torch.zeros(sees.shape, dtype=self._dtype, device=self._device)
        return mask.masked_fill_(~sees, torch.finfo(self._dtype).min)[:, None]

    def _read(self, ids: Tensor, positions: Tensor, sees: Tensor) -> Tensor:
        """One pass behind the cache: ids (B, n), positions (B, n), sees (B, n, all) bool to hidden (B, n, d)."""
        return read_tokens(self._decoder, ids, positions=positions, mask=self._mask(sees), cache=self._cache)


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
