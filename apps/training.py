"""The verb `train` of every application: a system, a preset, settings that change it, and words of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from apps.flags import read_settings
from apps.terminal import show_json
from polyhead.registry import UnknownName

Settings = TypeVar("Settings")


class _Fitted(Protocol):
    @property
    def stopped(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def seconds(self) -> float: ...


def require_system(system: str, known: str) -> None:
    """Raises a `ValueError` where `system` is another than the only one that an application has."""
    if system != known:
        raise ValueError(f"unknown system {system!r}; known: {known}")


def resolve_preset(
    resolve: Callable[[str, Mapping[str, Any]], Settings],
    preset: str,
    *,
    config: Path | None,
    settings: list[str] | None,
    device: str,
    **training: int | None,
) -> Settings:
    """A preset with the settings of a file, then those of ``--set``, then those of flags of their own.

    Args:
        resolve: makes an application's settings of a preset's name and changes.
        device: what the file may overrule: it has a default on the command line.
        training: settings of the training that have flags, None where they were not given.

    Raises:
        ValueError: a file that cannot be read, an unknown preset or setting, or a value that does not fit.
    """
    changes = {"training.device": device} | read_settings(config, settings)
    changes |= {f"training.{name}": value for name, value in training.items() if value is not None}
    try:
        return resolve(preset, changes)
    except UnknownName as unknown:
        raise ValueError(f"--preset: {unknown}") from None


def show_configuration(preset: str, presets: Iterable[str], configuration: Any, **more: Any) -> None:
    """What a dry run of `train` says, on stdout."""
    show_json({"preset": preset, "presets": list(presets), **more, "configuration": configuration.model_dump()})


def in_words(result: _Fitted) -> str:
    """How a training ended, in a line."""
    return f"{result.stopped} after {result.epoch} epochs in {result.seconds:.0f} s"
