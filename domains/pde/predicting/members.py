"""Ensembles on disk: one training with several seeds, a run each in OUT/member-0, OUT/member-1, ... Light to import."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.batch.writer import dump_json
from polyhead.files import write_whole
from polyhead.identity import digest_folder
from polyhead.runs import RUN_FILE, Run, hold
from polyhead.session import Session

if TYPE_CHECKING:
    from domains.pde.settings import PdeConfig
    from polyhead.train import FitResult

ENSEMBLE_FILE = "ensemble.json"


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds the members of an ensemble, all of them or some."""
    return (folder / ENSEMBLE_FILE).is_file()


def member_runs(folder: Path) -> list[Path]:
    """The runs that answer together: all members of an ensemble, or the run itself.

    Raises:
        ValueError: a member is missing or not trained to its end.
    """
    if not is_ensemble(folder):
        return [folder]
    members = _members(folder, _count(folder))
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


def train_members(
    data: Path,
    out: Path,
    config: PdeConfig,
    members: int,
    *,
    session: Session = Session(),
    **options: Any,
) -> list[FitResult]:
    """Trains runs with the seeds `training.seed`, + 1, ... into the folders of an ensemble.

    Args:
        data, config, options: as of `domains.pde.learning.training.train`.
        members: how many, at least two.
        session: one that is resumed leaves members that are finished as they are; one that overwrites replaces the
            ensemble that is there, its bands included.

    Returns:
        how each member ended; fewer than `members` where a limit of time ended one.

    Raises:
        ValueError: `out` holds something else, or an ensemble of another size.
    """
    from domains.pde.learning.training import train
    from polyhead.ranks import Ranks

    if members < 2:
        raise ValueError(f"an ensemble needs at least two members, got {members}")
    ranks = Ranks(config.training.device)
    session = session.among(ranks)
    ranks.first_does(lambda: _open(out, members, session.resume, session.overwrite))
    results = []
    for number, member in enumerate(_members(out, members)):
        seed = config.training.seed + number
        session.say(f"member {number + 1} of {members}, seed {seed}")
        seeded = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
        begun = replace(session, resume=session.resume and (member / RUN_FILE).is_file())
        results.append(train(data, member, seeded, session=begun, **options))
        if results[-1].stopped == "time":
            session.say(f"{member} ran out of time; the same command with --resume goes on")
            break
    return results


def _open(out: Path, members: int, resume: bool, overwrite: bool) -> None:
    from domains.pde.uncertainty.calibrate import CALIBRATION_FILE

    if is_ensemble(out):
        count = _count(out)
        if overwrite and not resume:
            there = [member for member in _members(out, count) if (member / RUN_FILE).is_file()]
            held = [hold(member) for member in there]
            for member, lock in zip(there, held, strict=True):
                shutil.rmtree(member)
                lock.release()
            # Bands are of the members that they were made with.
            (out / CALIBRATION_FILE).unlink(missing_ok=True)
        elif not resume:
            raise ValueError(f"{out} holds an ensemble already; resume it, overwrite it, or name another folder")
        elif count != members:
            raise ValueError(f"{out} is an ensemble of {count} members, not of {members}: it cannot be resumed as such")
    elif resume:
        raise ValueError(f"{out} holds no ensemble to go on with; leave --resume out")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} holds something that is no ensemble; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / ENSEMBLE_FILE, dump_json({"members": members}) + b"\n")


def _members(folder: Path, count: int) -> list[Path]:
    return [folder / f"member-{number}" for number in range(count)]


def _count(folder: Path) -> int:
    path = folder / ENSEMBLE_FILE
    try:
        count = json.loads(path.read_text(encoding="utf-8"))["members"]
        if not isinstance(count, int) or count < 2:
            raise ValueError(f"members: {count!r}")
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise ValueError(f"{path} is damaged: {failure}; train the ensemble again") from None
    return count
