"""Regular files and what is none: pipes, devices and sockets are told apart before anybody waits for them."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

HOLLOW_FROM = 1 << 32
"""Files of fewer bytes are read whatever they hold."""
HOLLOW_SHARE = 0.01


class NotRegular(OSError):
    """What is opened is no regular file; `strerror` says what it is."""

    def __init__(self, path: str | Path, kind: str):
        super().__init__(errno.EINVAL, f"{kind}, no regular file", str(path))


class Hollow(OSError):
    """A file that claims to be large and holds next to nothing but holes."""

    def __init__(self, path: str | Path, size: int, held: int):
        super().__init__(errno.EFBIG, f"it claims {size:,} bytes and holds {held:,}", str(path))


def require_regular(path: str | Path) -> None:
    """Raises `NotRegular`, or the `OSError` of what cannot be looked at; links are followed, nothing is opened."""
    _require(path, os.stat(path))  # noqa: PTH116 - as `open`, whatever is given


def open_regular(path: str | Path) -> BufferedReader:
    """Opens a regular file to be read, and never waits for the other end of a pipe.

    Raises:
        NotRegular: a folder, pipe, device or socket, or a link to one; also where one was put there in between.
        Hollow: of `HOLLOW_FROM` bytes or more, and less than `HOLLOW_SHARE` of them on the disk.
        OSError: it cannot be opened.
    """
    require_regular(path)
    # Without waiting: a pipe may have taken the place of the file by now.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        state = os.fstat(descriptor)
        _require(path, state)
        if state.st_size >= HOLLOW_FROM and (held := _held(descriptor, state.st_size)) < HOLLOW_SHARE * state.st_size:
            raise Hollow(path, state.st_size, held)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _require(path: str | Path, state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise NotRegular(path, _KINDS.get(stat.S_IFMT(state.st_mode), "something else"))


def _held(descriptor: int, size: int) -> int:
    """Bytes that are no holes, counted until they are enough; all where the file system does not tell."""
    if not hasattr(os, "SEEK_DATA"):
        return size
    held = place = 0
    try:
        while place < size and held < HOLLOW_SHARE * size:
            start = os.lseek(descriptor, place, os.SEEK_DATA)
            place = os.lseek(descriptor, start, os.SEEK_HOLE)
            held += place - start
    except OSError as end:
        if end.errno != errno.ENXIO:  # no data behind this place
            held = size
    os.lseek(descriptor, 0, os.SEEK_SET)
    return held
