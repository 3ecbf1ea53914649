"""Where two nested settings differ, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

FREE_SETTINGS = frozenset({"workers", "device", "max_minutes", "snapshot_every"})
"""Settings that may differ when a training goes on: they do not change what is computed."""

TOLD = 8
"""Differences that a message tells at most."""


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """A line for each place where two trees of JSON values differ, `FREE_SETTINGS` left out.

    Lists are compared element by element; elements that all have a ``name`` are found by it, and named by it.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = {key: key if not path else f"{path}.{key}" for key in [*old, *new] if key not in FREE_SETTINGS}
        return _of_keys(old, new, pairs)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        before, after = _by_key(old, new)
        lines = _of_keys(before, after, {key: f"{path}[{key}]" for key in [*before, *after]})
        moved = not lines and list(before) != list(after)
        return [f"{path} (was in the order {_short(list(before))}, now {_short(list(after))})"] if moved else lines
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    return [] if same else [f"{path} (was {_short(old)}, now {_short(new)})"]


def refuse_differences(where: object, lines: Sequence[str]) -> None:
    """A `ValueError` that `where` cannot be resumed, if there are lines of `differences`."""
    if lines:
        more = f"; and {len(lines) - TOLD} more" if len(lines) > TOLD else ""
        raise ValueError(f"{where} cannot be resumed, these differ: {'; '.join(lines[:TOLD])}{more}")


def _of_keys(old: Mapping[Any, Any], new: Mapping[Any, Any], names: Mapping[Any, str]) -> list[str]:
    found = []
    for key, name in names.items():
        if key not in old or key not in new:
            found.append(f"{name} ({'only' if key in old else 'not'} in the run)")
        else:
            found += differences(old[key], new[key], name)
    return found


def _by_key(old: Sequence[Any], new: Sequence[Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Two lists as mappings: by the names of their elements where all have one of their own, else by place."""
    tables = []
    for values in (old, new):
        names = [value.get("name") if isinstance(value, Mapping) else None for value in values]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            return dict(enumerate(old)), dict(enumerate(new))
        tables.append(dict(zip(names, values, strict=True)))
    return tables[0], tables[1]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
