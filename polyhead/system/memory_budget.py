"""How much memory there is for this process, and a budget of it for large things that come and go."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_FALLBACK = 4 << 30
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@cache
def total_memory() -> int:
    """Bytes of memory that this process may ever have: the machine's, or what its container is allowed."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # a system without these words
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _CGROUPS:
        with suppress(OSError, ValueError):  # absent, or "max"
            found.append(int(path.read_text()))
    return min([each for each in found if each > 0], default=_FALLBACK)


class MemoryBudget:
    """Memory that large things share, counted in bytes: who takes some waits until enough of it is free again.

    A thing that is larger than all of it is let in alone.
    """

    def __init__(self, size: int):
        self.size = size
        self.taken = 0
        self._changed = threading.Condition()

    def acquire(self, size: int, waiting: Callable[[], None] = lambda: None, every: float = 0.2) -> None:
        """Takes `size` bytes as soon as they are free; calls `waiting` every now and then, which may raise."""
        with self._changed:
            while self.taken and self.taken + size > self.size:
                self._changed.wait(every)
                waiting()
            self.taken += size

    def release(self, size: int) -> None:
        """Gives `size` bytes back."""
        with self._changed:
            self.taken -= size
            self._changed.notify_all()

    def release_with(self, thing: Any, size: int) -> None:
        """Gives `size` bytes back once nobody holds `thing` any more."""
        weakref.finalize(thing, self.release, size).atexit = False
