"""What the command line, the pages and the packagers see of an application, and where applications are found."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from polyhead.batch.case import Case, Predictor

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment."


@dataclass(frozen=True)
class SystemInfo:
    """A published system or a variant of it: what `polyhead info` says without a heavy import."""

    title: str
    source: str
    presets: tuple[str, ...]
    task_kinds: tuple[str, ...] = ()
    notes: str = ""


class Application(Protocol):
    """One domain application. Importing the module that defines it must stay light: no torch, no streamlit.

    `data_sets` names the data that the application reads or makes; each has a card, as every preset has.
    """

    name: str
    title: str
    systems: Mapping[str, SystemInfo]
    data_sets: tuple[str, ...]

    def model_facts(self, preset: str) -> Mapping[str, int]:
        """Numbers that the card of a preset must state, ``{"parameters": ..., "image_size": ...}``, from the model."""
        ...

    def sample(self, out: Path, **options: Any) -> None:
        """Writes a small simulated data set in the domain's real on-disk format."""
        ...

    def cases(self, source: str | Path, **options: Any) -> Iterator[Case]:
        """The cases of a file, a folder, a glob, or a list of paths."""
        ...

    def train(self, data: Path, run: Path, config: Any) -> Any:
        """Trains a model on `data` into the run folder `run`."""
        ...

    def predictor(self, run: Path, **options: Any) -> Predictor:
        """Loads the run's model for prediction."""
        ...

    def evaluate(self, predictions: Path, data: Path, **options: Any) -> Any:
        """Scores predictions against labels."""
        ...


@lru_cache(maxsize=1)
def _targets() -> dict[str, str]:
    """Where each installed application lives: looking through all installed packages is done once."""
    return {entry.name: entry.value for entry in entry_points(group="polyhead.applications")}


def application_names() -> list[str]:
    """Names of the installed applications, found by the entry points of the group ``polyhead.applications``."""
    return sorted(_targets())


def load_application(name: str) -> Application:
    """Imports one application; an unknown name is a `ValueError` that lists the near ones."""
    targets = _targets()
    if name not in targets:
        near = difflib.get_close_matches(name, targets) or sorted(targets)
        raise ValueError(f"unknown application {name!r}; known: {', '.join(near)}")
    module, _, attribute = targets[name].partition(":")
    return getattr(import_module(module), attribute)
