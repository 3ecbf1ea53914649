"""Ctrl-C twice: the first asks a run to finish what it has begun, the second ends it."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from polyhead.system.launch import process_count

ECHO_SECONDS, ECHO_SECONDS_LAUNCHED = 0.3, 10.0
"""How long after the first signal another is the same request: `timeout` sends its own twice, and a launcher passes on
what the terminal gave to all, which a process that waits for the others takes in late."""


class Interrupts:
    """While entered, SIGINT and SIGTERM set `seen`; the second raises `KeyboardInterrupt`.

    What comes at once after the first is its echo. Passive outside the main thread, where no handler can be set.
    """

    def __init__(self) -> None:
        self.seen = False
        self._first = 0.0
        self._before: dict[int, Any] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.seen:
            self.seen, self._first = True, time.monotonic()
            return
        echo = ECHO_SECONDS if process_count() == 1 else ECHO_SECONDS_LAUNCHED
        if time.monotonic() - self._first > echo:
            raise KeyboardInterrupt

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
