"""Registries: a dict, a decorator, and an error that lists the near names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

T = TypeVar("T")
Entry = TypeVar("Entry")


class UnknownName(ValueError):
    """A name that no registry entry answers to."""


class Registry(Generic[T]):
    """Named entries of one kind.

    >>> letters = Registry("letter")
    >>> letters.add("alpha")(1)
    1
    >>> letters["alpha"]
    1
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that registers its argument; a name taken twice is a `ValueError`."""

        def register(entry: Entry) -> Entry:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered already")
            # The decorated thing keeps its own type: a class stays a class to its users.
            self._entries[name] = cast(T, entry)
            return entry

        return register

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, n=3, cutoff=0.5) or sorted(self._entries)
            raise UnknownName(f"unknown {self.kind} {name!r}; known: {', '.join(near)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
