"""What lies in a folder and below: each folder entered once, hidden things left out, and a word on all the rest."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyhead.batch.naming import suffix_of
from polyhead.system.folders import holds_results

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
    for name, files in _walk(folder, passed, entered, folder_is_case, with_results):
        if files is None:
            yield name
            continue
        for entry, is_file in files:
            inner = f"{name}/{entry.name}" if name else entry.name
            if is_file and is_input(folder / inner):
                yield inner
            else:
                passed.add(inner)


def match(folder: Path, parts: Sequence[str], passed: PassedOver) -> Iterator[Path]:
    """The files and folders below `folder` that the parts of a glob match; ``**`` enters each folder once.

    Hidden ones are matched by parts that begin with a dot, or that have no wildcard.
    """
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        # What it matches at an end is all below.
        names = [name for name, _ in _walk(folder, passed, set(), None, True)] if rest else [""]
        for name in names:
            yield from match(folder / name, rest, passed)
    elif not glob.has_magic(part):
        if os.path.lexists(folder / part):
            yield from match(folder / part, rest, passed)
    elif folder.is_dir():
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError as refused:
            passed.folders.append((folder, f"cannot be entered ({refused.strerror or refused})"))
            return
        for name in fnmatch.filter(names, part):
            if rest and holds_results(folder / name):
                passed.folders.append((folder / name, "holds the results of a batch; they are no inputs"))
            elif (part.startswith(".") or not is_hidden(name)) and (not rest or (folder / name).is_dir()):
                yield from match(folder / name, rest, passed)


_Files = list[tuple["os.DirEntry[str]", bool]]


def _walk(
    folder: Path, passed: PassedOver, entered: set[str], stops: IsInput | None, with_results: bool
) -> Iterator[tuple[str, _Files | None]]:
    """Names of the folders, with their entries that are no folders, and whether they are files; None where it stops."""
    waiting = deque([("", os.path.realpath(folder))])
    links: deque[str] = deque()
    top = Path(os.path.realpath(folder))
    while waiting or links:
        linked = not waiting
        name, place = waiting.popleft() if waiting else (links[0], os.path.realpath(folder / links.popleft()))
        if place in entered:
            continue
        entered.add(place)
        here = folder / name
        if linked and (results := _results_around(Path(place), top)) is not None:
            passed.folders.append(
                (here, f"leads into {results}, which holds the results of a batch; they are no inputs")
            )
            continue
        if (name or not with_results) and holds_results(here):
            passed.folders.append((here, "holds the results of a batch; they are no inputs"))
            continue
        if stops is not None and stops(here):
            yield name, None
            continue
        try:
            with os.scandir(here) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError as refused:
            passed.folders.append((here, f"cannot be entered ({refused.strerror or refused})"))
            continue
        files: _Files = []
        for entry in entries:
            kind = "hidden" if is_hidden(entry.name) else _kind(entry)
            inner = f"{name}/{entry.name}" if name else entry.name
            if kind == "folder" and entry.is_symlink():
                links.append(inner)
            elif kind == "folder":
                waiting.append((inner, os.path.join(place, entry.name)))  # noqa: PTH118 - real paths are strings here
            elif kind != "hidden":
                files.append((entry, kind == "file"))
        yield name, files


def _results_around(place: Path, top: Path) -> Path | None:
    """The folder of results that `place` lies in, and `top`, from where it was reached, does not."""
    return next((each for each in place.parents if not top.is_relative_to(each) and holds_results(each)), None)


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or (entry.is_symlink() and not Path(entry).exists()) else "neither"
    except OSError:
        # A link that leads to itself; reading it says so.
        return "file"
