"""Windows along a contig, and what overlapping windows say about a base together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Scored = tuple[int, int, Any]
"""start, end (0-based, half-open) and the score: a number, or an array of one number a task."""


def windows(length: int, size: int, stride: int, *, keep_last: bool = True) -> Iterator[tuple[int, int]]:
    """Half-open windows [start, end) of `size` bases, `stride` apart, in order.

    With `keep_last` the bases after the last full window get one more window that ends with the contig: as long as the
    others where the contig is long enough, and the whole contig where it is shorter than a window. Without it they are
    left out. A stride larger than the size leaves gaps, as asked.

    Raises:
        ValueError: a negative length, or a size or stride below 1.
    """
    if length < 0 or size < 1 or stride < 1:
        raise ValueError(f"windows of size {size} every {stride} on {length} bases: size and stride are at least 1")
    return _windows(length, size, stride, keep_last)


def _windows(length: int, size: int, stride: int, keep_last: bool) -> Iterator[tuple[int, int]]:
    end = 0
    for start in range(0, length - size + 1, stride):
        end = start + size
        yield start, end
    if keep_last and end < length:
        yield max(0, length - size), length


def merge_scores(scored: Iterable[Scored]) -> Iterator[Scored]:
    """The mean over all windows that cover a base, as runs of bases that the same windows cover.

    Windows come sorted by start; runs come out in order and never overlap, bases that no window covers are left out.
    Only the windows that overlap are held, so a whole chromosome streams through.

    Raises:
        ValueError: windows that are empty or not sorted.
    """
    active: deque[Scored] = deque()
    place = 0
    for start, end, score in scored:
        if end <= start:
            raise ValueError(f"the window {start}-{end} is empty")
        if start < place:
            raise ValueError(f"windows must be sorted by start: {start} comes after {place}")
        yield from _runs(active, place, start)
        place = start
        active.append((start, end, score))
    yield from _runs(active, place, None)


def _runs(active: deque[Scored], place: int, until: int | None) -> Iterator[Scored]:
    """Runs from `place` up to `until`; windows that end on the way are dropped from `active`."""
    while active and (until is None or place < until):
        end = min(window[1] for window in active)
        stop = end if until is None else min(end, until)
        if stop > place:
            yield place, stop, sum(window[2] for window in active) / len(active)
        place = stop
        for _ in range(len(active)):
            window = active.popleft()
            if window[1] > place:
                active.append(window)


def per_base(runs: Iterable[Scored], length: int) -> np.ndarray:
    """(length,) float64: the score of each base, NaN where no run lies; `runs` of plain numbers."""
    import numpy as np

    values = np.full(length, np.nan)
    for start, end, score in runs:
        values[start:end] = score
    return values
