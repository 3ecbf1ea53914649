"""One request to stop may come as several signals; another one later ends the process."""

import os
import signal
import time

import pytest

from polyhead.system.interrupts import ECHO_SECONDS, Interrupts


def test_signals_at_once_are_one_request():
    # As torchrun passes on a Ctrl-C: the terminal's SIGINT, then its own SIGINT and SIGTERM.
    with Interrupts() as interrupts:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert interrupts.seen


@pytest.mark.parametrize(("processes", "ends"), [("1", True), ("2", False)])
def test_a_later_signal_ends_a_process_that_no_launcher_speaks_to(monkeypatch, processes, ends):
    monkeypatch.setenv("WORLD_SIZE", processes)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        now += 2 * ECHO_SECONDS
        if ends:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.seen
