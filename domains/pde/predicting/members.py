"""Ensembles on disk: a run each in OUT/member-0, OUT/member-1, ... Light to import."""

from __future__ import annotations

import json
from pathlib import Path

from polyhead.batch.writer import dump_json
from polyhead.runs.identity import digest_folder
from polyhead.runs.run import RUN_FILE, Run
from polyhead.system.files import write_whole

ENSEMBLE_FILE = "ensemble.json"


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds the members of an ensemble, all of them or some."""
    return (folder / ENSEMBLE_FILE).is_file()


def describe_ensemble(folder: Path, count: int) -> None:
    """Makes a folder that of an ensemble of `count` members."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ENSEMBLE_FILE, dump_json({"members": count}) + b"\n")


def member_runs(folder: Path) -> list[Path]:
    """The runs that answer together: all members of an ensemble, or the run itself.

    Raises:
        ValueError: a member is missing or not trained to its end.
    """
    if not is_ensemble(folder):
        return [folder]
    members = member_folders(folder, member_count(folder))
    for member in members:
        if not (member / RUN_FILE).is_file() or not Run.open(member).info.finished:
            raise ValueError(f"{member} is not trained to its end: the same `train` with --resume goes on")
    return members


def identity(folder: Path) -> str:
    """Which model answers: that of a run, or of all members of an ensemble and what lies beside them.

    Raises:
        ValueError: as `member_runs`, or a run has no weights yet.
    """
    if not is_ensemble(folder):
        return Run.open(folder).identity()
    return digest_folder(folder, {"members": [Run.open(member).identity() for member in member_runs(folder)]})


def member_folders(folder: Path, count: int) -> list[Path]:
    """The folders of `count` members, whether they are there or not."""
    return [folder / f"member-{number}" for number in range(count)]


def member_count(folder: Path) -> int:
    """How many members an ensemble has; a damaged `ENSEMBLE_FILE` is a `ValueError`."""
    path = folder / ENSEMBLE_FILE
    try:
        count = json.loads(path.read_text(encoding="utf-8"))["members"]
        if not isinstance(count, int) or count < 2:
            raise ValueError(f"members: {count!r}")
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise ValueError(f"{path} is damaged: {failure}; train the ensemble again") from None
    return count
