"""The process that stands between a page and a job's command: it starts it, passes signals on, records its end.

Run as ``python -m ui.job_keeper JOB_FOLDER``. It lives in a session of its own, so it outlives the server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from ui.jobs import read_json, write_json

GRACE_SECONDS = (15.0, 5.0)
"""After SIGINT, the time until SIGTERM; after that, the time until SIGKILL."""


def main(home: Path) -> int:
    """Runs the command of a job folder to its end and returns the command's exit status."""
    asked = read_json(home / "job.json")
    if asked is None:
        return 2
    asked_to_end: list[float] = []

    def note(signum: int, frame: object) -> None:
        asked_to_end.append(time.monotonic())

    # A handler, unlike SIG_IGN, is not inherited: the command starts with the usual signals whatever the server had.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, note)
    with (home / "stdout.log").open("wb") as answer, (home / "stderr.log").open("wb") as log:
        try:
            child = subprocess.Popen(
                asked["argv"],
                cwd=asked["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            log.write(f"the command does not start: {error}\n".encode())
            # Who reads that it has ended reads why, too.
            log.flush()
            write_json(home / "end.json", {"returncode": 127, "ended": time.time()})
            return 127
    write_json(home / "processes.json", {"keeper": _identity(os.getpid()), "child": _identity(child.pid)})
    if (home / "cancel.json").exists():
        asked_to_end.append(time.monotonic())
    status = _wait(child, asked_to_end)
    # A command that a signal killed has a negative status here; shells and our contract say 128 + signal.
    status = status if status >= 0 else 128 - status
    write_json(home / "end.json", {"returncode": status, "ended": time.time()})
    return status


def _wait(child: subprocess.Popen[bytes], asked_to_end: list[float]) -> int:
    steps = [(0.0, signal.SIGINT), (GRACE_SECONDS[0], signal.SIGTERM), (sum(GRACE_SECONDS), signal.SIGKILL)]
    while True:
        try:
            return child.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if asked_to_end and steps and time.monotonic() - asked_to_end[0] >= steps[0][0]:
                os.killpg(child.pid, steps.pop(0)[1])


def _identity(pid: int) -> dict[str, float]:
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.Error:
        return {"pid": pid, "started": 0.0}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
