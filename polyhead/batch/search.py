"""What lies in a folder and below: each folder entered once, hidden things left out, and a word on all the rest."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyhead.batch.case import Finding
from polyhead.batch.looking import Looker, at_once, found_wrong, irregular
from polyhead.batch.naming import suffix_of
from polyhead.system.folders import holds_results

IsInput = Callable[[Path], bool]
"""Whether a file is wanted, by its name or content; one that cannot be looked into is an `OSError`."""

Look = Callable[..., Any]
"""Calls what may wait for a disk or a network, as `polyhead.batch.looking.Looker` does."""

_RESULTS = "holds the results of a batch; they are no inputs"

NAMES_TOLD = 3
KINDS_TOLD = 6

_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's input: dot files and what systems leave in folders."""
    return name.startswith(".") or name.lower() in _JUNK


def _at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


@dataclass
class PassedOver:
    """What was seen and is no input: numbers and the first names of files by suffix, and folders with a reason.

    Attributes:
        refused: what cannot be looked at, so that nobody knows whether it is an input; it is given as one, which fails.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    folders: list[tuple[Path, str]] = field(default_factory=list)
    refused: dict[Path, Finding] = field(default_factory=dict)

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

    def to_json(self) -> dict[str, Any]:
        """The number of files by suffix, the commonest first, with the first names of each, and folders with reasons.

        >>> passed = PassedOver()
        >>> passed.add("a.md")
        >>> passed.to_json()
        {'files': {'.md': {'count': 1, 'first': ['a.md']}}, 'folders': {}}
        """
        kinds = sorted(self.counts, key=lambda suffix: (-self.counts[suffix], not suffix, suffix))
        files = {_printable(kind): {"count": self.counts[kind], "first": self._names(kind)} for kind in kinds}
        return {"files": files, "folders": {_printable(str(folder)): reason for folder, reason in self.folders}}

    def _names(self, kind: str) -> list[str]:
        return [_printable(name) for name in self.files[kind]]


def search(
    folder: Path,
    is_input: IsInput,
    passed: PassedOver,
    *,
    folder_is_case: IsInput | None = None,
    entered: set[str] | None = None,
    with_results: bool = True,
    look: Look = _at_once,
) -> Iterator[str]:
    """Relative POSIX names of the inputs in `folder` and below; ``""`` is the folder itself, where it is a case.

    Links are followed after all that is no link, so that a thing has the name of the place where it lies. Links that
    lead nowhere are files. Folders below that hold results of a batch are passed over. Folders that cannot be entered,
    files that cannot be looked into, and pipes, devices and sockets that `is_input` takes, are given too, and what is
    wrong with them stands in ``passed.refused``.

    Args:
        is_input: whether a file is wanted; asked once of each.
        passed: gets what is passed over.
        folder_is_case: whether a folder is one input by itself; nothing below it is looked at.
        entered: real paths of the folders that are not entered again; gets those that are entered.
        with_results: `folder` itself may hold results: they are what is asked for.
        look: calls whatever touches the disk.
    """
    entered = set() if entered is None else entered
    for name, files in _walk(folder, passed, entered, folder_is_case, with_results, look):
        if files is None:
            yield name
            continue
        inners = [f"{name}/{file_name}" if name else file_name for file_name, _ in files]
        asked = [(folder / inner, is_regular) for inner, (_, is_regular) in zip(inners, files, strict=True)]
        for inner, wanted in zip(inners, taken(asked, is_input, passed, look), strict=True):
            if wanted:
                yield inner
            else:
                passed.add(inner)


def taken(files: Sequence[tuple[Path, bool]], is_input: IsInput, passed: PassedOver, look: Look) -> Iterator[bool]:
    """Whether each file is given as an input; what is wrong with one that cannot be read goes to ``passed.refused``.

    Args:
        files: their paths, and whether they are known to be regular.
    """

    def judged(file: tuple[Path, bool]) -> tuple[bool, Finding | None]:
        path, is_regular = file
        wanted = is_input(path)
        return wanted, None if is_regular or not wanted else irregular(path)

    each = look.each if isinstance(look, Looker) else at_once
    for (path, _), judgement, error in each(judged, files):
        if isinstance(error, OSError):
            judgement = True, found_wrong(path, error)
        elif error is not None:
            raise error
        assert judgement is not None
        wanted, wrong = judgement
        if wrong is not None:
            passed.refused[path] = wrong
        yield wanted


def match(folder: Path, parts: Sequence[str], passed: PassedOver, look: Look = _at_once) -> Iterator[Path]:
    """The files and folders below `folder` that the parts of a glob match; ``**`` enters each folder once.

    Hidden ones are matched by parts that begin with a dot, or that have no wildcard. A folder that cannot be entered is
    given too, and stands in ``passed.refused``.
    """
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        # What it matches at an end is all below.
        names = [name for name, _ in _walk(folder, passed, set(), None, True, look)] if rest else [""]
        for name in names:
            if folder / name in passed.refused:
                yield folder / name
            else:
                yield from match(folder / name, rest, passed, look)
        return
    try:
        if not glob.has_magic(part):
            names = [part] if look(is_there, folder / part) else []
        else:
            names = [
                name
                for name in look(_names_in, folder)
                if fnmatch.fnmatch(name, part)
                and (part.startswith(".") or not is_hidden(name))
                and (not rest or look(is_folder, folder / name))
            ]
    except OSError as refused:
        passed.refused[folder] = found_wrong(folder, refused)
        yield folder
        return
    for name in names:
        if rest and _known_results(folder / name, look):
            passed.folders.append((folder / name, _RESULTS))
        else:
            yield from match(folder / name, rest, passed, look)


def _known_results(folder: Path, look: Look) -> bool:
    try:
        return bool(look(holds_results, folder))
    except OSError:
        # Entering it says why.
        return False


def is_folder(path: Path) -> bool:
    """As `Path.is_dir`, but with an `OSError` for what cannot be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as refused:
        if refused.errno == errno.ELOOP:
            return False
        raise


def is_there(path: Path) -> bool:
    """As `os.path.lexists`, but with an `OSError` for what cannot be looked at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


_Files = list[tuple[str, bool]]


def _walk(
    folder: Path, passed: PassedOver, entered: set[str], stops: IsInput | None, with_results: bool, look: Look
) -> Iterator[tuple[str, _Files | None]]:
    """Names of the folders, with the names in them that are no folders, and whether these are regular files.

    None in the place of the names: the folder is a case, or cannot be entered.
    """
    waiting: deque[tuple[str, str | None]] = deque([("", None)])
    links: deque[str] = deque()
    top = Path(os.path.realpath(folder))
    while waiting or links:
        linked = not waiting
        name, place = waiting.popleft() if waiting else (links.popleft(), None)
        here = folder / name
        try:
            place = place or str(look(os.path.realpath, here))
            if place in entered:
                continue
            entered.add(place)
            if linked and (results := look(_results_around, Path(place), top)) is not None:
                passed.folders.append((here, f"leads into {results}, which {_RESULTS}"))
                continue
            if (name or not with_results) and look(holds_results, here):
                passed.folders.append((here, _RESULTS))
                continue
            if stops is not None and look(stops, here):
                yield name, None
                continue
            entries = look(_entries, here)
        except OSError as refused:
            passed.refused[here] = found_wrong(here, refused)
            yield name, None
            continue
        files: _Files = []
        for each, kind in entries:
            inner = f"{name}/{each}" if name else each
            if kind == "link to a folder":
                links.append(inner)
            elif kind == "folder":
                waiting.append((inner, os.path.join(place, each)))  # noqa: PTH118 - real paths are strings here
            elif kind != "hidden":
                files.append((each, kind == "file"))
        yield name, files


def _results_around(place: Path, top: Path) -> Path | None:
    """The folder of results that `place` lies in, and `top`, from where it was reached, does not."""
    return next((each for each in place.parents if not top.is_relative_to(each) and holds_results(each)), None)


def _entries(folder: Path) -> list[tuple[str, str]]:
    """Names and kinds of what a folder holds, in order."""
    with os.scandir(folder) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    return [(entry.name, "hidden" if is_hidden(entry.name) else _kind(entry)) for entry in entries]


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "link to a folder" if entry.is_symlink() else "folder"
        return "file" if entry.is_file() else "neither"
    except OSError:
        # A link that leads to itself; looking at it says so.
        return "neither"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
