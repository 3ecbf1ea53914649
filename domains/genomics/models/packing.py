"""Samples as rows of tokens: one a row with padding, or several after one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from domains.genomics.models.family import PAD_ID


@dataclass(frozen=True)
class Sample:
    """The tokens of one sample.

    Attributes:
        ids: its tokens, [CLS] and answer included where it has them.
        answers: places in `ids` whose next token is asked, ascending.
        last: place of the last DNA token, None where nothing reads it. In a batch all samples have one, or none.
    """

    ids: Sequence[int]
    answers: Sequence[int] = ()
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


def packed_batch(samples: Sequence[Sample], capacity: int) -> dict[str, Tensor]:
    """Inputs of `DnaBackbone` with samples packed into rows of at most `capacity` tokens.

    `answers` and `last` are in the order of the samples, whatever row these are in. Rows are as long as the fullest.

    Raises:
        ValueError: a sample that is empty or longer than `capacity`, or whose places are not in it.
    """
    return _batch(samples, pack([len(sample.ids) for sample in samples], capacity))


def padded_batch(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Inputs of `DnaBackbone` with one sample a row, padded on the right to the longest."""
    longest = max((len(sample.ids) for sample in samples), default=0)
    pack([len(sample.ids) for sample in samples], longest)
    return _batch(samples, [[index] for index in range(len(samples))])


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


def _batch(samples: Sequence[Sample], rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    if not samples:
        raise ValueError("a batch needs at least one sample")
    with_last = [sample.last is not None for sample in samples]
    if any(with_last) and not all(with_last):
        raise ValueError("some samples name their last DNA token and some do not")
    width = max(sum(len(samples[index].ids) for index in row) for row in rows)
    ids = np.full((len(rows), width), PAD_ID, dtype=np.int64)
    positions, segments = np.zeros_like(ids), np.zeros_like(ids)
    places = np.zeros((len(samples), 2), dtype=np.int64)
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
    answers = [
        _place(samples, places, index, asked) for index in range(len(samples)) for asked in samples[index].answers
    ]
    batch = {"ids": ids, "positions": positions, "segments": segments, "answers": np.array(answers).reshape(-1, 2)}
    if all(with_last):
        batch["last"] = np.array([_place(samples, places, i, int(s.last or 0)) for i, s in enumerate(samples)])
    return {name: torch.from_numpy(array.astype(np.int64)) for name, array in batch.items()}


def _place(samples: Sequence[Sample], places: np.ndarray, index: int, column: int) -> tuple[int, int]:
    if not 0 <= column < len(samples[index].ids):
        raise ValueError(f"place {column} is not in sample {index}, which has {len(samples[index].ids)} tokens")
    row, start = places[index]
    return int(row), int(start) + column
