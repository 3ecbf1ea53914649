"""The child process that holds the predictor: reads ahead in threads, predicts in batches, writes in threads."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case, InvalidInput, Predictor
from polyhead.batch.outcome import Outcome, one_line
from polyhead.batch.receipts import Receipt, clear_case, fingerprint, request_digest, save_receipt
from polyhead.batch.writer import CaseWriter, dump_json

GATHER_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class PredictorFactory:
    """How the worker gets its predictor.

    Attributes:
        target: ``"module:function"``; resolved in the worker only, so the parent stays light.
        arguments: JSON keyword arguments of the function, which returns a `Predictor`.
    """

    target: str
    arguments: Mapping[str, Any]

    def load(self) -> Predictor[Any, Any]:
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)(**self.arguments)


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told at its start; JSON values only."""

    out: str
    model: str
    parameters: Mapping[str, Any]
    batch_size: int
    threads: int


@dataclass
class _Job:
    case: Case
    input: Mapping[str, Any] | None = None
    seconds: float = 0.0


def log_path(out: Path, case_id: str) -> Path:
    """Where the traceback of a failed case is kept."""
    return out / "logs" / f"{case_id}.log"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that host or device memory ran out, without importing torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


class Worker:
    """Serves cases that arrive on `link` until told to stop; every answer goes back on `link` as JSON."""

    def __init__(self, link: Connection, predictor: Predictor[Any, Any], settings: WorkerSettings):
        self.link, self.predictor, self.settings = link, predictor, settings
        self.out = Path(settings.out)
        self.batch_size = settings.batch_size
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._ready: queue.SimpleQueue[tuple[_Job, Any] | None] = queue.SimpleQueue()
        self._reading = 0
        self._count = threading.Lock()
        self._readers = ThreadPoolExecutor(settings.threads, "read")
        self._writers = ThreadPoolExecutor(settings.threads, "write")

    def send(self, event: str, **values: Any) -> None:
        with self._sending:
            self.link.send_bytes(dump_json({"event": event, "time": time.monotonic(), **values}))

    def serve(self) -> None:
        """Runs until the parent says stop; what was predicted by then is still written."""
        threading.Thread(target=self._listen, daemon=True).start()
        while batch := self._gather():
            self._predict(batch)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=True)

    def _listen(self) -> None:
        while True:
            try:
                message = json.loads(self.link.recv_bytes())
            except (EOFError, OSError):
                os._exit(1)  # the parent is gone: nobody would hear the answers
            if message["do"] == "case":
                case = Case(message["id"], Path(message["path"]), tuple(message["tasks"]), message["options"])
                with self._count:
                    self._reading += 1
                self._readers.submit(self._read, _Job(case))
            elif message["do"] == "batch_size":
                self.batch_size = message["size"]
            else:
                self._stopping.set()
                self._ready.put(None)

    def _stage(self, stage: str | None, jobs: Sequence[_Job]) -> None:
        self.send("stage", stage=stage, ids=[job.case.id for job in jobs])

    def _read(self, job: _Job) -> None:
        try:
            if self._stopping.is_set():
                return
            start = time.monotonic()
            self._stage("read", [job])
            try:
                clear_case(self.out / job.case.id)
                log_path(self.out, job.case.id).unlink(missing_ok=True)
                job.input = fingerprint(job.case.path)
                item = self.predictor.read(job.case)
            except (Exception, SystemExit) as error:
                self._fail(job, "read", error)
                return
            job.seconds += time.monotonic() - start
            self._stage(None, [job])
            self._ready.put((job, item))
        finally:
            with self._count:
                self._reading -= 1

    def _gather(self) -> list[tuple[_Job, Any]]:
        """The next batch: full while cases are being read, unless reading is slow; empty when it is time to stop."""
        batch: list[tuple[_Job, Any]] = []
        deadline = float("inf")
        while len(batch) < self.batch_size and not self._stopping.is_set():
            drained = self._reading == 0
            try:
                entry = self._ready.get(block=not (batch and drained), timeout=0.02 if batch else None)
            except queue.Empty:
                if drained or time.monotonic() > deadline:
                    break
                continue
            if entry is None:
                break
            if not batch:
                deadline = time.monotonic() + GATHER_SECONDS
            batch.append(entry)
        return [] if self._stopping.is_set() else batch

    def _predict(self, batch: list[tuple[_Job, Any]]) -> None:
        jobs = [job for job, _ in batch]
        start = time.monotonic()
        self._stage("predict", jobs)
        error: BaseException | None = None
        try:
            results = self.predictor.predict([item for _, item in batch])
            if len(results) != len(batch):
                raise ValueError(f"the predictor gave {len(results)} results for {len(batch)} items")
        except (Exception, SystemExit) as caught:
            error, results = caught, []
        if error is None:
            self._stage(None, jobs)
            share = (time.monotonic() - start) / len(jobs)
            for job, result in zip(jobs, results, strict=True):
                job.seconds += share
                self._writers.submit(self._write, job, result)
            return
        if is_out_of_memory(error):
            self._shrink()
        if len(batch) == 1:
            self._fail(jobs[0], "predict", error)
            return
        error = None  # its traceback would keep the failed batch in memory
        self._stage(None, jobs)
        for entry in batch:
            self._predict([entry])

    def _shrink(self) -> None:
        self.batch_size = max(1, self.batch_size // 2)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _write(self, job: _Job, result: Any) -> None:
        case, start = job.case, time.monotonic()
        self._stage("write", [job])
        folder = self.out / case.id
        writer = CaseWriter(folder)
        try:
            record = self.predictor.write(case, result, writer)
            dump_json(record)
            outputs = writer.commit()
            job.seconds = round(job.seconds + time.monotonic() - start, 4)
            save_receipt(folder, self._receipt(job, "ok", outputs=outputs, record=record))
        except (Exception, SystemExit) as error:
            writer.discard()
            self._fail(job, "write", error)
            return
        self._send_outcome(Outcome(case.id, str(case.path), "ok", seconds=job.seconds, record=record))

    def _receipt(self, job: _Job, status: str, **values: Any) -> Receipt:
        request = request_digest(self.settings.parameters, job.case)
        model, source = self.settings.model, job.input or {}
        return Receipt(status, job.case.id, source, model, request, seconds=job.seconds, **values)

    def _fail(self, job: _Job, stage: str, error: BaseException) -> None:
        job.seconds = round(job.seconds, 4)
        folder = self.out / job.case.id
        words: dict[str, Any]
        if isinstance(error, InvalidInput):
            words = {"code": error.code, "reason": one_line(error.reason), "remedy": one_line(error.remedy)}
            outcome = Outcome(job.case.id, str(job.case.path), "invalid_input", seconds=job.seconds, **words)
            if job.input is not None:
                with suppress(OSError):  # without a receipt the case is only read again next time
                    save_receipt(folder, self._receipt(job, "invalid_input", **words))
        else:
            kept = self._log(job.case, error)
            status, code, remedy = "failed", f"error_in_{stage}", f"the traceback is in {kept}" if kept else ""
            if is_out_of_memory(error):
                status, code, remedy = "oom", "out_of_memory", "give more memory, or make the input smaller"
            reason = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            outcome = Outcome(job.case.id, str(job.case.path), status, code, reason, remedy, job.seconds)
        self._send_outcome(outcome)

    def _log(self, case: Case, error: BaseException) -> str:
        path = log_path(self.out, case.id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
        except OSError:
            return ""
        return path.relative_to(self.out).as_posix()

    def _send_outcome(self, outcome: Outcome) -> None:
        self.send("outcome", outcome=asdict(outcome))


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
    setup = json.loads(link.recv_bytes())
    start = time.monotonic()
    try:
        predictor = PredictorFactory(**setup["factory"]).load()
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        reason = one_line(f"{type(error).__name__}: {error}")
        link.send_bytes(dump_json({"event": "load_failed", "time": time.monotonic(), "reason": reason}))
        os._exit(1)
    worker = Worker(link, predictor, WorkerSettings(**setup["settings"]))
    worker.send("ready", seconds=round(time.monotonic() - start, 3))
    worker.serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a library's exit handlers cannot hang or crash a finished worker
