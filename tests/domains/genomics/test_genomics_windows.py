"""Windows and their merged scores: closed forms, and a loop over bases as oracle."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.genomics.sequences.windows import merge_scores, per_base, windows


def test_windows_by_hand():
    assert list(windows(10, 4, 3)) == [(0, 4), (3, 7), (6, 10)]
    assert list(windows(11, 4, 3)) == [(0, 4), (3, 7), (6, 10), (7, 11)]
    assert list(windows(11, 4, 3, keep_last=False)) == [(0, 4), (3, 7), (6, 10)]
    assert list(windows(3, 4, 1)) == [(0, 3)]
    assert list(windows(3, 4, 1, keep_last=False)) == list(windows(0, 4, 1)) == []
    assert list(windows(10, 2, 5)) == [(0, 2), (5, 7), (8, 10)]


@pytest.mark.parametrize(("length", "size", "stride"), [(-1, 2, 1), (5, 0, 1), (5, 2, 0)])
def test_windows_that_cannot_be(length, size, stride):
    with pytest.raises(ValueError, match="at least 1"):
        windows(length, size, stride)


@given(st.integers(0, 200), st.integers(1, 30), st.integers(1, 30))
def test_windows_cover_every_base_where_stride_is_at_most_size(length, size, stride):
    spans = list(windows(length, size, stride))
    assert spans == sorted(spans)
    assert all(end - start == min(size, length) for start, end in spans)
    covered = np.zeros(length, dtype=int)
    for start, end in spans:
        covered[start:end] += 1
    if stride <= size:
        assert covered.all()
    if length:
        assert covered[-1]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15), st.integers(-5, 5)), max_size=12))
def test_merged_scores_are_the_mean_of_each_base(drawn):
    scored = sorted((start, start + size, float(score)) for start, size, score in drawn)
    total, count = np.zeros(60), np.zeros(60)
    for start, end, score in scored:
        total[start:end] += score
        count[start:end] += 1
    expected = np.divide(total, count, out=np.full(60, np.nan), where=count > 0)
    runs = list(merge_scores(scored))
    np.testing.assert_allclose(per_base(runs, 60), expected)
    assert all(before[1] <= after[0] for before, after in pairwise(runs))
    assert all(start < end for start, end, _ in runs)


def test_scores_of_several_tasks_and_bad_windows():
    merged = list(merge_scores([(0, 2, np.array([1.0, 0.0])), (1, 3, np.array([3.0, 1.0]))]))
    assert [run[:2] for run in merged] == [(0, 1), (1, 2), (2, 3)]
    np.testing.assert_allclose(merged[1][2], [2.0, 0.5])
    with pytest.raises(ValueError, match="sorted by start: 0 comes after 5"):
        list(merge_scores([(5, 6, 1.0), (0, 1, 1.0)]))
    with pytest.raises(ValueError, match="empty"):
        list(merge_scores([(5, 5, 1.0)]))


def test_runs_come_as_soon_as_no_later_window_can_change_them():
    def endless():
        start = 0
        while True:
            yield start, start + 4, float(start)
            start += 2

    runs = merge_scores(endless())
    assert [next(runs) for _ in range(3)] == [(0, 2, 0.0), (2, 4, 1.0), (4, 6, 3.0)]
