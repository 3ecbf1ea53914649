"""One run over many cases: what is done already, what a runner makes of the rest, and the files that say so."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case
from polyhead.batch.claim import refuse_foreign
from polyhead.batch.folder import OutputFolder
from polyhead.batch.keeper import Keeper
from polyhead.batch.merge import merge
from polyhead.batch.outcome import EXIT_USAGE, Outcome, Summary, one_line
from polyhead.batch.parts import PartWriter, Rows
from polyhead.batch.products import Saved
from polyhead.batch.receipts import Verify, digest
from polyhead.batch.request import Request
from polyhead.batch.room import BytesOf, FirstCases, room_for, stopped_by
from polyhead.batch.runner import MakeRunner, Progress, Runner, WorkerCannotStart
from polyhead.batch.settled import Redone, Settled, checked_ahead, settled
from polyhead.batch.standing import has_answers, not_asked, not_asked_line, outside
from polyhead.batch.supervisor import LocalRunner
from polyhead.batch.worker import PredictorFactory, WorkerSettings
from polyhead.system.disk import no_room
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
    saved: Saved = None,
    bytes_of: BytesOf | None = None,
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
        timeout: seconds that a read, a predict or a write, or a part of one that it tells of, may take; None leaves it
            to the runner, which lets a read take `polyhead.batch.supervisor.READ_SECONDS`.
        overwrite: does every case anew, also where the answers in `out` are another model's or to another request.
        fail_fast: stops at the first failure; the rest is ``not_run``.
        retry_failed: reads inputs again that an earlier run found invalid.
        verify: whether a case counts as done by size, time and inode of its files where they show every change, or
            only after all of them were read ("full").
        dry_run: only counts what would be done, and estimates what that would take; writes nothing.
        saved: the products that are written of each case; one that lacks some of them is done anew, and keeps those
            that it has.
        bytes_of: estimates what a case will take on the disk; what clearly has no room is not begun.
        progress: called with an event (a mapping with the key ``event``) whenever there is news.
        info: JSON values for ``batch.json``; the value of ``run`` names the model in what is said of it.
        on_merged: called with `out` and the rows of all shards that have ended, once the results are written.
        make_runner: what runs the cases that are not done yet.

    Inputs that lie in `out` are left out. Answers in `out` that nobody asks for now stay, and are named.

    Raises:
        ValueError: before anything is written: two cases with one id, a shard outside its range, a folder `out` that
            holds something else than results, or answers of another model or to another request, another run at work
            there (`FolderInUse`), no room for what will be written (`TooLittleRoom`), or a predictor that cannot be
            loaded for a reason that the user can mend.
        OSError: `out` cannot be written to.
    """
    index, of = shard
    if not 0 <= index < of:
        raise ValueError(f"shard {index}/{of}: the first number must be in [0, {of})")
    if workers < 1 or batch_size < 1 or (timeout is not None and not timeout > 0):
        raise ValueError("workers and batch size must be at least 1, a timeout more than 0")
    _refuse_twins(cases)
    refuse_foreign(out)
    request = Request(model_hash, parameters, str((info or {}).get("run", "")))
    replaces = overwrite or not has_answers(out)
    if not replaces:
        request.refuse_other(out)
    cases = outside(cases, out)
    progress = progress or (lambda _: None)
    mine = array("q", (i for i, case in enumerate(cases) if of == 1 or shard_of(case.id, of) == index))
    keeper = Keeper(out, len(cases), len(mine), progress)
    choice: dict[str, Any] = {"overwrite": overwrite, "retry_failed": retry_failed, "verify": verify, "saved": saved}
    check = partial(settled, out=out, model=model_hash, parameters=parameters, **choice)
    interrupts = Interrupts()

    def stopping() -> bool:
        return interrupts.seen or (fail_fast and keeper.failed)

    folder = OutputFolder(out, shard)
    own = [cases[i] for i in mine]
    room = None if bytes_of is None else room_for(own, out, bytes_of)
    if room is not None:
        room.require()
    progress({"event": "start", "total": len(mine), "inputs": len(cases), "shard": [index, of]})
    if dry_run:
        with interrupts:
            for _, case in _to_run(cases, mine, check, keeper, stopping):
                keeper.plan(case.id)
        summary = keeper.summary(interrupted=interrupts.seen)
        return summary if room is None else replace(summary, notes=(*summary.notes, room.line))
    key = [model_hash, digest(dict(parameters))]
    with folder.hold():
        folder.take_request(request, replaces=replaces)
        keeper.part = part = folder.begin_part(key)
        try:
            settings = WorkerSettings(str(out), model_hash, parameters, batch_size, workers, saved, overwrite)
            runner = make_runner(factory, settings, log=folder.worker_log, timeout=timeout)
            full: str | None = None
            with interrupts:
                try:
                    to_run = _to_run(cases, mine, check, keeper, stopping)
                    error = _work(runner, to_run, keeper, stopping, FirstCases(own, out))
                except (OSError, ValueError) as wrong:
                    error = full = stopped_by(wrong, out)
                    if full is None:
                        raise
            why = error or ("the run was interrupted" if interrupts.seen else "the run stopped at a failure")
            _keep_unreached(cases, mine, keeper, why)
            summary = keeper.summary(interrupted=interrupts.seen, error=error)
            if full is not None:
                summary = replace(summary, exit_status=EXIT_USAGE)
            with folder.merging():
                others = not_asked(out, {case.id for case in cases})
                part.end(_facts_of(shard, summary))
                folder.drop_former_part()
                facts = {"model_hash": model_hash, "parameters": dict(parameters), "parameters_hash": key[1]}
                facts |= {"inputs": len(cases), "not_asked": {"count": len(others), "ids": others}}
                facts["saved"] = None if saved is None else sorted(saved)
                rows = merge(folder, key, facts | {"info": dict(info or {})})
                if on_merged is not None:
                    try:
                        on_merged(out, rows)
                    except Exception as wrong:
                        if (lacking := no_room(wrong)) is not None:
                            raise lacking from wrong
                        error = f"the files of the whole set were not written: {type(wrong).__name__}: {wrong}"
                        summary = keeper.summary(interrupted=interrupts.seen, error=one_line(error))
            if others:
                summary = replace(summary, notes=(*summary.notes, not_asked_line(others)))
        except KeyboardInterrupt:
            return keeper.summary(interrupted=True)
        except WorkerCannotStart as refused:
            part.close()
            folder.undo()
            raise ValueError(one_line(f"the model cannot be loaded: {refused}")) from None
        except OSError as wrong:
            if (full := stopped_by(wrong, out)) is None:
                raise
            summary = replace(keeper.summary(error=full), exit_status=EXIT_USAGE)
        finally:
            _close(part)
    told = {"counts": dict(summary.counts), "warnings": summary.warnings.to_json()}
    progress({"event": "finish", **told, "exit_status": summary.exit_status})
    return summary


def _close(part: PartWriter) -> None:
    with suppress(OSError):  # what is not on the disk by now has no room there, and that was said
        part.close()


def _refuse_twins(cases: Sequence[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise ValueError(f"two inputs share the case id {case.id!r}; rename one of them")
        seen.add(case.id)


def _to_run(
    cases: Sequence[Case],
    mine: Sequence[int],
    check: Callable[[Case], Settled | Redone | None],
    keeper: Keeper,
    stopping: Callable[[], bool],
) -> Iterator[tuple[int, Case]]:
    """The cases that must be run, each with its index; outcomes of the others are kept on the way."""
    with_cases = ((i, cases[i]) for i in mine)
    for index, case, found in checked_ahead(with_cases, check, total=len(mine), stopping=stopping):
        if isinstance(found, Settled):
            keeper.note(index, found.outcome, found.software)
            continue
        if found is not None:
            keeper.redo(case.id, found)
        yield index, case


def _work(
    runner: Runner,
    to_run: Iterator[tuple[int, Case]],
    keeper: Keeper,
    stopping: Callable[[], bool],
    first: FirstCases,
) -> str | None:
    """Runs the cases; returns what kept the predictor from being loaded, None where nothing did.

    Raises:
        WorkerCannotStart: it was never loaded, and the user can mend that.
    """
    at_work: dict[str, int] = {}
    loaded = False

    def notify(event: Mapping[str, Any]) -> None:
        nonlocal loaded
        loaded |= event["event"] == "ready"
        keeper.progress(event)

    def given() -> Iterator[Case]:
        for index, case in to_run:
            at_work[case.id] = index
            yield case

    try:
        for outcome in runner.run(given(), stopping=stopping, notify=notify):
            keeper.note(at_work.pop(outcome.id), outcome)
            if outcome.status == "ok":
                first.take(outcome.id)
    except WorkerCannotStart as error:
        if error.mendable and not loaded:
            raise
        return one_line(f"the predictor cannot be loaded: {error}")
    return None


def _keep_unreached(cases: Sequence[Case], mine: Sequence[int], keeper: Keeper, why: str) -> None:
    """Every case has a line: those that were not reached say why."""
    for index in mine:
        if not keeper.knows(index):
            case = cases[index]
            keeper.keep(index, Outcome(case.id, str(case.path), "not_run", "not-run", why, "run the command again"))


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
