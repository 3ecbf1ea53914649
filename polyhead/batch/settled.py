"""What is known of cases before any of them is run: those that are done, those known to be bad, those refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from polyhead.batch.case import Case, InvalidInput
from polyhead.batch.folder import refused_id
from polyhead.batch.looking import found_outcome
from polyhead.batch.outcome import Outcome, one_line
from polyhead.batch.products import Saved
from polyhead.batch.receipts import (
    Changed,
    Receipt,
    Verify,
    is_anothers,
    load_receipt,
    request_digest,
    what_changed,
)

CHECK_THREADS = 4
CHUNK = 16
"""Cases that one thread checks in a row: many done cases cost little each."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Settled:
    """The outcome of a case that need not be run, and the version of polyhead that did it, where one did."""

    outcome: Outcome
    software: str | None = None


@dataclass(frozen=True)
class Redone:
    """A case whose answer is replaced, for something has changed since."""

    changed: Changed


def settled(
    case: Case,
    out: Path,
    model: str,
    parameters: Mapping[str, Any],
    *,
    overwrite: bool = False,
    retry_failed: bool = False,
    verify: Verify = "quick",
    saved: Saved = None,
) -> Settled | Redone | None:
    """What is known of a case without running it; `Redone` or None where it must be run, again or for the first time.

    An input that an earlier run found invalid is told of with the day it was found so, unless `retry_failed` is set. A
    case whose folder holds the answer to another file is refused, unless `overwrite` is set.
    """
    refused = refused_id(case) or found_outcome(case)
    if refused is not None:
        return Settled(refused)
    if overwrite:
        return None
    folder = out / case.id
    receipt = load_receipt(folder)
    if receipt is None or (receipt.status != "ok" and (receipt.status != "invalid_input" or retry_failed)):
        return None
    try:
        changed = what_changed(receipt, folder, case, model, request_digest(parameters, case), verify, saved)
        if changed is not None and receipt.status == "ok":
            return Settled(_refused(case, receipt)) if is_anothers(receipt, case) else Redone(changed)
    except (OSError, InvalidInput):
        return None  # reading it says what is wrong, and leaves the earlier answer
    if changed is not None:
        return None
    status, remedy = "skipped", receipt.remedy
    if receipt.status != "ok":
        status = receipt.status
        again = f"as found on {receipt.made}; --retry-failed looks again"
        remedy = f"{remedy}; {again}" if remedy else again
    words = (receipt.code, receipt.reason, remedy, receipt.seconds, receipt.record)
    return Settled(Outcome(case.id, str(case.path), status, *words), receipt.software)


def _refused(case: Case, receipt: Receipt) -> Outcome:
    reason = f"its folder holds the answer to another file, {receipt.path}"
    remedy = "choose another -o and keep both, or --overwrite to have it replaced"
    return Outcome(case.id, str(case.path), "invalid_input", "answers-another", one_line(reason), remedy)


def checked_ahead(
    cases: Iterable[tuple[int, Case]], check: Callable[[Case], Found], *, total: int, stopping: Callable[[], bool]
) -> Iterator[tuple[int, Case, Found]]:
    """Each case with what `check` says of it, in order, worked out in threads a little ahead; ends at `stopping`."""
    size = max(1, min(CHUNK, total // (4 * CHECK_THREADS)))
    coming = iter(cases)
    waiting: deque[tuple[list[tuple[int, Case]], Future[list[Found]]]] = deque()
    pool = ThreadPoolExecutor(CHECK_THREADS, "check")
    try:
        while True:
            while len(waiting) < 2 * CHECK_THREADS and (chunk := list(islice(coming, size))):
                waiting.append((chunk, pool.submit(_check_all, check, chunk)))
            if not waiting:
                return
            chunk, checked = waiting.popleft()
            for (index, case), found in zip(chunk, checked.result(), strict=True):
                if stopping():
                    return
                yield index, case, found
    finally:
        pool.shutdown(cancel_futures=True)


def _check_all(check: Callable[[Case], Found], chunk: list[tuple[int, Case]]) -> list[Found]:
    return [check(case) for _, case in chunk]
