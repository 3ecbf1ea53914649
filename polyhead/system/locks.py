"""Locks between processes: a file that one process holds, and that the system frees when the process ends."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

logger = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
"""What file systems without locks say (some network file systems)."""


def take_lock(stream: IO[bytes], *, wait: bool) -> bool:
    """Locks an open file for this process; False where another holds it and `wait` is not set.

    A file system that has no locks is told of in a warning, and counts as locked: work goes on without protection.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        logger.warning("%s lies on a file system without locks: start only one process there at a time", stream.name)
    return True


@contextmanager
def lock_file(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Holds the lock of the file `path`, made where it is missing; yields whether it was had."""
    with path.open("ab") as stream:
        yield take_lock(stream, wait=wait)


_held: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()
"""Streams whose locks this process holds."""


class HeldLock:
    """The lock of a file until `release`, the end of this object, or that of the process.

    Processes that are forked from this one do not hold it: a loader that outlives a killed training locks nobody out.
    """

    def __init__(self, stream: IO[bytes]):
        _held.add(stream)
        self._close = weakref.finalize(self, stream.close)

    @classmethod
    def take(cls, path: Path) -> HeldLock | None:
        """Locks the file `path`, made where it is missing; None where another has locked it."""
        stream = path.open("ab")
        if take_lock(stream, wait=False):
            return cls(stream)
        stream.close()
        return None

    def release(self) -> None:
        self._close()


def _let_go() -> None:
    for stream in list(_held):
        stream.close()


os.register_at_fork(after_in_child=_let_go)
