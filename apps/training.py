"""The verb `train` of every application: a system, a preset, settings that change it, the run, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import typer

from apps.flags import read_settings
from apps.stopping import training_into
from apps.terminal import sayer, show_json, training_progress
from apps.training_flags import TrainingFlags
from polyhead.registry import UnknownName
from polyhead.system.launch import is_first_process

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
    flags: TrainingFlags,
    *,
    config: Path | None,
    settings: list[str] | None,
) -> Settings:
    """A preset with the settings of a file, then those of ``--set``, then those of flags of their own.

    Args:
        resolve: makes an application's settings of a preset's name and changes.
        flags: their device may be overruled by the file: it has a default on the command line.

    Raises:
        ValueError: a file that cannot be read, an unknown preset or setting, or a value that does not fit.
    """
    changes = {"training.device": flags.device} | read_settings(config, settings)
    changes |= {f"training.{name}": value for name, value in flags.counts.items() if value is not None}
    try:
        return resolve(preset, changes)
    except UnknownName as unknown:
        raise ValueError(f"--preset: {unknown}") from None


def show_configuration(preset: str, presets: Iterable[str], configuration: Any, **more: Any) -> None:
    """What a dry run of `train` says, on stdout."""
    show_json({"preset": preset, "presets": list(presets), **more, "configuration": configuration.model_dump()})


def run_training(
    fit: Callable[..., _Fitted | Sequence[_Fitted]],
    data: Path,
    out: Path,
    configuration: Any,
    flags: TrainingFlags,
    **options: Any,
) -> None:
    """One training, or the several of an ensemble: progress and how each ended on stderr, the folder on stdout."""
    from polyhead.training.session import Session

    say = sayer(flags.quiet)
    session = Session(flags.resume, flags.overwrite, say, progress=training_progress(flags.quiet))
    with training_into(out):
        made = fit(data, out, configuration, session=session, **options)
    for result in made if isinstance(made, Sequence) else [made]:
        say(f"{result.stopped} after {result.epoch} epochs in {result.seconds:.0f} s")
    if is_first_process():
        typer.echo(out)
