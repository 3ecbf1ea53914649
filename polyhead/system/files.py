"""Files that are whole or absent: a temporary name beside the file, fsync, rename; and what a file holds, as a hash."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyhead.system.disk import at_place

TEMPORARY = ".polyhead-tmp-"
"""How the names of unfinished files begin."""

_serial = itertools.count()


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other file has; it ends like `path`, for libraries that go by suffixes."""
    # Names may be as long as the file system bears, so only the end is kept.
    return path.parent / f"{TEMPORARY}{os.getpid()}-{next(_serial)}-{path.name[-40:]}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; after the block it is synced and takes the place of `path`.

    The file is there already, empty, with the permissions of a file that the user makes. Where the block fails it is
    removed, and `path` stays as it was.
    """
    temporary = temporary_beside(path)
    try:
        # Opened so, and not made by `tempfile`, the file has the permissions that the umask leaves.
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        with at_place(path):
            yield temporary
            sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Replaces `path` by `data`, or leaves it as it was; the parent folder must exist."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def sync_file(path: Path) -> None:
    """Makes what was written to a file durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Makes renames in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep_temporaries(folder: Path) -> int:
    """Removes the temporary files that a killed process left directly in `folder`; returns how many."""
    if not folder.is_dir():
        return 0
    orphans = list(folder.glob(f"{TEMPORARY}*"))
    for orphan in orphans:
        orphan.unlink(missing_ok=True)
    return len(orphans)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
