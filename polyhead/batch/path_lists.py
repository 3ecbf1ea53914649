"""Lists of paths as INPUT of a batch, and ``failed.txt``, which gives its cases the ids that they had."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyhead.batch.naming import without_suffix

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})
_ROOT, _ID = "#root=", "#id="


@dataclass(frozen=True)
class Listed:
    """An entry of a list: a path, and the case id that the list gives it; None leaves the id to the reader."""

    path: Path
    id: str | None = None


@dataclass(frozen=True)
class PathList:
    """The entries of a list, in its order, and the folder that ids are relative to."""

    entries: tuple[Listed, ...]
    root: Path

    @property
    def paths(self) -> list[Path]:
        return [entry.path for entry in self.entries]


def read_path_list(path: Path) -> PathList:
    """Reads a list: a path a line; blank lines and lines that begin with ``#`` are passed over.

    Spaces and tabs at both ends of a line do not count; a line that begins with ``"`` is a JSON string (names with
    line breaks and the like). Relative paths are beside the list, or in the working folder where only that exists.
    Two comments are read: ``#root=FOLDER``, the folder that ids are relative to, by default the deepest that holds
    all; and ``#id=ID``, the case id of the path on the next line.

    Raises:
        ValueError: not a text in utf-8, a broken JSON string, or an id that no path follows.
    """
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise ValueError(f"{path} is not a utf-8 list of paths; save it as utf-8")
    entries: dict[Listed, None] = {}
    root: Path | None = None
    given: str | None = None
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        # A name may end in U+00A0, so only ordinary spaces go.
        line = line.strip(" \t\r")
        if line.startswith(_ROOT):
            root = _absolute(path.absolute().parent / _unquote(line.removeprefix(_ROOT), path, number))
        elif line.startswith(_ID):
            given = _unquote(line.removeprefix(_ID), path, number)
        elif line and not line.startswith("#"):
            entries[Listed(_find(_unquote(line, path, number), path), given)] = None
            given = None
    if given is not None:
        raise ValueError(f"{path}, line {number}: no path follows the id {given!r}")
    return PathList(tuple(entries), root or _common_folder([entry.path for entry in entries]))


def write_path_list(entries: Sequence[tuple[str, str, str]]) -> bytes:
    """The list of `entries` (case id, path, why it is here), which `read_path_list` reads back with the same ids."""
    roots = {root for name, path, _ in entries if (root := _root_of(name, path)) is not None}
    root = roots.pop() if len(roots) == 1 else None
    lines = [] if root is None else [_ROOT + _quote(str(root))]
    for name, path, reason in entries:
        absolute = _absolute(path)
        lines.append(f"# {_printable(name)}: {_printable(reason)}")
        if root is None or _root_of(name, path) != root:
            lines.append(_ID + _quote(name))
        lines.append(_quote(str(absolute)))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _root_of(name: str, path: str) -> Path | None:
    """The folder against which `path` without its suffix is `name`, None where there is none."""
    absolute, parts = _absolute(path), Path(name).parts
    bare = (*absolute.parts[:-1], without_suffix(absolute.name))
    if not parts or len(parts) >= len(bare) or bare[-len(parts) :] != parts:
        return None
    return absolute.parents[len(parts) - 1]


def _find(name: str, path: Path) -> Path:
    """A path of the list, absolute; links keep the names that the user gave."""
    beside = _absolute(path.absolute().parent / name)
    here = _absolute(name)
    return here if not os.path.lexists(beside) and os.path.lexists(here) else beside


def _absolute(path: str | Path) -> Path:
    return Path(os.path.normpath(Path(path).absolute()))


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()


def _printable(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _quote(text: str) -> str:
    plain = text == text.strip() and text.isprintable() and not text.startswith(("#", '"'))
    return text if plain else json.dumps(text)


def _unquote(line: str, path: Path, number: int) -> str:
    if not line.startswith('"'):
        return line
    try:
        return str(json.loads(line))
    except ValueError:
        raise ValueError(f"{path}, line {number}: a line that begins with a quote must be a JSON string") from None
