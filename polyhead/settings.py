"""Settings by name: presets with some of them changed, and values that do not fit as one line. No heavy import."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def changed(values: Mapping[str, Any], changes: Mapping[str, Any], *, whole: Collection[str] = ()) -> dict[str, Any]:
    """JSON settings with some of them changed, one after the other.

    Args:
        values: nested settings; they stay as they are.
        changes: by name, the end of a dotted path that fits once: ``epochs``, ``loss.points``. A mapping changes the
            settings that it names, as the sections of a settings file do; where the setting is no section, or is None,
            it is the new value; and a section may be set to None as a whole.
        whole: names of settings that may be mappings by themselves: their keys are no settings.

    Raises:
        ValueError: a name that no setting has, or that fits several.
    """
    found = _copied(values)
    for name, value in _flat(changes, found, whole):
        _set(found, name, value, whole)
    return found


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Settings of JSON values; what does not fit is a `ValueError` of one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}".lstrip(": ") + f", got {each['input']!r}"[:80]
            for each in error.errors()
        ]
        raise ValueError(f"settings that do not fit: {'; '.join(wrong)}") from error


def with_defaults(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """JSON settings and the defaults of those that they lack, as settings saved before a new one came; where they do
    not fit the model they stay as they are."""
    try:
        return model.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _flat(
    changes: Mapping[str, Any], there: Any, whole: Collection[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        inside = there.get(key, {}) if isinstance(there, Mapping) else {}
        if isinstance(value, Mapping) and isinstance(inside, Mapping) and str(key).rpartition(".")[2] not in whole:
            yield from _flat(value, inside, whole, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _leaves(values: Mapping[str, Any], whole: Collection[str], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in whole:
            yield from _leaves(value, whole, (*path, key))
        else:
            yield (*path, key)


def _is_section(values: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return isinstance(values, Mapping)


def _set(values: dict[str, Any], name: str, value: Any, whole: Collection[str]) -> None:
    wanted = tuple(name.split("."))
    leaves = list(_leaves(values, whole))
    homes = [path for path in leaves if path[-len(wanted) :] == wanted]
    homes = [path for path in homes if path == wanted] or homes
    if value is None and not homes and _is_section(values, wanted):
        homes = [wanted]
    if len(homes) > 1:
        fits = " and ".join(".".join(path) for path in homes)
        raise ValueError(f"the setting {name!r} fits {fits}: name one")
    if not homes:
        known = [".".join(path) for path in leaves]
        near = difflib.get_close_matches(name, known + [path[-1] for path in leaves], n=3, cutoff=0.5)
        raise ValueError(f"unknown setting {name!r}" + (f"; near: {', '.join(dict.fromkeys(near))}" if near else ""))
    for key in homes[0][:-1]:
        values = values[key]
    values[homes[0][-1]] = value
