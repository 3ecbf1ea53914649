"""Ids of cases: relative paths that are unique and whose folders do not hold one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import PurePosixPath


def unique_ids(names: Sequence[tuple[str, str]]) -> list[str]:
    """An id for each (short, long) name: the short one where it is unambiguous, else the long one, else numbered.

    A short name is ambiguous where another input has it too, or where it is a folder of another's name: a case's
    folder must not hold the folders of others.
    """
    often = Counter(short for short, _ in names)
    folders = {folder.as_posix() for short in often for folder in PurePosixPath(short).parents}
    taken: set[str] = set()
    ids = []
    for short, long in names:
        name = long if often[short] > 1 or short in folders else short
        free = next(each for k in count(1) if (each := f"{name}~{k}" if k > 1 else name) not in taken)
        taken.add(free)
        ids.append(free)
    return ids


def inside(name: str) -> PurePosixPath:
    """A relative POSIX path that cannot leave its folder: ``..``, ``.`` and roots are left out of the name."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("..", ".", "/")]
    return PurePosixPath(*parts) if parts else PurePosixPath("input")
