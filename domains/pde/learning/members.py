"""Trains the members of an ensemble: one training with several seeds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from domains.pde.learning.training import train
from domains.pde.predicting.members import describe_ensemble, is_ensemble, member_count, member_folders
from domains.pde.settings import PdeConfig
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.runs.run import RUN_FILE, hold
from polyhead.system.ranks import Ranks
from polyhead.train import FitResult
from polyhead.training.session import Session


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
    if members < 2:
        raise ValueError(f"an ensemble needs at least two members, got {members}")
    ranks = Ranks(config.training.device)
    session = session.among(ranks)
    ranks.first_does(lambda: _open(out, members, session.resume, session.overwrite))
    results = []
    for number, member in enumerate(member_folders(out, members)):
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
    if is_ensemble(out):
        count = member_count(out)
        if overwrite and not resume:
            there = [member for member in member_folders(out, count) if (member / RUN_FILE).is_file()]
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
    describe_ensemble(out, members)
