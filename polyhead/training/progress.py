"""What a person sees of a training on stderr: a live line on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Mode = Literal["auto", "plain", "quiet"]

_PLAIN_EVERY = 30.0


class TrainingProgress:
    """Shows epoch, step, loss, rate and remaining time. A context manager.

    Args:
        mode: ``auto`` is live on a terminal and plain elsewhere.
        total: steps of the whole training.
        done: steps done before.
        epochs, steps_per_epoch: for the epoch that is shown.
    """

    def __init__(self, mode: Mode, *, total: int, done: int, epochs: int, steps_per_epoch: int):
        self._total, self._first, self._epochs, self._steps_per_epoch = total, done, epochs, steps_per_epoch
        self._quiet = mode == "quiet"
        self._started = time.monotonic()
        self._said = self._started
        self._live: Progress | None = None
        if mode == "auto" and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._live = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar = self._live.add_task("training", total=total, completed=done)

    def __enter__(self) -> TrainingProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, done: int, loss: float) -> None:
        """After each step; `loss` is the mean over its tasks."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(self._bar, completed=done, description=self._line(done, loss))
        elif time.monotonic() - self._said >= _PLAIN_EVERY:
            self._said = time.monotonic()
            self.say(f"{self._line(done, loss)}, {self._remaining(done)}")

    def say(self, text: str) -> None:
        """One line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _rate(self, done: int) -> float:
        return (done - self._first) / max(time.monotonic() - self._started, 1e-9)

    def _line(self, done: int, loss: float) -> str:
        epoch = (done - 1) // self._steps_per_epoch + 1
        return (
            f"epoch {epoch}/{self._epochs}, step {done}/{self._total}, loss {loss:.4g}, {self._rate(done):.3g} steps/s"
        )

    def _remaining(self, done: int) -> str:
        seconds = (self._total - done) / max(self._rate(done), 1e-9)
        return f"{seconds / 60:.1f} min left"
