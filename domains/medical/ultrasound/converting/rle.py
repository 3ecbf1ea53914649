"""COCO's run-length encoding of masks: columns one after the other, runs of 0 and 1 in turn, 0 first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def counts_of(text: str) -> list[int]:
    """The run lengths of a compressed string.

    A number has 5 bits a character from 48 on, the lowest first, bit 6 where more follow, and a sign; from the fourth
    on it is the difference to the last but one.

    Raises:
        ValueError: no such string.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} is no character of a run-length encoding")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the run-length encoding breaks off")
    return counts


def decode(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """The mask, bool (H, W), of run lengths or of their compressed string.

    Raises:
        ValueError: the runs do not fill the picture.
    """
    runs = counts_of(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"its runs do not fill {width} x {height} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T
