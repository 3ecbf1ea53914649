"""What a command says when it is stopped by Ctrl-C or SIGTERM: what was kept, and the command that goes on."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyhead.runs.identity import METRICS_FILE, RUN_FILE, SNAPSHOTS
from polyhead.system.launch import process_count


class Stopped(KeyboardInterrupt):
    """A command was stopped, and its words say what was kept."""


def program() -> list[str]:
    """The words that start this program, as they can be typed where it was started."""
    called = sys.argv[0]
    if Path(called).name == "polyhead":
        found = shutil.which("polyhead")
        same = found is not None and Path(called).exists() and Path(found).samefile(called)
        return ["polyhead"] if same or not Path(called).exists() else [called]
    if Path(called).parts[-2:] == ("apps", "cli.py"):
        return [sys.executable, "-m", "apps.cli"]
    return ["polyhead"]


def command(*, without: Collection[str] = (), more: Sequence[str] = ()) -> str:
    """The command line of this call, ready to be pasted.

    Args:
        without: flags to leave out.
        more: words that are added where they are not there yet.
    """
    words = [word for word in sys.argv[1:] if word not in without]
    return shlex.join([*program(), *words, *(word for word in more if word not in words)])


@contextmanager
def going_on() -> Iterator[None]:
    """For work that the same command goes on with: a stop says so."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; what is done is kept, and the same command goes on: {command()}") from None


@contextmanager
def training_into(run: Path, *, resumable: bool = True) -> Iterator[None]:
    """For trainings into a run folder, or into several in one folder: a stop says whether there is what to go on with.

    Args:
        run: the folder.
        resumable: whether the command has the flag ``--resume``.
    """
    before = _begun(run)
    try:
        yield
    except KeyboardInterrupt as stop:
        # `fit` says at which step it stopped.
        where = str(stop).partition(";")[0] or "stopped"
        if _begun(run) == before:
            raise Stopped(f"{where}; nothing was kept; run it again: {command()}") from None
        if not resumable:
            raise Stopped(f"{where}; begin anew: {command(more=['--overwrite'])}") from None
        kept = "a snapshot is kept" if any(run.glob(f"**/{SNAPSHOTS}/step-*")) else "no snapshot is there yet"
        if process_count() > 1:
            raise Stopped(f"{where}; {kept} in {run}; the same command with --resume goes on") from None
        onward = command(without=["--overwrite"], more=["--resume"])
        raise Stopped(f"{where}; {kept} in {run}; to go on: {onward}") from None


def words_of(stop: KeyboardInterrupt) -> str:
    """The line that is said of a stop."""
    return str(stop) if isinstance(stop, Stopped) else f"stopped; nothing was kept; run it again: {command()}"


@contextmanager
def heeding_terminations() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does, in this process alone: its children die of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, frame: Any) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _begun(folder: Path) -> dict[str, int]:
    """When each run of a folder was last written to, the folder itself and those in it."""
    files = [file for pattern in (RUN_FILE, f"*/{RUN_FILE}", f"*/*/{RUN_FILE}") for file in folder.glob(pattern)]
    stamps = {}
    for file in files:
        for each in (file, file.with_name(SNAPSHOTS), file.with_name(METRICS_FILE)):
            if each.exists():
                stamps[str(each)] = each.stat().st_mtime_ns
    return stamps
