"""Places without room: how errors that say so are known, and how they come to name the place."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a file system says that takes no more, whatever is written."""

_TOLD = re.compile(r"\(os error (\d+)\)|errno = (\d+)")


def no_room(error: BaseException) -> OSError | None:
    """What of `error`, or of what it came from, says that a place takes no more; None where nothing does.

    Libraries in Rust (safetensors) and HDF5 say so in words alone.
    """
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in FULL:
            return each
        if (told := _TOLD.search(str(each))) and (number := int(told[1] or told[2])) in FULL:
            return OSError(number, os.strerror(number))
        each = each.__cause__ or each.__context__
    return None


@contextmanager
def at_place(path: Path) -> Iterator[None]:
    """Lets errors of the block that say that there is no room, and not where, be an `OSError` that names `path`.

    What a write to an open file raises names no file.
    """
    try:
        yield
    except Exception as error:
        full = no_room(error)
        if full is None or full.filename is not None:
            raise
        raise OSError(full.errno, full.strerror, str(path)) from error


def free_bytes(path: Path) -> int:
    """What this user may still write where `path` lies, or will lie."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize


def as_size(count: float) -> str:
    """A number of bytes for people: powers of 1,000, two digits and more.

    >>> as_size(87_000_000_000), as_size(1_250_000), as_size(999)
    ('87 GB', '1.2 MB', '999 bytes')
    """
    for exponent, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        value = count / 10**exponent
        if value >= 1:
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{count:.0f} bytes"
