"""The flags of a training, given to a verb as one argument: every verb that trains a model has them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from apps.flags import Device, DryRun, Overwrite, Quiet, Resume
from apps.shared_flags import Verb, with_flags

PRESET_SAYS = "from the preset"
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training rows.", show_default=PRESET_SAYS)]
TrainingSeed = Annotated[int | None, typer.Option(help="Seed of everything that is random.", show_default=PRESET_SAYS)]
Loaders = Annotated[int | None, typer.Option(min=0, help="Processes that load data.", show_default=PRESET_SAYS)]
LostTasks = Annotated[bool, typer.Option("--allow-lost-tasks", help="Go on without tasks of which no row can be used.")]


@dataclass(frozen=True)
class TrainingFlags:
    """How a training runs.

    Attributes:
        counts: settings of the training that have flags of their own, None where they were not given.
    """

    resume: bool
    device: str
    counts: Mapping[str, int | None]
    overwrite: bool
    dry_run: bool
    quiet: bool


def with_training_flags(batch_size: str, **counts: Any) -> Callable[[Verb], Verb]:
    """Puts the flags of a training in the place of a verb's argument `flags`, which gets them as `TrainingFlags`.

    Args:
        batch_size: what that flag counts.
        counts: annotations of further numbers of the training; they have flags too.
    """
    size = Annotated[int | None, typer.Option(min=1, help=batch_size, show_default=PRESET_SAYS)]
    numbers = {"epochs": Epochs, **counts, "batch_size": size, "seed": TrainingSeed}
    shared: dict[str, tuple[Any, Any]] = {
        "resume": (Resume, False),
        "device": (Device, "auto"),
        **{name: (kind, None) for name, kind in numbers.items()},
        "overwrite": (Overwrite, False),
        "dry_run": (DryRun, False),
        "quiet": (Quiet, False),
    }

    def gathered(values: dict[str, Any], given: dict[str, Any]) -> TrainingFlags:
        return TrainingFlags(counts={name: values.pop(name) for name in numbers}, **values)

    return with_flags(shared, gathered)
