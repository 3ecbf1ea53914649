"""INPUT of a batch: a file, a folder, a glob, or a list of paths, and the id of every file found."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIST_SUFFIXES = (".txt", ".list")
_ROOT = "#root="


@dataclass(frozen=True)
class Found:
    """A file of the input and its case id."""

    id: str
    path: Path


def discover(source: str | Path, suffixes: Sequence[str]) -> list[Found]:
    """The files that `source` names, in sorted order (a list keeps its own), each with a unique id.

    Args:
        source: a file; a folder, searched with its sub-folders, hidden files left out; a glob (``**`` crosses folders);
            or a list of paths (``.txt``, ``.list``), one a line, as `write_path_list` writes it.
        suffixes: lower-case suffixes of the files wanted from folders, e.g. ``(".nii.gz", ".png")``.

    Raises:
        ValueError: nothing is there, or a list names one file twice.
    """
    path = Path(source)
    if path.is_dir():
        return _identify(sorted(_walk(path, suffixes)), path, suffixes)
    if path.is_file():
        if path.suffix.lower() in LIST_SUFFIXES and not _known_suffix(path.name, suffixes):
            paths, root = read_path_list(path)
            return _identify(paths, root, suffixes)
        return _identify([path], path.parent, suffixes)
    if glob.has_magic(str(source)):
        matches = sorted(Path(match) for match in glob.glob(str(source), recursive=True))  # noqa: PTH207, takes absolute patterns
        files = [match for match in matches if match.is_file()]
        return _identify(files, _common_folder(files), suffixes)
    raise ValueError(f"no such file or folder: {source}; INPUT is a file, a folder, a glob, or a .txt list of paths")


def _walk(folder: Path, suffixes: Sequence[str]) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and _known_suffix(name, suffixes):
                yield Path(parent, name)


def _known_suffix(name: str, suffixes: Sequence[str]) -> str:
    """The longest of `suffixes` that `name` ends in, whatever its case; empty where none fits."""
    return max((suffix for suffix in suffixes if name.lower().endswith(suffix)), key=len, default="")


def _absolute(path: str | Path) -> Path:
    """Without ``..``, but not resolved: links keep the names that the user gave."""
    return Path(os.path.normpath(Path(path).absolute()))


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([_absolute(path).parent for path in paths])) if paths else Path()


def _identify(paths: Sequence[Path], root: Path, suffixes: Sequence[str]) -> list[Found]:
    root = _absolute(root)
    relative = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    twice = [name for name, count in Counter(relative).items() if count > 1]
    if twice:
        raise ValueError(f"the input names {twice[0]!r} twice; leave one out")
    bare = [name.removesuffix(name[len(name) - len(_suffix(name, suffixes)) :]) for name in relative]
    shared = {name for name, count in Counter(bare).items() if count > 1}
    # x.png and x.jpg keep their suffixes, as both cannot be the case "x"
    ids = [name if short in shared else short for name, short in zip(relative, bare, strict=True)]
    return [Found(name, path) for name, path in zip(ids, paths, strict=True)]


def _suffix(name: str, suffixes: Sequence[str]) -> str:
    return _known_suffix(Path(name).name, suffixes) or Path(name).suffix


def read_path_list(path: Path) -> tuple[list[Path], Path]:
    """Paths of a list and the folder that ids are relative to.

    Blank lines and lines that begin with ``#`` are passed over; a line that begins with ``"`` is a JSON string (names
    with line breaks and the like); relative paths are relative to the list. The root is what a line ``#root=FOLDER``
    says, else the deepest folder that holds all.
    """
    paths: list[Path] = []
    root: Path | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n"), 1):
        line = line.removesuffix("\r")
        if line.startswith(_ROOT):
            root = Path(_unquote(line.removeprefix(_ROOT), path, number))
        elif line.strip() and not line.startswith("#"):
            paths.append(path.absolute().parent / _unquote(line, path, number))
    return paths, root or _common_folder(paths)


def write_path_list(entries: Sequence[tuple[str, str, str]]) -> bytes:
    """The list of `entries` (case id, path, why it is here), which `read_path_list` reads back with the same ids."""
    lines = []
    roots = {_root_of(name, path) for name, path, _ in entries}
    if len(roots) == 1 and (root := roots.pop()) is not None:
        lines.append(_ROOT + _quote(root))
    for name, path, reason in entries:
        lines += [f"# {_printable(name)}: {_printable(reason)}", _quote(str(_absolute(path)))]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _root_of(name: str, path: str) -> str | None:
    """The folder against which `path` has the id `name`."""
    absolute = _absolute(path)
    depth = len(Path(name).parts)
    if depth > len(absolute.parts) - 1 or not Path(*absolute.parts[-depth:]).as_posix().startswith(name):
        return None
    return str(Path(*absolute.parts[:-depth]))


def _printable(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _quote(path: str) -> str:
    plain = path == path.strip() and path.isprintable() and not path.startswith(("#", '"'))
    return path if plain else json.dumps(path)


def _unquote(line: str, path: Path, number: int) -> str:
    if not line.startswith('"'):
        return line
    try:
        return str(json.loads(line))
    except ValueError:
        raise ValueError(f"{path}, line {number}: a line that begins with a quote must be a JSON string") from None
