"""What the demonstrations of all applications share: numbered stages, each the verb that a person would type."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from apps.terminal import say
from polyhead.application import RESEARCH_USE
from polyhead.runs import RUN_FILE


class Stages:
    """The verbs of an application, one after the other: before each its command line, after it the seconds.

    Args:
        application: name of the application.
        of: how many stages there will be.
    """

    def __init__(self, application: str, of: int):
        self.application, self.of = application, of
        self._number, self._began = 0, time.monotonic()

    @contextmanager
    def __call__(self, verb: str, *arguments: object) -> Iterator[None]:
        self._number += 1
        place = f"[{self._number}/{self.of}]"
        say(f"\n{place} {shlex.join(['polyhead', self.application, verb, *map(str, arguments)])}")
        started = time.monotonic()
        yield
        say(f"{place} {verb}: {time.monotonic() - started:.0f} s")

    def finish(self, *lines: str) -> None:
        """Says how long all took, and where the results are."""
        say(f"\nfinished in {time.monotonic() - self._began:.0f} s; {RESEARCH_USE}")
        for line in lines:
            say(line)


def repeated(flag: str, values: Sequence[str] | None) -> list[str]:
    """The flag once before each value, as it is typed."""
    return [word for value in values or () for word in (flag, value)]


def is_begun(run: Path) -> bool:
    """Whether a training is there to go on with."""
    return (run / RUN_FILE).is_file()


def answer_all(predict: Callable[[], None], predictions: Path) -> None:
    """Runs the verb `predict`, which ends by `typer.Exit`.

    Raises:
        KeyboardInterrupt: it was interrupted.
        RuntimeError: cases failed.
    """
    status = 0
    try:
        predict()
    except typer.Exit as ended:
        status = ended.exit_code
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(f"the prediction ended with status {status}; see {predictions / 'failed.txt'}")
