"""What a batch is to work on, for every application: a file, a folder, a glob or a list of paths; and their ids."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case, Finding
from polyhead.batch.looking import Looker, NoInputInside, found_wrong, irregular
from polyhead.batch.monitor import current_monitor
from polyhead.batch.naming import suffix_of, unique_ids, without_suffix
from polyhead.batch.outcome import NoInput
from polyhead.batch.path_lists import LIST_SUFFIXES, read_path_list
from polyhead.batch.search import IsInput, Look, PassedOver, is_folder, is_there, match, search, taken

logger = logging.getLogger(__name__)

Count = Callable[[int, int], None]

_NUMBERED = re.compile(r"~\d+$")


@dataclass(frozen=True)
class Input:
    """A file, or a folder that is a case by itself.

    Attributes:
        path: where it is.
        name: its path, POSIX, relative to what was searched, with its suffix; ids are made of it.
        given: the id that a list gives it.
        searched: the folder in which it was found; None where the user named it, by itself or in a list.
        finding: what is wrong with it, where it cannot be looked into.
    """

    path: Path
    name: str
    given: str | None = None
    searched: Path | None = None
    finding: Finding | None = None


@dataclass(frozen=True)
class Wanted:
    """A case that has no id yet.

    Attributes:
        names: its id where that is unambiguous, and its id otherwise; see `id_names`.
        path, tasks, options: as of a `Case`.
        companions: the files that decide the answer beside `path`.
        finding: as of a `Case`.
    """

    path: Path
    names: tuple[str, str]
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    companions: tuple[Path, ...] = ()
    finding: Finding | None = None


def find_inputs(
    source: str | Path,
    is_input: IsInput,
    *,
    looked_for: str,
    folder_is_case: IsInput | None = None,
    passed: PassedOver | None = None,
) -> list[Input]:
    """The inputs at `source`, in the order of their names, the same on every machine.

    `source` is one of

    - a file, whatever `is_input` says of it;
    - a folder, searched with all below it; each folder is entered once, also where links lead to it again;
    - a glob (``**`` goes down): the files that it matches, and folders, which are searched. Where its last part is
      ``*`` or ``**`` the files are chosen as those of a folder;
    - a list of paths (see `polyhead.batch.path_lists`), a file with a suffix of lists that is no input itself: its
      entries, in its order, its folders searched. An entry that does not exist is an input too, and fails by name.

    Hidden files and folders (dot files, ``__MACOSX``, ``Thumbs.db``, ``desktop.ini``) are left out. What else is passed
    over is warned of. Folders that cannot be entered, files that cannot be looked into or do not answer, pipes, devices
    and sockets are inputs with a `Finding`, which fail by name; none of them is waited for.

    Args:
        is_input: whether a file of a folder is wanted.
        looked_for: what is, in the words of the user.
        folder_is_case: whether a folder is one input by itself, such as a series of slices.
        passed: gets what is passed over.

    Raises:
        NoInput: nothing was found.
        ValueError: a list that cannot be read.
    """
    path, text, passed = Path(source), str(source), PassedOver() if passed is None else passed
    with Looker() as look:
        looking = _Looking(is_input, folder_is_case, passed, look)
        inputs: Iterable[Input]
        try:
            there, wrong = look(is_there, path), None
            holds_more = there and look(is_folder, path)
            if there and not holds_more:
                wrong = look(irregular, path)
        except OSError as refused:
            there, holds_more = not glob.has_magic(text), False
            wrong = found_wrong(path, refused) if there else None
        if holds_more:
            inputs = looking.folder(path)
            what = f"{looked_for} in the folder {path} and below"
        elif wrong is not None:
            inputs, what = [Input(path, path.name, finding=wrong)], str(path)
        elif path.suffix.lower() in LIST_SUFFIXES and path.is_file() and not look(is_input, path):
            inputs, what = looking.listed(path), f"paths in the list {path}"
        elif there and path.exists():
            inputs, what = [Input(path, path.name)], str(path)
        elif there:
            to = path.readlink()
            raise NoInput(f"{path} is a link to {to}, which is not there; mend it, or name the file itself")
        elif glob.has_magic(text):
            inputs, what = looking.matches(text), f"{looked_for} matching {text}"
        else:
            raise NoInput(f"there is no file, folder or glob match {path}")
        unique = list({(each.path, each.given): each for each in inputs}.values())
    if not unique:
        raise NoInput("; ".join([f"nothing to do: found no {what}", *passed.lines()]))
    for line in passed.lines():
        logger.warning("%s", line)
    return unique


@dataclass(frozen=True)
class _Looking:
    is_input: IsInput
    folder_is_case: IsInput | None
    passed: PassedOver
    look: Look

    def folder(
        self, folder: Path, top: str = "", entered: set[str] | None = None, *, with_results: bool = True
    ) -> list[Input]:
        """What a folder holds; `top` stands before the names."""
        names = search(
            folder,
            self.is_input,
            self.passed,
            folder_is_case=self.folder_is_case,
            entered=entered,
            with_results=with_results,
            look=self.look,
        )
        return self._found(folder, names, top)

    def listed(self, path: Path) -> Iterator[Input]:
        listed = read_path_list(path)
        for entry in listed.entries:
            name = relative_name(entry.path, listed.root)
            wrong = None
            try:
                single = not self.look(is_folder, entry.path)
                if single:
                    wrong = self.look(irregular, entry.path)
                elif self.folder_is_case is not None:
                    single = self.look(self.folder_is_case, entry.path)
            except OSError as refused:
                single, wrong = True, found_wrong(entry.path, refused)
            if single:
                yield Input(entry.path, name, entry.id, finding=wrong)
            else:
                held = self.folder(entry.path, name)
                yield from held
                if not held:
                    self.passed.folders.append((entry.path, "holds nothing that is looked for"))

    def matches(self, pattern: str) -> list[Input]:
        """What a glob matches: folders first, for what lies in them is theirs."""
        parts = Path(pattern).parts
        fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:fixed])
        found: list[Input] = []
        entered: set[str] = set()
        files: dict[tuple[str, str], Path] = {}
        for path in sorted(match(base, parts[fixed:], self.passed, self.look), key=_links_last):
            name = relative_name(path, base)
            if (wrong := self.passed.refused.get(path)) is not None:
                found.append(Input(path, path.name if name == "." else name, searched=base, finding=wrong))
            elif self.look(path.is_dir):
                found += self.folder(path, "" if name == "." else name, entered, with_results=False)
            else:
                files.setdefault((os.path.realpath(path.parent), path.name), path)
        named = parts[-1] not in ("*", "**")
        asked = [(path, False) for (place, _), path in files.items() if place not in entered]
        judged = taken(asked, _any if named else self.is_input, self.passed, self.look)
        for (path, _), wanted in zip(asked, judged, strict=True):
            name = relative_name(path, base)
            if wanted:
                found.append(Input(path, name, searched=base, finding=self.passed.refused.get(path)))
            else:
                self.passed.add(name)
        return sorted(found, key=lambda each: each.name.split("/"))

    def _found(self, folder: Path, names: Iterable[str], top: str) -> list[Input]:
        found = []
        for name in sorted(names, key=lambda name: name.split("/")):
            whole = "/".join(part for part in (top, name) if part) or folder.absolute().name
            path = folder / name
            found.append(Input(path, whole, searched=folder if name else None, finding=self.passed.refused.get(path)))
        return found


def _any(path: Path) -> bool:
    return True


def _links_last(path: Path) -> tuple[bool, tuple[str, ...]]:
    """Of several ways to one file the one without links comes first."""
    return os.path.realpath(path.parent) != os.path.normpath(path.parent.absolute()) or path.is_symlink(), path.parts


def relative_name(path: Path, base: Path) -> str:
    """`path` against `base`, POSIX; one that lies elsewhere begins with ``..``."""
    return Path(os.path.relpath(path, base)).as_posix()


def id_names(found: Input, suffixes: Collection[str] | None = None, part: str = "") -> tuple[str, str]:
    """The id of an input without its suffix, and with it, as `Wanted` needs them.

    Args:
        suffixes: those that are taken away, lower case; None takes any.
        part: which part of the input, where it holds several cases; stands behind the name.
    """
    suffix = suffix_of(found.name.rpartition("/")[2]).lower()
    known = suffixes is None or suffix in suffixes or f".{suffix.rpartition('.')[2]}" in suffixes
    short = without_suffix(found.name) if known else found.name
    return (f"{short}/{part}", f"{found.name}/{part}") if part else (short, found.name)


def wanted_of(
    inputs: Sequence[Input], parts: Callable[[Input], Iterable[Wanted]], *, count: Count | None = None
) -> list[Wanted]:
    """What is wanted of all inputs, each once.

    Of an input that a list gives an id only the part of this id is wanted, under this id; all its parts where it has
    changed and no longer has it. One that does not answer, or vanished since it was found, is a case that fails.

    Args:
        parts: the cases that one input holds; raises `NoInputInside` for one that turns out to be none.
        count: called with the number of inputs that were looked into, and that of all.
    """
    held: dict[Path, list[Wanted]] = {}
    wanted: dict[tuple[Path, tuple[str, str]], Wanted] = {}

    def looked_into(found: Input) -> list[Wanted]:
        if found.finding is not None:
            return [Wanted(found.path, id_names(found), finding=found.finding)]
        if found.given is None:
            return _all_of(parts, found)
        if found.path not in held:
            held[found.path] = _all_of(parts, found)
        return held[found.path]

    with Looker() as look:
        for number, (found, chosen, error) in enumerate(look.each(looked_into, inputs), 1):
            if chosen is None:
                chosen = [Wanted(found.path, id_names(found), finding=_finding(found, error))]
            for each in chosen if found.given is None else _with_id(chosen, found.given):
                wanted.setdefault((each.path, each.names), each)
            if count is not None:
                count(number, len(inputs))
    return list(wanted.values())


def _finding(found: Input, error: Exception | None) -> Finding:
    """What became of an input that could not be looked into; raises what is not the file's own fault."""
    if isinstance(error, NoInputInside):
        status = "invalid_input" if found.searched is None else "passed_over"
        return Finding(status, error.code, error.reason, error.remedy)
    if isinstance(error, OSError):
        return found_wrong(found.path, error)
    assert error is not None
    raise error


def _all_of(parts: Callable[[Input], Iterable[Wanted]], found: Input) -> list[Wanted]:
    """All parts; each that is found is a sign of life."""
    monitor, held = current_monitor(), []
    for each in parts(found):
        held.append(each)
        monitor.part(len(held), len(held) + 1, "parts")
    return held


def _with_id(parts: list[Wanted], given: str) -> list[Wanted]:
    """The list may lie elsewhere than what it was made of, so the last name of an id decides where no whole id does."""
    last = _NUMBERED.sub("", given.rpartition("/")[2])
    same = [each for each in parts if given in each.names]
    same = same or [each for each in parts if each.names[0].rpartition("/")[2] == last]
    if not same and len(parts) > 1:
        return parts
    return [replace(each, names=(given, given)) for each in (same or parts)[:1]]


def as_cases(wanted: Sequence[Wanted]) -> list[Case]:
    """The cases under unique ids, in the order in which they are wanted."""
    ids = unique_ids([each.names for each in wanted])
    cases = []
    for name, each in zip(ids, wanted, strict=True):
        files = (each.path, *each.companions) if each.companions else ()
        cases.append(Case(name, each.path, each.tasks, dict(each.options), files, each.finding))
    return cases


def tell_not_read(folder: Path, holds: str, others: Sequence[Path]) -> None:
    """One warning where a folder is read as one thing and `others` lie beside it, which would be inputs elsewhere."""
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        text = "%s holds %s; not read beside them: %s%s; name a file itself to have it read"
        logger.warning(text, folder, holds, relative_name(others[0], folder), more)
