"""What lies in a folder and below: each folder entered once, hidden things left out, and a word on all the rest."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from polyhead.batch.folder import STATE
from polyhead.batch.naming import suffix_of

IsInput = Callable[[Path], bool]

NAMES_TOLD = 3
KINDS_TOLD = 6

_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's input: dot files and what systems leave in folders."""
    return name.startswith(".") or name.lower() in _JUNK


@dataclass
class PassedOver:
    """What was seen and is no input: numbers and the first names of files by suffix, and folders with a reason."""

    files: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    folders: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Counts a file."""
        suffix = suffix_of(name).lower()
        self.counts[suffix] = self.counts.get(suffix, 0) + 1
        names = self.files.setdefault(suffix, [])
        if len(names) < NAMES_TOLD:
            names.append(name)

    def lines(self) -> list[str]:
        """A line for the files together, and one for each folder.

        >>> passed = PassedOver()
        >>> for name in ("a.md", "run.sh", "b.md", "Makefile"):
        ...     passed.add(name)
        >>> passed.lines()
        ['passed over 4 files: 2 .md (a.md, b.md), 1 .sh (run.sh), 1 without a suffix (Makefile)']
        """
        total = sum(self.counts.values())
        kinds = sorted(self.counts, key=lambda suffix: (-self.counts[suffix], not suffix, suffix))
        told = [
            f"{self.counts[suffix]} {suffix or 'without a suffix'} ({', '.join(self.files[suffix])}"
            f"{', ...' if self.counts[suffix] > NAMES_TOLD else ''})"
            for suffix in kinds[:KINDS_TOLD]
        ]
        rest = sum(self.counts[suffix] for suffix in kinds[KINDS_TOLD:])
        told += [f"{rest} others"] if rest else []
        files = [f"passed over {total} file{'s' if total > 1 else ''}: {', '.join(told)}"] if total else []
        return files + [f"{folder} {reason}" for folder, reason in self.folders]


def search(
    folder: Path,
    is_input: IsInput,
    passed: PassedOver,
    *,
    folder_is_case: IsInput | None = None,
    entered: set[str] | None = None,
    with_results: bool = True,
) -> Iterator[str]:
    """Relative POSIX names of the inputs in `folder` and below; ``""`` is the folder itself, where it is a case.

    Links are followed after all that is no link, so that a thing has the name of the place where it lies. Links that
    lead nowhere are files; pipes and devices are none. Folders below that hold results of a batch are passed over.

    Args:
        is_input: whether a file is wanted; asked once of each file.
        passed: gets what is passed over.
        folder_is_case: whether a folder is one input by itself; nothing below it is looked at.
        entered: real paths of the folders that are not entered again; gets those that are entered.
        with_results: `folder` itself may hold results: they are what is asked for.
    """
    entered = set() if entered is None else entered
    waiting = deque([("", os.path.realpath(folder))])
    links: deque[str] = deque()
    while waiting or links:
        name, place = waiting.popleft() if waiting else (links[0], os.path.realpath(folder / links.popleft()))
        if place in entered:
            continue
        entered.add(place)
        here = folder / name
        if folder_is_case is not None and folder_is_case(here):
            yield name
            continue
        try:
            with os.scandir(here) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError as refused:
            passed.folders.append((here, f"cannot be entered ({refused.strerror or refused})"))
            continue
        if (name or not with_results) and any(entry.name == STATE for entry in entries):
            passed.folders.append((here, "holds the results of a batch; they are no inputs"))
            continue
        for entry in entries:
            if is_hidden(entry.name):
                continue
            inner = f"{name}/{entry.name}" if name else entry.name
            kind = _kind(entry)
            if kind == "folder" and not entry.is_symlink():
                waiting.append((inner, os.path.join(place, entry.name)))  # noqa: PTH118 - real paths are strings here
            elif kind == "folder":
                links.append(inner)
            elif kind == "file" and is_input(here / entry.name):
                yield inner
            else:
                passed.add(inner)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or (entry.is_symlink() and not os.path.exists(entry)) else "neither"
    except OSError:
        # A link that leads to itself; reading it says so.
        return "file"
