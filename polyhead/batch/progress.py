"""The progress of a batch as people and programs read it, on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from polyhead.batch.outcome import FAILURES, Summary

LINE_SECONDS = 5.0
JSON_SECONDS = 0.5
KINDS_TOLD = 5
Callback = Callable[[Mapping[str, Any]], None]


@contextmanager
def progress_display(
    *, quiet: bool = False, log_json: bool = False, stream: TextIO | None = None, every: float = LINE_SECONDS
) -> Iterator[Callback]:
    """Yields the `progress` callback of `run_batch`: JSON lines, silence, a bar on a terminal, or a line now and then.

    `log_json` outweighs `quiet`; failures are named in every form but silence. What became of the whole is for
    `closing_lines` to say.
    """
    target = stream or sys.stderr
    if log_json:
        yield _JsonLines(target).take
    elif quiet:
        yield lambda event: None
    elif target.isatty():
        with _bar(target) as callback:
            yield callback
    else:
        yield _Lines(target, every).take


def closing_lines(summary: Summary) -> list[str]:
    """What is said at the end of a batch: counts by status, failures, cases with warnings and their commonest kinds."""
    counts, total = summary.counts, sum(summary.counts.values())
    if not total:
        return [f"nothing to do in {summary.seconds:.1f} s"]
    cases = "1 case" if total == 1 else f"{total:,} cases"
    became = ", ".join(f"{number:,} {status.replace('_', ' ')}" for status, number in counts.items())
    failed = sum(counts.get(status, 0) for status in FAILURES)
    more = [f"{failed:,} failed"] if failed != counts.get("failed", 0) else []
    more += [f"{summary.warnings.cases:,} with warnings"] if summary.warnings.cases else []
    lines = ["; ".join([f"{cases}: {became} in {summary.seconds:.1f} s", *([", ".join(more)] if more else [])])]
    kinds = [f"{number:,} {kind}" for kind, number in summary.warnings.kinds.items()]
    if len(kinds) > KINDS_TOLD:
        kinds[KINDS_TOLD:] = [f"{len(kinds) - KINDS_TOLD} other kinds"]
    return lines + ([f"warnings: {', '.join(kinds)}"] if kinds else [])


class _Tally:
    """Counts over the events of one run."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.warned = self.worked = 0
        self.start = time.monotonic()

    def take(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            self.total = event["total"]
        elif event["event"] in ("case", "planned"):
            self.done += 1
            self.failed += event.get("status") in FAILURES
            self.warned += bool(event.get("warnings"))
            self.worked += event.get("status") not in ("skipped", None)

    def words(self) -> str:
        seconds = time.monotonic() - self.start
        rate = self.worked / seconds if seconds > 0 else 0.0
        left = f", {_clock((self.total - self.done) / rate)} left" if rate > 0 and self.done < self.total else ""
        warned = f", {self.warned} with warnings" if self.warned else ""
        return f"{self.done}/{self.total} cases, {self.failed} failed{warned}, {rate:.1f} cases/s{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _news(event: Mapping[str, Any]) -> str | None:
    """The line that an event is worth by itself."""
    if event["event"] == "loading":
        return "loading the model"
    if event["event"] == "worker_ended":
        return f"{event['reason']}; starting another, {event['suspects']} case(s) are tried again"
    if event["event"] == "case" and event["status"] in FAILURES:
        remedy = f"; {event['remedy']}" if event["remedy"] else ""
        return f"{event['status']}: {event['id']!r}: {event['reason']}{remedy}"
    return None


def _part_words(event: Mapping[str, Any]) -> str:
    """How far a case is that takes its time."""
    more = f" and {event['cases'] - 1} more" if event["cases"] > 1 else ""
    return f"{event['stage']} {event['id']!r}{more}: {event['done']}/{event['total']} {event['what']}".rstrip()


class _JsonLines:
    """Every event as a JSON line, and now and then a ``progress`` event: done (without the failed), failed, total.

    Parts of cases may come in thousands, and are told of now and then.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.tally = _Tally()
        self.last = self.last_part = 0.0

    def take(self, event: Mapping[str, Any]) -> None:
        now, tally = time.monotonic(), self.tally
        if event["event"] == "part":
            if now - self.last_part >= JSON_SECONDS:
                self.last_part = now
                self._print(event)
            return
        tally.take(event)
        self._print(event)
        if event["event"] in ("start", "finish") or tally.done == tally.total or now - self.last >= JSON_SECONDS:
            self.last = now
            counts = {"done": tally.done - tally.failed, "failed": tally.failed, "total": tally.total}
            self._print({"event": "progress", **counts})

    def _print(self, event: Mapping[str, Any]) -> None:
        print(json.dumps({"t": round(time.time(), 3), **event}), file=self.stream, flush=True)


class _Lines:
    """Plain lines, for logs."""

    def __init__(self, stream: TextIO, every: float):
        self.stream, self.every = stream, every
        self.tally = _Tally()
        self.last = time.monotonic()

    def take(self, event: Mapping[str, Any]) -> None:
        self.tally.take(event)
        news = _news(event)
        if news is not None:
            self._print(news)
        due = time.monotonic() - self.last >= self.every
        if event["event"] == "part" and due:
            self.last = time.monotonic()
            self._print(_part_words(event))
        if due and event["event"] in ("case", "planned") and self.tally.done < self.tally.total:
            self.last = time.monotonic()
            self._print(self.tally.words())

    def _print(self, line: str) -> None:
        print(line.encode("utf-8", "backslashreplace").decode(), file=self.stream, flush=True)


@contextmanager
def _bar(stream: TextIO) -> Iterator[Callback]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed, {task.fields[warned]} with warnings, {task.fields[rate]:.1f}/s"),
        TextColumn("{task.fields[part]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tally = _Tally()
    with Progress(*columns, console=Console(file=stream)) as progress:
        bar = progress.add_task("cases", total=None, failed=0, warned=0, rate=0.0, part="")

        def take(event: Mapping[str, Any]) -> None:
            if event["event"] == "part":
                progress.update(bar, part=_part_words(event).encode("utf-8", "backslashreplace").decode())
                return
            tally.take(event)
            news = _news(event)
            if news is not None:
                progress.console.print(escape(news.encode("utf-8", "backslashreplace").decode()), highlight=False)
            rate = tally.worked / max(time.monotonic() - tally.start, 1e-9)
            failed, warned = tally.failed, tally.warned
            progress.update(
                bar, total=tally.total, completed=tally.done, failed=failed, warned=warned, rate=rate, part=""
            )

        yield take
