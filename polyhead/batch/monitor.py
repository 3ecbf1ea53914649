"""How a case that takes minutes tells how far it is, and where it may be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TELL_SECONDS = 0.1
"""Parts that follow one another faster are not all told of."""

Tell = Callable[[int, int, str], None]


class Stopped(BaseException):
    """The run was interrupted between two parts of a case. Not an `Exception`: handlers of errors let it pass."""


class Monitor:
    """Hears of the parts of a case; outside a batch it does nothing. Threads may share one.

    Args:
        tell: called with done, total and what, not more often than every `TELL_SECONDS`.
        stopping: whether the run has been interrupted.
    """

    def __init__(self, tell: Tell | None = None, stopping: Callable[[], bool] | None = None):
        self._tell, self._stopping = tell, stopping
        self._told = float("-inf")

    def part(self, done: int, total: int, what: str = "") -> None:
        """Says that `done` of `total` parts (`what` names them) are done; the clock of ``--timeout`` starts anew.

        Raises:
            Stopped: the run has been interrupted; the case is left as it is and counts as not run.
        """
        if self._stopping is not None and self._stopping():
            raise Stopped
        now = time.monotonic()
        if self._tell is not None and (now - self._told >= TELL_SECONDS or done >= total):
            self._told = now
            self._tell(done, total, what)


_NONE = Monitor()
_current: ContextVar[Monitor] = ContextVar("monitor", default=_NONE)


def current_monitor() -> Monitor:
    """The monitor of what this thread reads, predicts or writes; threads that a predictor starts are given it."""
    return _current.get()


@contextmanager
def monitored(monitor: Monitor) -> Iterator[None]:
    """Makes `monitor` the current one within the block."""
    token = _current.set(monitor)
    try:
        yield
    finally:
        _current.reset(token)
