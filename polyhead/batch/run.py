"""One run over many cases: what is done already, what a runner makes of the rest, and the files that say so."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case
from polyhead.batch.folder import OutputFolder
from polyhead.batch.keeper import Keeper
from polyhead.batch.merge import merge
from polyhead.batch.outcome import Outcome, Summary, one_line
from polyhead.batch.parts import Rows
from polyhead.batch.receipts import Verify, digest
from polyhead.batch.runner import MakeRunner, Progress, Runner, WorkerCannotStart
from polyhead.batch.settled import Settled, checked_ahead, settled
from polyhead.batch.supervisor import LocalRunner
from polyhead.batch.worker import PredictorFactory, WorkerSettings
from polyhead.system.interrupts import Interrupts

OnMerged = Callable[[Path, Rows], None]


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
    verify: Verify = "quick",
    dry_run: bool = False,
    progress: Progress | None = None,
    info: Mapping[str, Any] | None = None,
    on_merged: OnMerged | None = None,
    make_runner: MakeRunner = LocalRunner,
) -> Summary:
    """Predicts `cases` into `out` in a child process that holds the predictor; one bad case never stops the others.

    Args:
        model_hash: hash of the model's weights; part of every receipt.
        parameters: JSON values that decide the answers; part of every receipt.
        shard: (i, n): this run does the cases whose id hashes to i of n; the last shard to end leaves the merged files.
        workers: threads that read, and threads that write, in the child.
        batch_size: most cases in one `Predictor.predict`; halved where a batch fails whose cases pass alone.
        timeout: seconds that a read, a predict or a write, or a part of one that it tells of, may take; None waits for
            ever.
        overwrite: does every case anew.
        fail_fast: stops at the first failure; the rest is ``not_run``.
        retry_failed: reads inputs again that an earlier run found invalid.
        verify: whether a case counts as done by size, time and inode of its files where they show every change, or
            only after all of them were read ("full").
        dry_run: only counts what would be done; writes nothing.
        progress: called with an event (a mapping with the key ``event``) whenever there is news.
        info: JSON values for ``run.json``.
        on_merged: called with `out` and the rows of all shards that have ended, once the results are written.
        make_runner: what runs the cases that are not done yet.

    Raises:
        ValueError: two cases with one id, a shard outside its range, a trained model in `out`, or another run at
            work there (`FolderInUse`).
    """
    index, of = shard
    if not 0 <= index < of:
        raise ValueError(f"shard {index}/{of}: the first number must be in [0, {of})")
    if workers < 1 or batch_size < 1 or (timeout is not None and not timeout > 0):
        raise ValueError("workers and batch size must be at least 1, a timeout more than 0")
    _refuse_twins(cases)
    progress = progress or (lambda _: None)
    mine = array("q", (i for i, case in enumerate(cases) if of == 1 or shard_of(case.id, of) == index))
    keeper = Keeper(out, len(cases), len(mine), progress)
    choice = {"overwrite": overwrite, "retry_failed": retry_failed, "verify": verify}
    check = partial(settled, out=out, model=model_hash, parameters=parameters, **choice)
    interrupts = Interrupts()

    def stopping() -> bool:
        return interrupts.seen or (fail_fast and keeper.failed)

    folder = OutputFolder(out, shard)
    folder.refuse_other_content()
    progress({"event": "start", "total": len(mine), "inputs": len(cases), "shard": [index, of]})
    if dry_run:
        with interrupts:
            for _, case in _to_run(cases, mine, check, keeper, stopping):
                keeper.plan(case.id)
        return keeper.summary(interrupted=interrupts.seen)
    key = [model_hash, digest(dict(parameters))]
    with folder.hold():
        try:
            keeper.part = folder.begin_part(key)
            settings = WorkerSettings(str(out), model_hash, parameters, batch_size, workers)
            runner = make_runner(factory, settings, log=folder.worker_log, timeout=timeout)
            with interrupts:
                error = _work(runner, _to_run(cases, mine, check, keeper, stopping), keeper, stopping)
            why = error or ("the run was interrupted" if interrupts.seen else "the run stopped at a failure")
            _keep_unreached(cases, mine, keeper, why)
            summary = keeper.summary(interrupted=interrupts.seen, error=error)
            with folder.merging():
                keeper.part.end(_facts_of(shard, summary))
                facts = {"model_hash": model_hash, "parameters": dict(parameters), "parameters_hash": key[1]}
                rows = merge(folder, key, facts | {"inputs": len(cases), "info": dict(info or {})})
                if on_merged is not None:
                    try:
                        on_merged(out, rows)
                    except Exception as wrong:
                        error = f"the files of the whole set were not written: {type(wrong).__name__}: {wrong}"
                        summary = keeper.summary(interrupted=interrupts.seen, error=one_line(error))
        except KeyboardInterrupt:
            return keeper.summary(interrupted=True)
        finally:
            if keeper.part is not None:
                keeper.part.close()
    told = {"counts": dict(summary.counts), "warnings": summary.warnings.to_json()}
    progress({"event": "finish", **told, "exit_status": summary.exit_status})
    return summary


def _refuse_twins(cases: Sequence[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise ValueError(f"two inputs share the case id {case.id!r}; rename one of them")
        seen.add(case.id)


def _to_run(
    cases: Sequence[Case],
    mine: Sequence[int],
    check: Callable[[Case], Settled | None],
    keeper: Keeper,
    stopping: Callable[[], bool],
) -> Iterator[tuple[int, Case]]:
    """The cases that must be run, each with its index; outcomes of the others are kept on the way."""
    with_cases = ((i, cases[i]) for i in mine)
    for index, case, found in checked_ahead(with_cases, check, total=len(mine), stopping=stopping):
        if found is None:
            yield index, case
        else:
            keeper.note(index, found.outcome, found.software)


def _work(
    runner: Runner, to_run: Iterator[tuple[int, Case]], keeper: Keeper, stopping: Callable[[], bool]
) -> str | None:
    """Runs the cases; returns what kept the predictor from being loaded, None where nothing did."""
    at_work: dict[str, int] = {}

    def given() -> Iterator[Case]:
        for index, case in to_run:
            at_work[case.id] = index
            yield case

    try:
        for outcome in runner.run(given(), stopping=stopping, notify=keeper.progress):
            keeper.note(at_work.pop(outcome.id), outcome)
    except WorkerCannotStart as error:
        return one_line(f"the predictor cannot be loaded: {error}")
    return None


def _keep_unreached(cases: Sequence[Case], mine: Sequence[int], keeper: Keeper, why: str) -> None:
    """Every case has a line: those that were not reached say why."""
    for index in mine:
        if not keeper.knows(index):
            case = cases[index]
            keeper.keep(index, Outcome(case.id, str(case.path), "not_run", "not_run", why, "run the command again"))


def _facts_of(shard: tuple[int, int], summary: Summary) -> dict[str, Any]:
    """What the end of a part says of the run that wrote it."""
    return {
        "shard": list(shard),
        "counts": dict(summary.counts),
        "exit_status": summary.exit_status,
        "error": summary.error,
        "seconds": summary.seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "notes": list(summary.notes),
    }
