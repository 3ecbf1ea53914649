"""Cases that take minutes: how far they are is told, their time-out begins anew, and Ctrl-C ends them between parts."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from test_interruptions import start, wait_for

from polyhead.batch.monitor import Monitor, Stopped, current_monitor, monitored
from polyhead.system.files import TEMPORARY


def test_a_monitor_tells_now_and_then_and_always_of_the_end(monkeypatch):
    told, clock = [], [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monitor = Monitor(lambda *words: told.append(words))
    for done in range(5):
        clock[0] += 0.06
        monitor.part(done, 4, "slabs")
    assert told == [(0, 4, "slabs"), (2, 4, "slabs"), (4, 4, "slabs")]


def test_the_current_monitor_is_that_of_the_thread_and_can_be_passed_on():
    told = []
    stop = threading.Event()
    with monitored(Monitor(lambda *words: told.append(words), stop.is_set)):
        mine = current_monitor()
        others = []
        thread = threading.Thread(target=lambda: (others.append(current_monitor()), mine.part(1, 2)))
        thread.start()
        thread.join()
        assert others[0] is not mine and told == [(1, 2, "")]
        stop.set()
        with pytest.raises(Stopped):
            mine.part(2, 2)
    current_monitor().part(1, 1)
    assert told == [(1, 2, "")]


@pytest.mark.parametrize("stage", ["read", "predict", "write"])
def test_the_time_out_begins_anew_with_every_part_and_parts_are_told_of(bench, stage):
    events = []
    summary = bench.run(bench.cases({"a": f"{stage}:few_parts"}), timeout=1.2, progress=events.append)
    assert (dict(summary.counts), summary.exit_status) == ({"ok": 1}, 0)
    parts = [event for event in events if event["event"] == "part"]
    assert [event["done"] for event in parts] == list(range(8))
    assert {(event["id"], event["cases"], event["stage"], event["total"], event["what"]) for event in parts} == {
        ("a", 1, stage, 8, "slabs")
    }


@pytest.mark.parametrize("stage", ["read", "predict", "write"])
def test_ctrl_c_ends_a_case_of_minutes_between_two_parts(bench, stage):
    cases = bench.cases({"b": f"{stage}:parts"})
    process = start(bench)
    wait_for(lambda: bench.journal_lines("part"))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(30) == 130
    assert time.monotonic() - began < 15, "the case would have taken a minute"
    assert bench.statuses() == {"b": "not_run"}
    assert not (bench.out / "b/receipt.json").exists() and not (bench.out / "b/answer.txt").exists()
    assert not (bench.out / "logs/b.log").exists() and not list(bench.out.rglob(f"{TEMPORARY}*"))
    (bench.inputs / "b.toy").write_text("fine")
    assert bench.run(cases).counts == {"ok": 1}
