"""Samples as rows of tokens: one a row with padding, or several after one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from domains.genomics.models.family import PAD_ID


class TokenRow(Protocol):
    """What a batch needs of a sample; `domains.genomics.answers.format.Example` has it."""

    @property
    def ids(self) -> Sequence[int]: ...

    @property
    def asked(self) -> Sequence[int]: ...

    @property
    def last(self) -> int | None: ...


@dataclass(frozen=True)
class Sample:
    """The tokens of one sample.

    Attributes:
        ids: its tokens, [CLS] and answer included where it has them.
        asked: places in `ids` whose next token is asked, ascending.
        last: place of the last DNA token, None where nothing reads it. In a batch all samples have one, or none.
    """

    ids: Sequence[int]
    asked: Sequence[int] = ()
    last: int | None = None


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Puts samples into rows of `capacity` tokens: first fit, longest first, ties in their order.

    Returns:
        For each row the indices of its samples. First fit decreasing takes at most 11/9 of the fewest rows, and 2/3 of
        a row (Dósa 2007).

    Raises:
        ValueError: a length below 1 or above `capacity`.
    """
    for index, length in enumerate(lengths):
        if not 1 <= length <= capacity:
            raise ValueError(f"sample {index} has {length} tokens; a row takes 1 to {capacity}")
    rows: list[list[int]] = []
    room: list[int] = []
    previous, row = 0, 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        if length != previous:
            previous, row = length, 0
        # Rows that had no room for this length before have none now.
        while row < len(rows) and room[row] < length:
            row += 1
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(index)
        room[row] -= length
    return rows


def packed_batch(samples: Sequence[TokenRow], capacity: int | None) -> dict[str, Tensor]:
    """Inputs of `DnaBackbone` with samples packed into rows of at most `capacity` tokens.

    `answers` and `last` are in the order of the samples, whatever row these are in; `last` is left out where the
    samples name none. Rows are as long as the fullest. With a capacity of None each sample has its own row, padded on
    the right to the longest.

    Raises:
        ValueError: no sample, one that is empty or longer than `capacity`, or whose places are not in it.
    """
    lengths = [len(sample.ids) for sample in samples]
    rows = pack(lengths, capacity if capacity is not None else max(lengths, default=1))
    return _batch(samples, rows if capacity is not None else [[index] for index in range(len(samples))])


def next_tokens(inputs: Mapping[str, Tensor]) -> Tensor:
    """The tokens that follow the places of `answers`, (N,) int64: what the answers should have been.

    Raises:
        ValueError: a place at the end of its sample, which nothing follows.
    """
    rows, columns = inputs["answers"].unbind(1)
    segments, following = inputs["segments"], columns + 1
    inside = following < segments.shape[1]
    within = following.clamp(max=segments.shape[1] - 1)
    if not bool((inside & (segments[rows, within] == segments[rows, columns])).all()):
        raise ValueError("an answer is asked at the end of a sample, where no token follows")
    return inputs["ids"][rows, following]


def _batch(samples: Sequence[TokenRow], rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    if not samples:
        raise ValueError("a batch needs at least one sample")
    with_last = [sample.last is not None for sample in samples]
    if any(with_last) and not all(with_last):
        raise ValueError("some samples name their last DNA token and some do not")
    width = max(sum(len(samples[index].ids) for index in row) for row in rows)
    ids = np.full((len(rows), width), PAD_ID, dtype=np.int64)
    positions, segments = np.zeros_like(ids), np.zeros_like(ids)
    places = np.zeros((len(samples), 2), dtype=np.int64)  # row and column where each sample starts
    for number, row in enumerate(rows):
        start = 0
        for segment, index in enumerate(row, start=1):
            sample = samples[index].ids
            end = start + len(sample)
            ids[number, start:end] = sample
            positions[number, start:end] = np.arange(len(sample))
            segments[number, start:end] = segment
            places[index] = number, start
            start = end
    asked = [_places(sample.asked, index, samples, places) for index, sample in enumerate(samples)]
    batch = {"ids": ids, "positions": positions, "segments": segments, "answers": np.concatenate(asked)}
    if all(with_last):
        last = [_places([sample.last or 0], index, samples, places) for index, sample in enumerate(samples)]
        batch["last"] = np.concatenate(last)
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def _places(columns: Sequence[int], index: int, samples: Sequence[TokenRow], starts: np.ndarray) -> np.ndarray:
    """Places in a sample as rows and columns of the batch, (n, 2) int64."""
    found = np.asarray(columns, dtype=np.int64).reshape(-1)
    length = len(samples[index].ids)
    for column in found[(found < 0) | (found >= length)]:
        raise ValueError(f"place {column} is not in sample {index}, which has {length} tokens")
    row, start = starts[index]
    return np.stack([np.full_like(found, row), start + found], axis=1)
