"""What the command line, the pages and the packagers see of an application, and where applications are found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment."

GROUP = "polyhead.applications"
"""The group of entry points that registers applications, of any installed package."""

COMMANDS = frozenset({"app", "cards", "demo", "doctor", "info"})
"""The commands of `polyhead` itself, whose names no application may have."""

Part = Literal["cli", "demo", "page"]


@dataclass(frozen=True)
class SystemInfo:
    """A published system or a variant of it: what `polyhead info` says without a heavy import."""

    title: str
    source: str
    presets: tuple[str, ...]
    task_kinds: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class Application:
    """One application, registered by an entry point of the group ``polyhead.applications`` under its name.

    The module of the entry point stays light to import: no torch, no streamlit. The package that it lies in has beside
    it, each imported only when it is asked for,

    - ``cli.py`` with ``app``, a `typer.Typer` of the verbs: ``polyhead NAME ...``;
    - where it has a demonstration, ``demo.py`` with ``run_demo(out: Path)``: ``polyhead demo NAME``;
    - where it has a page, ``page.py`` with ``render()``, which draws it with Streamlit: ``polyhead app``;
    - ``cards/`` with ``<data set>/card.md`` and ``<name>-<preset>/card.md``: ``polyhead cards check``. Applications
      without that folder have their cards in polyhead's own ``data_cards/``.

    `apps.common_verbs`, `apps.demonstration` and `apps.common_page` make these parts for an application of common
    shape.

    Attributes:
        name: lower-case letters, digits and hyphens; a command, an address of a page, and the application of its runs.
        title: one line.
        systems: what it trains, by name, with the presets of each.
        data_sets: the data that it reads or makes; each has a card, as every preset has.
        model_facts: numbers that the card of a preset must state, ``{"parameters": ..., "image_size": ...}``, from the
            model that the code builds.
    """

    name: str
    title: str
    systems: Mapping[str, SystemInfo]
    data_sets: tuple[str, ...]
    model_facts: Callable[[str], Mapping[str, int]]


class BrokenApplication(ValueError):
    """An application that is installed and cannot be used: which, of which package, and why, in one line."""


@lru_cache(maxsize=1)
def _registered() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points by name: looking through all installed packages is done once."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        others = found.get(entry.name, ())
        if entry.value not in {other.value for other in others}:
            found[entry.name] = (*others, entry)
    return found


def application_names() -> list[str]:
    """Names of the installed applications, also of those that cannot be used."""
    return sorted(_registered())


def load_application(name: str) -> Application:
    """Imports one application.

    Raises:
        BrokenApplication: it cannot be imported, is no `Application` of that name, or shares its name with another.
        ValueError: there is none of that name; near ones are listed.
    """
    return _load(_entry(name))[0]


def find_part(name: str, part: Part) -> bool:
    """Whether an application has a part, found without importing it; a broken application has none."""
    try:
        return find_spec(f"{_package(name)}.{part}") is not None
    except BrokenApplication:
        return False


def load_part(name: str, part: Part) -> ModuleType:
    """Imports the command line, the demonstration or the page of an application.

    Raises:
        BrokenApplication: the application or the part cannot be imported.
        ValueError: there is no such application, or it has no such part.
    """
    module = f"{_package(name)}.{part}"
    if find_spec(module) is None:
        raise ValueError(f"the application {name!r} has no {part}: there is no module {module}")
    try:
        return import_module(module)
    except Exception as error:
        raise _broken(_entry(name), error) from error


def cards_folder(name: str) -> Path | None:
    """The folder ``cards/`` in an application's package, None where it keeps none of its own."""
    spec = find_spec(_package(name))
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / "cards").is_dir():
            return folder
    return None


def _entry(name: str) -> EntryPoint:
    registered = _registered()
    if name not in registered:
        near = difflib.get_close_matches(name, registered) or sorted(registered)
        raise ValueError(f"unknown application {name!r}; known: {', '.join(near)}")
    entry, *others = registered[name]
    if others:
        packages = " and ".join(sorted(map(_origin, registered[name])))
        raise BrokenApplication(f"the application {name!r} is registered by {packages}; remove one of them")
    if name in COMMANDS or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        why = "is a command of polyhead" if name in COMMANDS else "must be lower-case letters, digits and hyphens"
        raise BrokenApplication(f"the application {name!r} of {_origin(entry)} cannot be used: its name {why}")
    return entry


@lru_cache
def _load(entry: EntryPoint) -> tuple[Application, str]:
    """An application and the package that holds its parts."""
    try:
        application = entry.load()
        package = import_module(entry.module).__package__
    except Exception as error:
        raise _broken(entry, error) from error
    if not isinstance(application, Application) or application.name != entry.name:
        raise _broken(entry, f"{entry.value} is no polyhead.application.Application of this name")
    if not package:
        raise _broken(entry, f"{entry.module} lies in no package; put it into one, beside its cli.py")
    return application, package


def _package(name: str) -> str:
    return _load(_entry(name))[1]


def _broken(entry: EntryPoint, why: Exception | str) -> BrokenApplication:
    reason = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else why
    line = f"the application {entry.name!r} of {_origin(entry)} cannot be used: {' '.join(reason.split())}"
    return BrokenApplication(line)


def _origin(entry: EntryPoint) -> str:
    """The installed package that registers an application, with its version."""
    return entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
