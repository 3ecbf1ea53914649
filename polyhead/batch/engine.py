"""One run over many cases: what is done already, what the worker makes of the rest, and the files that say so."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polyhead import __version__
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Case
from polyhead.batch.folder import FAILED, RESULTS, RUN, OutputFolder, refused_id
from polyhead.batch.outcome import FAILURES, STATUSES, Outcome, Summary, count_statuses, exit_status, one_line
from polyhead.batch.path_lists import write_path_list
from polyhead.batch.receipts import digest, load_receipt, receipt_holds, request_digest
from polyhead.batch.report import write_report
from polyhead.batch.supervisor import Supervisor, WorkerCannotStart
from polyhead.batch.worker import PredictorFactory, WorkerSettings
from polyhead.batch.writer import dump_json
from polyhead.files import write_whole
from polyhead.interrupts import Interrupts

Progress = Callable[[Mapping[str, Any]], None]
Finish = Callable[[Path, list[dict[str, Any]]], None]

CHECK_THREADS = 4
CHECKS_AHEAD = 64


def shard_of(case_id: str, of: int) -> int:
    """The shard, in [0, of), that a case belongs to, whatever else the input holds."""
    return int.from_bytes(hashlib.sha256(case_id.encode("utf-8", "surrogateescape")).digest()[:8], "big") % of


def run_batch(
    cases: Sequence[Case],
    out: Path,
    factory: PredictorFactory,
    *,
    model_hash: str,
    parameters: Mapping[str, Any],
    shard: tuple[int, int] = (0, 1),
    workers: int = 2,
    batch_size: int = 16,
    timeout: float | None = None,
    overwrite: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    info: Mapping[str, Any] | None = None,
    on_finish: Finish | None = None,
) -> Summary:
    """Predicts `cases` into `out` in a child process that holds the predictor; one bad case never stops the others.

    Args:
        model_hash: hash of the model's weights; part of every receipt.
        parameters: JSON values that decide the answers; part of every receipt.
        shard: (i, n): this run does the cases whose id hashes to i of n; the last shard to end leaves the merged files.
        workers: threads that read, and threads that write, in the child.
        batch_size: most cases in one `Predictor.predict`; halved where a batch fails whose cases pass alone.
        timeout: seconds that a read, a predict or a write may take; None waits for ever.
        overwrite: does every case anew.
        fail_fast: stops at the first failure; the rest is ``not_run``.
        retry_failed: reads inputs again that an earlier run found invalid.
        dry_run: only counts what would be done; writes nothing.
        progress: called with an event (a mapping with the key ``event``) whenever there is news.
        info: JSON values for ``run.json``.
        on_finish: called with `out` and the rows of all shards, once results are written.

    Raises:
        ValueError: two cases with one id, a shard outside its range, or another run at work in `out` (`FolderInUse`).
    """
    index, of = shard
    if not 0 <= index < of:
        raise ValueError(f"shard {index}/{of}: the first number must be in [0, {of})")
    if workers < 1 or batch_size < 1 or (timeout is not None and not timeout > 0):
        raise ValueError("workers and batch size must be at least 1, a timeout more than 0")
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise ValueError(f"two inputs share the case id {case.id!r}; rename one of them")
        seen.add(case.id)
    mine = [i for i, case in enumerate(cases) if shard_of(case.id, of) == index]
    run = _Run(
        cases, mine, out, model_hash, parameters, overwrite, retry_failed, fail_fast, progress or (lambda _: None)
    )
    run.progress({"event": "start", "total": len(mine), "inputs": len(cases), "shard": [index, of]})
    if dry_run:
        return run.plan()
    folder = OutputFolder(out, shard)
    with folder.hold():
        settings = WorkerSettings(str(out), model_hash, parameters, batch_size, workers)
        try:
            run.work(factory, settings, folder.worker_log, timeout)
            return run.finish(folder, info or {}, on_finish)
        except KeyboardInterrupt:
            run.interrupts.seen = True
            return run.summary()


class _Run:
    """The state of one `run_batch`."""

    def __init__(
        self,
        cases: Sequence[Case],
        mine: Sequence[int],
        out: Path,
        model: str,
        parameters: Mapping[str, Any],
        overwrite: bool,
        retry_failed: bool,
        fail_fast: bool,
        progress: Progress,
    ):
        self.cases, self.mine, self.out, self.model, self.parameters = cases, mine, out, model, parameters
        self.overwrite, self.retry_failed, self.fail_fast, self.progress = overwrite, retry_failed, fail_fast, progress
        self.start = time.monotonic()
        self.index = {cases[i].id: i for i in mine}
        self.outcomes: dict[int, Outcome] = {}
        self.planned = 0
        self.failed = False
        self.error: str | None = None
        self.interrupts = Interrupts()

    def settled(self, case: Case) -> Outcome | None:
        """What is known of a case without running it; None where it must be run."""
        refused = refused_id(case)
        if refused is not None or self.overwrite:
            return refused
        folder = self.out / case.id
        receipt = load_receipt(folder)
        if receipt is None or (receipt.status != "ok" and (receipt.status != "invalid_input" or self.retry_failed)):
            return None
        if not receipt_holds(receipt, folder, case, self.model, request_digest(self.parameters, case)):
            return None
        status = "skipped" if receipt.status == "ok" else receipt.status
        words = (receipt.code, receipt.reason, receipt.remedy, receipt.seconds, receipt.record)
        return Outcome(case.id, str(case.path), status, *words)

    def to_run(self) -> Iterator[Case]:
        """The cases that must be run; outcomes of the others are noted on the way, a few checks ahead."""
        waiting: deque[tuple[Case, Future[Outcome | None]]] = deque()
        coming = iter(self.mine)
        pool = ThreadPoolExecutor(CHECK_THREADS, "check")
        try:
            while not self.stopping():
                while len(waiting) < CHECKS_AHEAD and (i := next(coming, None)) is not None:
                    waiting.append((self.cases[i], pool.submit(self.settled, self.cases[i])))
                if not waiting:
                    return
                case, check = waiting.popleft()
                outcome = check.result()
                if outcome is None:
                    yield case
                else:
                    self.note(outcome)
        finally:
            pool.shutdown(cancel_futures=True)

    def stopping(self) -> bool:
        return self.interrupts.seen or (self.fail_fast and self.failed)

    def note(self, outcome: Outcome) -> None:
        self.outcomes[self.index[outcome.id]] = outcome
        self.failed |= outcome.is_failure
        event = {key: value for key, value in outcome.to_json().items() if key not in ("record", "input")}
        self.progress({"event": "case", **event, "done": len(self.outcomes), "total": len(self.mine)})

    def plan(self) -> Summary:
        with self.interrupts:
            for case in self.to_run():
                self.planned += 1
                self.progress({"event": "planned", "id": case.id})
        return self.summary()

    def work(self, factory: PredictorFactory, settings: WorkerSettings, log: Path, timeout: float | None) -> None:
        supervisor = Supervisor(
            factory, settings, log=log, timeout=timeout, stopping=self.stopping, notify=self.progress
        )
        with self.interrupts:
            try:
                for outcome in supervisor.run(self.to_run()):
                    self.note(outcome)
            except WorkerCannotStart as error:
                self.error = one_line(f"the predictor cannot be loaded: {error}")

    def finish(self, folder: OutputFolder, info: Mapping[str, Any], on_finish: Finish | None) -> Summary:
        """Writes this shard's part, then the files of all shards that have ended."""
        why = self.error or ("the run was interrupted" if self.interrupts.seen else "the run stopped at a failure")
        for i in self.mine:
            if i not in self.outcomes:
                case = self.cases[i]
                self.outcomes[i] = Outcome(case.id, str(case.path), "not_run", "not_run", why, "run the command again")
        summary = self.summary()
        key = [self.model, digest(dict(self.parameters))]
        header = {
            "key": key,
            "shard": [folder.index, folder.of],
            "counts": dict(summary.counts),
            "exit_status": summary.exit_status,
            "error": self.error,
            "seconds": summary.seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with folder.merging():
            folder.write_part(header, sorted(self.outcomes.items()))
            headers, rows = folder.read_parts(key)
            run = {
                "software": {"name": "polyhead", "version": __version__},
                "model_hash": self.model,
                "parameters": dict(self.parameters),
                "parameters_hash": key[1],
                "inputs": len(self.cases),
                "counts": count_statuses(row["status"] for row in rows),
                "missing_shards": sorted(set(range(folder.of)) - {part["shard"][0] for part in headers}),
                "shards": [{name: part[name] for name in header if name != "key"} for part in headers],
                "info": dict(info),
                "research_use": RESEARCH_USE,
            }
            failures = [row for row in rows if row["status"] in FAILURES]
            write_whole(self.out / RESULTS, b"".join(dump_json(row) + b"\n" for row in rows))
            entries = [(row["id"], row["input"], f"{row['status']}: {row['reason']}") for row in failures]
            write_whole(self.out / FAILED, write_path_list(entries))
            write_report(self.out, rows, run)
            write_whole(self.out / RUN, dump_json(run, indent=1) + b"\n")
            if on_finish is not None:
                try:
                    on_finish(self.out, rows)
                except Exception as error:
                    self.error = one_line(
                        f"the files of the whole set were not written: {type(error).__name__}: {error}"
                    )
                    summary = self.summary()
        self.progress({"event": "finish", "counts": dict(summary.counts), "exit_status": summary.exit_status})
        return summary

    def summary(self) -> Summary:
        counts = count_statuses(outcome.status for outcome in self.outcomes.values())
        counts |= {"planned": self.planned} if self.planned else {}
        status = exit_status(counts, len(self.cases), interrupted=self.interrupts.seen, error=self.error)
        failures = tuple(outcome for _, outcome in sorted(self.outcomes.items()) if outcome.is_failure)
        seconds = round(time.monotonic() - self.start, 3)
        return Summary(
            {name: counts[name] for name in (*STATUSES, "planned") if name in counts},
            status,
            self.out,
            seconds,
            self.error,
            failures,
        )
