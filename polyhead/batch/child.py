"""The process around a worker: what the parent says comes in by a pipe, and what the worker says goes back by it."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from polyhead.batch.outcome import one_line
from polyhead.batch.steps import is_out_of_memory
from polyhead.batch.worker import PredictorFactory, Worker, WorkerSettings, case_from_json, in_flight_of
from polyhead.batch.writer import dump_json

_PR_SET_PDEATHSIG = 1


class _Line:
    """The way to the parent; many threads may speak."""

    def __init__(self, link: Connection):
        self.link = link
        self._sending = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        with self._sending:
            self.link.send_bytes(dump_json(message))


def listen(link: Connection, worker: Worker) -> None:
    """Does what the parent says, for ever; a parent that is gone ends the process."""
    while True:
        try:
            message = json.loads(link.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone: nobody would hear the answers
        if message["do"] == "case":
            worker.take(case_from_json(message["case"]))
        elif message["do"] == "batch_size":
            worker.batch_size = message["size"]
        else:
            worker.stop()


def _die_with_parent(parent: int) -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(descriptor: int, parent: int) -> None:
    """Entry of the child: takes the set-up from the connection at `descriptor`, loads the predictor, serves."""
    os.set_inheritable(descriptor, False)
    _die_with_parent(parent)
    faulthandler.enable()
    with suppress(OSError):  # when memory runs out the kernel should take the worker, not the run
        Path("/proc/self/oom_score_adj").write_text("500")
    link = Connection(descriptor)
    line = _Line(link)
    setup = json.loads(link.recv_bytes())
    start = time.monotonic()
    try:
        predictor = PredictorFactory(**setup["factory"]).load()
        in_flight = in_flight_of(predictor)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        mendable = isinstance(error, ValueError | OSError | ModuleNotFoundError) or is_out_of_memory(error)
        reason = one_line(f"{error}" if mendable and str(error) else f"{type(error).__name__}: {error}")
        line.say({"event": "load_failed", "time": time.monotonic(), "reason": reason, "mendable": mendable})
        os._exit(1)
    worker = Worker(line.say, predictor, WorkerSettings(**setup["settings"]))
    worker.say("ready", seconds=round(time.monotonic() - start, 3), in_flight=in_flight)
    threading.Thread(target=listen, args=(link, worker), daemon=True).start()
    worker.serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a library's exit handlers cannot hang or crash a finished worker
