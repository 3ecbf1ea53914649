"""What commands say: lines and a progress bar on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from polyhead.system.launch import is_first_process

if TYPE_CHECKING:
    from rich.console import Console

    from polyhead.training.progress import Mode

Count = Callable[[int, int], None]


class Printed(Protocol):
    """A report of scores, as every application makes one."""

    def to_json(self) -> dict[str, Any]: ...

    def print(self, console: Console, *, full: bool = False) -> None: ...


def sayer(quiet: bool) -> Callable[[str], None]:
    """Prints lines for people on stderr, or nothing; of processes that train together the first speaks."""
    return say if is_first_process() and not quiet else lambda line: None


def say(line: str) -> None:
    """A line for people, on stderr."""
    print(line, file=sys.stderr, flush=True)


def training_progress(quiet: bool) -> Mode:
    """How `polyhead.train.fit` shows its progress."""
    return "quiet" if quiet else "auto"


def counting(what: str, quiet: bool) -> AbstractContextManager[Count | None]:
    """Gives a function of (done, total) that moves a bar on stderr; None where nobody would see it."""
    return nullcontext() if quiet or not sys.stderr.isatty() else _bar(what)


@contextmanager
def _bar(what: str) -> Iterator[Count]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_json(value: Any) -> None:
    """A result on stdout."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def show_report(report: Printed, page: Path, *, full: bool, as_json: bool, quiet: bool) -> None:
    """Scores on stdout, as a table or as JSON, and where the page of the report lies on stderr."""
    if as_json:
        show_json(report.to_json())
    elif not quiet:
        from rich.console import Console

        # Where nobody's terminal sets a width, lines are as long as a log can bear.
        console = Console() if sys.stdout.isatty() else Console(width=120)
        report.print(console, full=full)
    print(f"report: {page}", file=sys.stderr)
