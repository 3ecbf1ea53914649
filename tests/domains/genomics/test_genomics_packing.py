"""Packing: rows that fit, first fit by its definition, and batches in the samples' order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domains.genomics.models.packing import Sample, next_tokens, pack, packed_batch


def first_fit(lengths, capacity):
    """First fit decreasing by its definition."""
    rows = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        fits = [row for row in rows if sum(lengths[i] for i in row) + lengths[index] <= capacity]
        if fits:
            fits[0].append(index)
        else:
            rows.append([index])
    return rows


@given(st.lists(st.integers(1, 20), max_size=60))
def test_packing_is_first_fit_decreasing(lengths):
    rows = pack(lengths, 20)
    assert rows == first_fit(lengths, 20)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    # Two rows that are at most half full would have been one.
    assert len(rows) <= 2 * sum(lengths) / 20 + 1


def test_packing_by_example():
    assert pack([4, 8, 1, 4, 2, 1], 10) == [[1, 4], [0, 3, 2, 5]]
    assert pack([], 10) == []
    with pytest.raises(ValueError, match="sample 1 has 11 tokens; a row takes 1 to 10"):
        pack([3, 11], 10)
    with pytest.raises(ValueError, match="sample 0 has 0 tokens"):
        pack([0], 10)


SAMPLES = [
    Sample([1, 9, 4], asked=[2], last=1),
    Sample([1, 5, 6, 7, 8, 4, 20, 21], asked=[5, 6], last=4),
    Sample([1, 7, 7, 4, 22], asked=[3], last=2),
]


def test_a_packed_batch():
    batch = packed_batch(SAMPLES, 8)
    assert {name: tensor.dtype for name, tensor in batch.items()} == dict.fromkeys(batch, torch.int64)
    assert batch["ids"].tolist() == [[1, 5, 6, 7, 8, 4, 20, 21], [1, 7, 7, 4, 22, 1, 9, 4]]
    assert batch["positions"].tolist() == [list(range(8)), [0, 1, 2, 3, 4, 0, 1, 2]]
    assert batch["segments"].tolist() == [[1] * 8, [1, 1, 1, 1, 1, 2, 2, 2]]
    assert batch["answers"].tolist() == [[1, 7], [0, 5], [0, 6], [1, 3]]
    assert batch["last"].tolist() == [[1, 6], [0, 4], [1, 2]]


def test_a_padded_batch():
    batch = packed_batch(SAMPLES, None)
    assert batch["ids"].tolist()[0] == [1, 9, 4, 3, 3, 3, 3, 3]
    assert batch["segments"].tolist()[2] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert batch["answers"].tolist() == [[0, 2], [1, 5], [1, 6], [2, 3]]
    assert batch["last"].tolist() == [[0, 1], [1, 4], [2, 2]]


@pytest.mark.parametrize("capacity", [8, 16, None])
def test_the_next_tokens_are_those_of_the_sample(capacity):
    assert next_tokens(packed_batch(SAMPLES[1:], capacity)).tolist() == [20, 21, 22]
    # The first sample ends where its answer is asked; in a row the token behind it is another sample's.
    with pytest.raises(ValueError, match="at the end of a sample"):
        next_tokens(packed_batch(SAMPLES, capacity))


def test_samples_of_arrays_and_without_places():
    batch = packed_batch([Sample(np.array([1, 5, 6], dtype=np.int32))], 4)
    assert batch["ids"].tolist() == [[1, 5, 6]] and batch["answers"].shape == (0, 2) and "last" not in batch


def test_places_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="place 3 is not in sample 0, which has 3 tokens"):
        packed_batch([Sample([1, 5, 4], asked=[3])], 8)
    with pytest.raises(ValueError, match="place -1 is not in sample 0"):
        packed_batch([Sample([1, 5, 4], last=-1)], None)
    with pytest.raises(ValueError, match="some samples name their last DNA token"):
        packed_batch([Sample([1, 5], last=1), Sample([1, 5])], 8)
    with pytest.raises(ValueError, match="at least one sample"):
        packed_batch([], None)
    with pytest.raises(ValueError, match="sample 0 has 0 tokens"):
        packed_batch([Sample([])], None)
