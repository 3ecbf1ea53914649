"""The states of files: size, time and inode, which say without reading that a file was not touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

_MARGIN_NS = 50_000_000
_COARSE_MARGIN_NS = 2_000_000_000


def state_of(files: Mapping[str, Path]) -> str:
    """One word for the sizes, times and inodes of named files; a file that cannot be looked at is an `OSError`."""
    return _digest({name: file.stat() for name, file in files.items()})


def settled_state(files: Mapping[str, Path], now: int) -> str | None:
    """`state_of` files whose content is taken from `now` on, or None where it could not show a later change.

    Clocks of file systems go in ticks: what is written in the tick of the last change has the same state. So a file
    counts only when its last change lies well before `now` (nanoseconds since 1970).
    """
    stats = {name: file.stat() for name, file in files.items()}
    for stat in stats.values():
        # A time of whole seconds is that of a file system that knows no finer one.
        margin = _MARGIN_NS if stat.st_mtime_ns % 1_000_000_000 else _COARSE_MARGIN_NS
        if stat.st_mtime_ns + margin >= now:
            return None
    return _digest(stats)


def _digest(stats: Mapping[str, os.stat_result]) -> str:
    told = [[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats.items()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
