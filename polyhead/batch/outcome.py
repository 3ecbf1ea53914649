"""What became of a case, what became of a run, and the exit statuses of every command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyhead.batch.case import Record
from polyhead.batch.warned import WarningCounts

FAILURES = ("failed", "invalid_input", "timeout", "oom", "crashed")
STATUSES = ("ok", "skipped", *FAILURES, "passed_over", "not_run")

EXIT_OK, EXIT_INTERNAL, EXIT_USAGE, EXIT_PARTIAL, EXIT_NO_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130


class NoInput(ValueError):
    """Nothing that could be worked on was found."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        status: one of `STATUSES`: ``ok`` done now, ``skipped`` done earlier (receipt holds), ``passed_over`` no
            input once it was looked into, ``not_run`` not reached.
        code: stable word for the kind of failure.
        reason: one line: what went wrong.
        remedy: one line: what to do about it; may be empty.
        seconds: time in read, predict (share of the batch) and write; of the run that did the work.
        record: what the predictor said of the case.
    """

    id: str
    input: str
    status: str
    code: str | None = None
    reason: str | None = None
    remedy: str | None = None
    seconds: float | None = None
    record: Record | None = None

    @property
    def is_failure(self) -> bool:
        return self.status in FAILURES

    def to_json(self) -> dict[str, Any]:
        """The row of the case in ``results.jsonl``."""
        return {
            "id": self.id,
            "input": self.input,
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
            "remedy": self.remedy,
            "seconds": self.seconds,
            "record": self.record,
        }


@dataclass(frozen=True)
class Summary:
    """What became of a run (of one shard of it, where it was sharded).

    Attributes:
        counts: number of cases by status; only statuses that occur. A dry run counts ``planned`` instead of running.
        exit_status: 0 all done, 1 internal error, 3 some failed, 4 no valid input, 130 interrupted.
        seconds: wall time.
        error: one line, where `exit_status` is 1.
        failures: some of the failures, in input order; ``results.jsonl`` has all.
        notes: lines that the user should see, such as cases that another version of polyhead did.
        warnings: how many cases have a warning, and of which kinds.
    """

    counts: Mapping[str, int]
    exit_status: int
    out: Path
    seconds: float
    error: str | None = None
    failures: tuple[Outcome, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    warnings: WarningCounts = field(default_factory=WarningCounts)


def exit_status(counts: Mapping[str, int], total: int, *, interrupted: bool = False, error: str | None = None) -> int:
    """The exit status of a run over `total` inputs, of which this shard has `counts`; what is passed over is none."""
    if error is not None:
        return EXIT_INTERNAL
    if interrupted:
        return EXIT_INTERRUPTED
    mine = sum(counts.values()) - counts.get("passed_over", 0)
    if total == counts.get("passed_over", 0) or (mine and counts.get("invalid_input", 0) == mine):
        return EXIT_NO_INPUT
    return EXIT_PARTIAL if any(counts.get(status) for status in (*FAILURES, "not_run")) else EXIT_OK


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line, cut visibly at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
