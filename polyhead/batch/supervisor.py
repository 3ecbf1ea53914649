"""The parent's side of a worker: feeds it, watches it, and finds out which case brought it down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case
from polyhead.batch.outcome import Outcome
from polyhead.batch.runner import Progress, WorkerCannotStart
from polyhead.batch.worker import PredictorFactory, WorkerSettings, case_to_json
from polyhead.system.files import sweep_temporaries

POLL_SECONDS = 0.1
READ_SECONDS = 300.0
"""How long reading a case may take, or a part of it that it tells of, where no other limit is set."""
START_ATTEMPTS = 2

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from polyhead.batch.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


_REMEDIES = {
    "timeout": "raise --timeout, or look at the file",
    "oom": "give more memory, or make the input smaller",
    "crashed": "leave the file out if it crashes again; the worker's output is in {log}",
}


@dataclass
class _InFlight:
    case: Case
    started: bool = False
    stage: str | None = None
    since: float = 0.0


class _Child:
    """One worker process and the connection to it."""

    def __init__(self, factory: PredictorFactory, settings: WorkerSettings, log: Path):
        self.link, theirs = Pipe()
        self.ready = False
        self.in_flight = 0
        self.hung_in: str | None = None
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        with log.open("ab") as stream:
            # its own process group: Ctrl-C reaches the parent alone, which lets the worker finish
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        theirs.close()
        self.send({"factory": asdict(factory), "settings": asdict(settings)})

    def send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # a dead worker is noticed, and dealt with, when the connection is read
            self.link.send_bytes(json.dumps(message).encode())

    def end(self, patience: float) -> int:
        """Waits for a worker that is about to leave, then kills what is left of it; returns its exit code."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


def _death(code: int) -> tuple[str, str, str]:
    """Status, code and reason for a worker that ended with `code` while it worked on one case."""
    if code == -signal.SIGKILL:
        return "oom", "killed", "the worker was killed (SIGKILL), most likely because memory ran out"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return "crashed", name, f"the worker crashed with {name}"
    return "crashed", "worker-exit", f"the worker left with exit status {code}"


class LocalRunner:
    """Runs cases through one child process; loads the predictor once, and again after a death.

    When the worker dies or hangs, every case that it had begun is tried alone, so that only the culprit is blamed.
    Cases are given to the worker as it has room: as many as its predictor bears, or two batches and what is read and
    written beside them.
    """

    def __init__(self, factory: PredictorFactory, settings: WorkerSettings, *, log: Path, timeout: float | None):
        self.factory, self.settings, self.log, self.timeout = factory, settings, log, timeout
        self._stopping: Callable[[], bool] = lambda: False
        self._notify: Progress = lambda _: None
        self._child: _Child | None = None
        self._batch_size = settings.batch_size
        self._flight: dict[str, _InFlight] = {}
        self._suspects: deque[Case] = deque()
        self._trial = self._blamed = False
        self._returned: deque[Case] = deque()
        self._failed_starts = 0
        self._full: OSError | None = None

    def run(self, cases: Iterator[Case], *, stopping: Callable[[], bool], notify: Progress) -> Iterator[Outcome]:
        """Yields an outcome for every case; see `polyhead.batch.runner.Runner`."""
        self._stopping, self._notify = stopping, notify
        try:
            stop_sent = False
            while True:
                if self._stopping() or self._full is not None:
                    if self._child is None or not self._child.ready:
                        break
                    if not stop_sent:
                        self._child.send({"do": "stop"})
                        stop_sent = True
                else:
                    self._feed(cases)
                    if not self._flight:
                        break
                yield from self._listen(stop_sent)
                if stop_sent and self._child is None:
                    break
        finally:
            self.close()
        if self._full is not None:
            raise self._full

    def close(self) -> None:
        """Ends the worker: asks it where it is idle, kills it otherwise."""
        child, self._child = self._child, None
        if child is None:
            return
        idle = child.ready and not self._flight
        if idle:
            child.send({"do": "stop"})
        child.end(patience=5.0 if idle else 0.0)
        child.link.close()

    def _feed(self, cases: Iterator[Case]) -> None:
        if self._trial and not self._flight and not self._suspects:
            if not self._blamed and self._batch_size > 1:
                # alone each of them passed: together they were too much
                self._batch_size //= 2
                if self._child is not None:
                    self._child.send({"do": "batch_size", "size": self._batch_size})
            self._trial = False
        if self._trial:
            if not self._flight:
                self._send(self._suspects.popleft())
            return
        while len(self._flight) < self._room() and not self._stopping():
            case = self._returned.popleft() if self._returned else next(cases, None)
            if case is None:
                return
            self._send(case)

    def _room(self) -> int:
        """How many cases the worker may hold: one until it has said how many its predictor bears."""
        if self._child is None or not self._child.ready:
            return 1
        return self._child.in_flight or 2 * self.settings.batch_size + 2 * self.settings.threads

    def _send(self, case: Case) -> None:
        if self._child is None:
            self._notify({"event": "loading"})
            settings = WorkerSettings(**{**asdict(self.settings), "batch_size": self._batch_size})
            self._child = _Child(self.factory, settings, self.log)
        self._flight[case.id] = _InFlight(case)
        self._child.send({"do": "case", "case": case_to_json(case)})

    def _listen(self, stop_sent: bool) -> Iterator[Outcome]:
        """Takes in what the worker says within a moment, then looks whether it lives and moves."""
        child = self._child
        if child is None:
            return
        alive = True
        wait = POLL_SECONDS
        while alive and (message := self._receive(child.link, wait)) is not None:
            wait = 0.0
            alive = message["event"] != "end"
            outcome = self._take(child, message)
            if outcome is not None:
                yield outcome
        if alive and child.process.poll() is None:
            self._kill_if_stuck(child)
            return
        while (message := self._receive(child.link, 0.0)) is not None and message["event"] != "end":
            outcome = self._take(child, message)
            if outcome is not None:
                yield outcome
        yield from self._bury(child, stop_sent)

    def _receive(self, link: Connection, wait: float) -> dict[str, Any] | None:
        try:
            return json.loads(link.recv_bytes()) if link.poll(wait) else None
        except (EOFError, OSError):
            return {"event": "end"}

    def _take(self, child: _Child, message: dict[str, Any]) -> Outcome | None:
        if message["event"] == "ready":
            child.ready, child.in_flight = True, message["in_flight"]
            self._notify({"event": "ready", "seconds": message["seconds"]})
        elif message["event"] == "load_failed":
            raise WorkerCannotStart(message["reason"], mendable=message["mendable"])
        elif message["event"] == "stage":
            for name in message["ids"]:
                entry = self._flight[name]
                entry.started, entry.stage, entry.since = True, message["stage"], message["time"]
        elif message["event"] == "part":
            for name in message["ids"]:
                if (entry := self._flight.get(name)) is not None:
                    entry.since = message["time"]
            told = {name: message[name] for name in ("stage", "done", "total", "what")}
            self._notify({"event": "part", "id": message["ids"][0], "cases": len(message["ids"]), **told})
        elif message["event"] == "no_room":
            self._full = self._full or OSError(message["number"], message["reason"], message["place"])
        elif message["event"] == "outcome":
            outcome = Outcome(**message["outcome"])
            del self._flight[outcome.id]
            self._failed_starts = 0
            return outcome
        return None

    def _kill_if_stuck(self, child: _Child) -> None:
        now = time.monotonic()
        for entry in self._flight.values():
            limit = self._limit(entry.stage)
            if limit is not None and entry.since < now - limit:
                child.hung_in = entry.stage
                child.end(patience=0.0)
                return

    def _limit(self, stage: str | None) -> float | None:
        """Seconds that a stage may take: what is read may lie where nothing answers, so reading always has an end."""
        if stage is None or self.timeout is not None:
            return None if stage is None else self.timeout
        return READ_SECONDS if stage == "read" else None

    def _bury(self, child: _Child, stop_sent: bool) -> Iterator[Outcome]:
        """Draws the conclusions from a worker that has ended."""
        code = child.end(patience=2.0)
        child.link.close()
        self._child = None
        if stop_sent or self._full is not None:
            return
        begun = [entry.case for entry in self._flight.values() if entry.started]
        self._returned.extendleft(reversed([entry.case for entry in self._flight.values() if not entry.started]))
        self._flight.clear()
        status, sign, reason = _death(code)
        if child.hung_in is not None:
            status, sign = "timeout", f"timeout-in-{child.hung_in}"
            reason = f"no end of {child.hung_in} within {self._limit(child.hung_in):g} s"
        if not begun:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                raise WorkerCannotStart(f"{reason} before it began a case; its output is in {self.log}")
            return
        self._notify({"event": "worker_ended", "reason": reason, "suspects": len(begun)})
        if len(begun) > 1:
            self._trial, self._blamed = True, False
            self._suspects.extend(begun)
            return
        self._blamed = True
        sweep_temporaries(Path(self.settings.out) / begun[0].id)
        yield Outcome(
            begun[0].id,
            str(begun[0].path),
            status,
            sign,
            reason,
            _REMEDIES[status].format(log=f"{self.log.parent.name}/{self.log.name}"),
        )
