"""Trained runs that pages can choose from, and the folder that holds them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyhead.runs.run import RUN_FILE, Run

RUNS_VARIABLE = "POLYHEAD_RUNS"
DEMO_VARIABLE = "POLYHEAD_DEMO"
DEPTH = 4
"""How deep below a folder runs are looked for."""


@dataclass(frozen=True)
class Found:
    """A run folder that was found: an opened run, or the reason why it cannot be used."""

    path: Path
    run: Run | None
    reason: str = ""


def runs_folder() -> Path:
    """The folder of the runs: the environment's, else ``runs`` in the working folder."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs").resolve()


def demo_folder() -> Path:
    """The folder of the demonstration: the environment's, else ``demo`` in the working folder."""
    return Path(os.environ.get(DEMO_VARIABLE) or "demo").resolve()


def find_runs(folders: Sequence[Path], application: str) -> list[Found]:
    """Runs of one application below the folders, in the order of the folders, newest first in each.

    What has no task list is passed over. A damaged run is told.
    """
    found = []
    for folder in folders:
        here = [entry for path in _run_files(folder) if (entry := open_run(path.parent, application)) is not None]
        found += sorted(here, key=lambda entry: entry.run.info.created if entry.run else "", reverse=True)
    return found


def open_run(path: Path, application: str) -> Found | None:
    """One run folder; None for folders of another kind or of another application."""
    import json

    try:
        said = json.loads((path / RUN_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        return Found(path, None, f"{path / RUN_FILE} cannot be read: {error}")
    if not isinstance(said, dict) or "tasks" not in said or said.get("application") != application:
        return None
    try:
        run = Run.open(path)
    except ValueError as error:
        return Found(path, None, str(error))
    if not run.has_weights:
        return Found(path, None, f"{path} has no weights yet: its training has not saved any")
    return Found(path, run)


def run_label(run: Run, demo: Path) -> str:
    """A run in a few words, to choose from: its name, its preset, how many tasks."""
    name = "Demonstration" if run.path.is_relative_to(demo) else run.path.name
    return f"{name} ({run.info.preset}, {len(run.info.tasks)} tasks)"


def _run_files(folder: Path) -> list[Path]:
    """Every ``run.json`` down to `DEPTH` folders; hidden folders and what lies inside of a run are left out."""
    if not folder.is_dir():
        return []
    files = []
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        if RUN_FILE in names:
            files.append(Path(place) / RUN_FILE)
        descend = RUN_FILE not in names and depth < DEPTH
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if descend else []
    return files
