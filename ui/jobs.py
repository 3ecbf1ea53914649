"""Long work as a job in its own process, with its state on disk: it outlives a click, a reload and the server.

A job is a folder::

    job.json        what was asked: id, title, argv, cwd, result folder, time     written once, by `start_job`
    processes.json  process ids and their start times                             written by the keeper
    cancel.json     someone asked for the end                                     written by `Job.cancel`
    end.json        exit status and time                                          written by the keeper
    stderr.log      the command's log, JSON lines where it was started with --log-json
    stdout.log      the command's answer
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from polyhead.system.files import write_whole

START_SECONDS = 30.0
"""A job whose keeper has not reported after this time counts as lost."""

STATES = {
    "starting": "Starting",
    "running": "Running",
    "cancelling": "Cancelling",
    "done": "Done",
    "partly": "Done, some cases failed",
    "no_input": "No valid input",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "lost": "Lost: the process ended without a word",
}
"""States of a job and how they are told to people."""

_BY_STATUS = {0: "done", 3: "partly", 4: "no_input", 130: "cancelled"}
_LIVE = ("starting", "running", "cancelling")
_children: dict[str, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Progress:
    """How far a job is: cases done, cases failed, and all of them where that is known."""

    done: int
    failed: int
    total: int | None

    @property
    def fraction(self) -> float:
        """Share of the cases that are behind us, in [0, 1]; 0 while the total is unknown."""
        return min((self.done + self.failed) / self.total, 1.0) if self.total else 0.0


@dataclass(frozen=True)
class JobStatus:
    """What is known of a job at one moment; `state` is a key of `STATES`, `seconds` its running time."""

    state: str
    progress: Progress | None
    seconds: float
    returncode: int | None

    @property
    def live(self) -> bool:
        return self.state in _LIVE

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at the pace so far, or None where nothing is done yet."""
        if not self.live or self.progress is None or not 0 < self.progress.fraction < 1:
            return None
        return self.seconds * (1 / self.progress.fraction - 1)


@dataclass(frozen=True)
class Job:
    """A job on disk. Two objects of the same folder are the same job."""

    folder: Path
    id: str
    title: str
    argv: tuple[str, ...]
    started: float
    result: Path | None

    def poll(self) -> JobStatus:
        """Reads the job's state from its folder and the process table.

        A command that lost its keeper before it was cancelled is killed here: nobody else is left to do it.
        """
        _reap(self.id)
        end = read_json(self.folder / "end.json")
        cancelled = (self.folder / "cancel.json").exists()
        progress = last_progress(self.folder / "stderr.log")
        if end is not None:
            state = "cancelled" if cancelled and end["returncode"] != 0 else _BY_STATUS.get(end["returncode"], "failed")
            return JobStatus(state, progress, end["ended"] - self.started, end["returncode"])
        process = read_json(self.folder / "processes.json")
        seconds = time.time() - self.started
        if process is None:
            state = "starting" if seconds < START_SECONDS else "lost"
        elif _alive(process["keeper"]):
            state = "cancelling" if cancelled else "running"
        elif _alive(process["child"]):
            state = "cancelling" if cancelled else "running"
            if cancelled:
                _kill_group(process["child"]["pid"])
        elif (self.folder / "end.json").exists():
            return self.poll()
        else:
            state = "cancelled" if cancelled else "lost"
        return JobStatus(state, progress, seconds, None)

    def cancel(self) -> bool:
        """Asks the job to end: SIGINT first; its keeper follows with SIGTERM and SIGKILL. False: it had ended."""
        if not self.poll().live:
            return False
        write_json(self.folder / "cancel.json", {"asked": time.time()})
        process = read_json(self.folder / "processes.json")
        if process is not None and _alive(process["keeper"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process["keeper"]["pid"], signal.SIGINT)
        return True

    def wait(self, timeout: float) -> JobStatus:
        """Waits until the job has ended; `TimeoutError` after `timeout` seconds."""
        limit = time.monotonic() + timeout
        while (status := self.poll()).live:
            if time.monotonic() > limit:
                raise TimeoutError(f"job {self.id} still {status.state} after {timeout:g} s")
            time.sleep(0.05)
        return status

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log; progress lines, which the bar shows, are left out."""
        kept = (line for line in _tail(self.folder / "stderr.log") if _progress_of(line) is None)
        return "\n".join(deque(kept, maxlen=lines))


def start_job(folder: Path, argv: Sequence[str], title: str, result: Path | None = None) -> Job:
    """Starts a command as a job under the registry `folder`.

    Args:
        folder: the registry; it is made where it is missing, for the user alone.
        argv: the command and its arguments, as a list: no shell is involved.
        title: what the job is, in a few words.
        result: where the command leaves its results.
    """
    if not argv:
        raise ValueError("a job needs a command")
    started = time.time()
    name = datetime.fromtimestamp(started, UTC).strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
    home = folder.resolve() / name
    home.mkdir(parents=True, mode=0o700)
    asked = {
        "id": name,
        "title": title,
        "argv": list(argv),
        "cwd": str(Path.cwd()),
        "result": str(result.resolve()) if result else None,
        "started": started,
    }
    write_json(home / "job.json", asked)
    _children[name] = subprocess.Popen(
        [sys.executable, "-m", "ui.job_keeper", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return load_job(home)


def load_job(home: Path) -> Job:
    """Reads one job's folder; a folder without a readable ``job.json`` is a `ValueError`."""
    asked = read_json(home / "job.json")
    if asked is None:
        raise ValueError(f"{home} is no job: job.json is missing or broken")
    result = Path(asked["result"]) if asked["result"] else None
    return Job(home, asked["id"], asked["title"], tuple(asked["argv"]), asked["started"], result)


def list_jobs(folder: Path) -> list[Job]:
    """All jobs of a registry, the newest first; folders that are no jobs are left out."""
    if not folder.is_dir():
        return []
    jobs = [load_job(path.parent) for path in folder.resolve().glob("*/job.json") if read_json(path) is not None]
    return sorted(jobs, key=lambda job: job.started, reverse=True)


def last_progress(log: Path) -> Progress | None:
    """The last progress event of a log of JSON lines: ``{"event": "progress", "done": 3, "failed": 0, "total": 9}``."""
    for line in reversed(_tail(log)):
        if (found := _progress_of(line)) is not None:
            return found
    return None


def _progress_of(line: str) -> Progress | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
        if event.get("event") != "progress":
            return None
        total = event.get("total")
        return Progress(int(event["done"]), int(event.get("failed", 0)), None if total is None else int(total))
    except (ValueError, KeyError, TypeError):
        return None


def _tail(log: Path, size: int = 1 << 18) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _alive(process: dict[str, Any]) -> bool:
    """Whether this very process runs: a process id that went to another process has another start time."""
    try:
        found = psutil.Process(process["pid"])
        return abs(found.create_time() - process["started"]) < 1 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _reap(name: str) -> None:
    """Takes the exit status of a keeper that is our child, so that no zombie stays."""
    if name in _children and _children[name].poll() is not None:
        del _children[name]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file, or None where there is none or it is broken."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes a file whole or not at all."""
    write_whole(path, json.dumps(value, indent=1).encode())
