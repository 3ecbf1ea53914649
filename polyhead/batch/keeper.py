"""The outcomes of a run as they come: appended to the shard's part, counted, told of, and not held."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from polyhead import __version__
from polyhead.batch.outcome import STATUSES, Outcome, Summary, exit_status
from polyhead.batch.parts import PartWriter
from polyhead.batch.receipts import Changed
from polyhead.batch.runner import Progress
from polyhead.batch.settled import Redone
from polyhead.batch.warned import WarningCounts, warnings_of

MAX_FAILURES = 1_000
"""Most failures that a summary holds; ``results.jsonl`` has all."""
NAMES_TOLD = 3
"""Names that a line tells at most."""


class Keeper:
    """Takes in outcomes; of each it keeps one byte, and of the first failures all.

    Args:
        out: the folder of the results.
        inputs: how many cases the whole input has.
        total: how many of them are this shard's.
        progress: told of every outcome.
    """

    def __init__(self, out: Path, inputs: int, total: int, progress: Progress):
        self.out, self.inputs, self.total, self.progress = out, inputs, total, progress
        self.part: PartWriter | None = None
        self.failed = False
        self._start = time.monotonic()
        self._known = bytearray(inputs)
        self._counts: Counter[str] = Counter()
        self._done = 0
        self._failures: list[tuple[int, Outcome]] = []
        self._others: Counter[str] = Counter()
        self._redone: dict[Changed, list[str]] = {}
        self._redone_counts: Counter[Changed] = Counter()
        self._warnings = WarningCounts()

    def note(self, index: int, outcome: Outcome, software: str | None = None) -> None:
        """Takes in the outcome of the case at `index` of the input; `software` did it, where an earlier run did."""
        self.keep(index, outcome)
        self.failed |= outcome.is_failure
        if outcome.status == "skipped" and software not in (None, __version__):
            self._others[str(software)] += 1
        told = {"id": outcome.id, "status": outcome.status, "code": outcome.code, "reason": outcome.reason}
        told |= {"remedy": outcome.remedy, "seconds": outcome.seconds}
        told |= {"warnings": warnings_of(outcome.record)}
        self.progress({"event": "case", **told, "done": self._done, "total": self.total})

    def keep(self, index: int, outcome: Outcome) -> None:
        """Takes in an outcome that nobody is told of."""
        self._known[index] = True
        self._done += 1
        self._counts[outcome.status] += 1
        self._warnings.take(outcome.record)
        if outcome.is_failure and len(self._failures) < MAX_FAILURES:
            self._failures.append((index, outcome))
        if self.part is not None:
            self.part.append(index, outcome)

    def redo(self, case_id: str, why: Redone) -> None:
        """Counts a case whose answer is replaced."""
        self._redone_counts[why.changed] += 1
        if len(names := self._redone.setdefault(why.changed, [])) < NAMES_TOLD:
            names.append(case_id)

    def plan(self, case_id: str) -> None:
        """Counts a case that a dry run would do."""
        self._counts["planned"] += 1
        self.progress({"event": "planned", "id": case_id})

    def knows(self, index: int) -> bool:
        return bool(self._known[index])

    def summary(self, *, interrupted: bool = False, error: str | None = None) -> Summary:
        """What became of the run so far."""
        counts = {name: self._counts[name] for name in (*STATUSES, "planned") if self._counts[name]}
        return Summary(
            counts,
            exit_status(counts, self.inputs, interrupted=interrupted, error=error),
            self.out,
            round(time.monotonic() - self._start, 3),
            error,
            tuple(outcome for _, outcome in sorted(self._failures, key=lambda each: each[0])),
            (
                *(_done_by(version, number) for version, number in sorted(self._others.items())),
                *(_done_anew(why, self._redone_counts[why], names) for why, names in self._redone.items()),
            ),
            self._warnings,
        )


_WHY: dict[Changed, str] = {
    "asked": "what is asked of {it}, or the model, has changed since",
    "saved": "more of {its} answer is to be kept",
    "input": "the input has changed since",
    "outputs": "files of {its} answer were changed or are gone",
}


def _done_anew(why: Changed, number: int, names: list[str]) -> str:
    cases, words = ("1 case is", {"it": "it", "its": "its"}), _WHY[why]
    if number > 1:
        cases = (f"{number:,} cases are", {"it": "them", "its": "their"})
    more = ", ..." if number > len(names) else ""
    return f"{cases[0]} done anew, for {words.format(**cases[1])}: {', '.join(names)}{more}"


def _done_by(version: str, number: int) -> str:
    cases, them = ("1 case was", "it") if number == 1 else (f"{number:,} cases were", "them")
    return f"{cases} done by polyhead {version}; --overwrite does {them} anew"
