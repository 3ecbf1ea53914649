"""What holds the predictor: reads ahead in threads, predicts in batches, writes in threads, and says what became."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case, Predictor
from polyhead.batch.monitor import Monitor, Stopped, monitored
from polyhead.batch.outcome import Outcome
from polyhead.batch.products import Saved
from polyhead.batch.steps import Job, fail_case, is_out_of_memory, predict_cases, read_case, write_case
from polyhead.system.disk import no_room

GATHER_SECONDS = 1.0

Emit = Callable[[dict[str, Any]], None]


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
    """What a worker is told at its start; JSON values only.

    Attributes:
        saved: the products that are wanted.
        anew: whether products that a case already has, and that are not wanted, are given up.
    """

    out: str
    model: str
    parameters: Mapping[str, Any]
    batch_size: int
    threads: int
    saved: Saved = None
    anew: bool = False


def case_to_json(case: Case) -> dict[str, Any]:
    """A case as JSON values, which `case_from_json` reads back."""
    files = [str(file) for file in case.files]
    return {"id": case.id, "path": str(case.path), "tasks": case.tasks, "options": dict(case.options), "files": files}


def case_from_json(values: Mapping[str, Any]) -> Case:
    """The case that `case_to_json` made these values of."""
    files = tuple(Path(file) for file in values["files"])
    return Case(values["id"], Path(values["path"]), tuple(values["tasks"]), values["options"], files)


def log_path(out: Path, case_id: str) -> Path:
    """Where the traceback of a failed case is kept."""
    return out / "logs" / f"{case_id}.log"


def in_flight_of(predictor: Predictor[Any, Any]) -> int:
    """How many cases a predictor bears at once; 0 where it leaves that to the runner. Negative is a `ValueError`."""
    asked = int(getattr(predictor, "in_flight", 0))
    if asked < 0:
        raise ValueError(f"the predictor's in_flight is {asked}; it must be at least 0")
    return asked


class Worker:
    """Answers the cases that it is given until it is told to stop; every word of it goes to `emit`, from any thread.

    Every word is a mapping of JSON values with ``event`` and ``time`` (of `time.monotonic`): ``stage`` with the ids of
    cases and the stage they are in (None between stages), ``part`` within a stage, ``outcome``.
    """

    def __init__(self, emit: Emit, predictor: Predictor[Any, Any], settings: WorkerSettings):
        self._emit, self.predictor, self.settings = emit, predictor, settings
        self.out = Path(settings.out)
        self.batch_size = settings.batch_size
        self._stopping = threading.Event()
        self._ready: queue.SimpleQueue[tuple[Job, Any] | None] = queue.SimpleQueue()
        self._reading = 0
        self._count = threading.Lock()
        self._readers = ThreadPoolExecutor(settings.threads, "read")
        self._writers = ThreadPoolExecutor(settings.threads, "write")

    def take(self, case: Case) -> None:
        """Takes a case to be answered."""
        settings = self.settings
        job = Job(case, self.out / case.id, settings.model, settings.parameters, log_path(self.out, case.id))
        job.saved, job.anew = settings.saved, settings.anew
        with self._count:
            self._reading += 1
        self._readers.submit(self._read, job)

    def stop(self) -> None:
        """Asks `serve` to return: nothing more is begun, what is predicted is written."""
        self._stopping.set()
        self._ready.put(None)

    def serve(self) -> None:
        """Runs until `stop`; what was predicted by then is still written."""
        while batch := self._gather():
            self._predict(batch)
            del batch  # the next batch is gathered without this one in memory
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writers.shutdown(wait=True)

    def say(self, event: str, **values: Any) -> None:
        self._emit({"event": event, "time": time.monotonic(), **values})

    @contextmanager
    def _stage(self, stage: str, jobs: Sequence[Job]) -> Iterator[None]:
        """A stage of cases, told of, with a monitor within it; ends as "between stages" where no error ends it."""
        ids = [job.case.id for job in jobs]

        def tell(done: int, total: int, what: str) -> None:
            self.say("part", ids=ids, stage=stage, done=done, total=total, what=what)

        self.say("stage", stage=stage, ids=ids)
        with monitored(Monitor(tell, self._stopping.is_set)):
            yield

    def _between(self, jobs: Sequence[Job]) -> None:
        self.say("stage", stage=None, ids=[job.case.id for job in jobs])

    def _read(self, job: Job) -> None:
        try:
            if self._stopping.is_set():
                return
            try:
                with self._stage("read", [job]):
                    item = read_case(job, self.predictor)
            except (Exception, SystemExit) as error:
                self._fail(job, "read", error)
                return
            except Stopped:
                return
            self._between([job])
            self._ready.put((job, item))
        finally:
            with self._count:
                self._reading -= 1

    def _gather(self) -> list[tuple[Job, Any]]:
        """The next batch: full while cases are being read, unless reading is slow; empty when it is time to stop."""
        batch: list[tuple[Job, Any]] = []
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

    def _predict(self, batch: list[tuple[Job, Any]]) -> None:
        jobs = [job for job, _ in batch]
        start = time.monotonic()
        error: BaseException | None = None
        try:
            with self._stage("predict", jobs):
                results = predict_cases(self.predictor, [item for _, item in batch])
        except (Exception, SystemExit) as caught:
            error, results = caught, []
        except Stopped:
            return
        if error is None:
            self._between(jobs)
            share = (time.monotonic() - start) / len(jobs)
            for job, result in zip(jobs, results, strict=True):
                job.seconds += share
                self._writers.submit(self._write, job, result)
            return
        if is_out_of_memory(error):
            self._shrink()
        alone = len(batch) == 1
        if alone:
            self._fail(jobs[0], "predict", error)
        else:
            self._between(jobs)
        error = None  # its traceback would keep what failed in memory
        for entry in () if alone else batch:
            self._predict([entry])

    def _shrink(self) -> None:
        self.batch_size = max(1, self.batch_size // 2)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _write(self, job: Job, result: Any) -> None:
        try:
            with self._stage("write", [job]):
                outcome = write_case(job, self.predictor, result)
        except (Exception, SystemExit) as error:
            self._fail(job, "write", error)
        except Stopped:
            return
        else:
            self._end(outcome)

    def _fail(self, job: Job, stage: str, error: BaseException) -> None:
        full = no_room(error)
        if full is None:
            self._end(fail_case(job, stage, error))
            return
        place = str(full.filename or job.folder)
        self.say("no_room", number=full.errno, reason=full.strerror, place=place)
        self.stop()

    def _end(self, outcome: Outcome) -> None:
        self.say("outcome", outcome=outcome.to_json())
