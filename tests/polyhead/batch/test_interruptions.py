"""Runs that are killed, interrupted, or share a folder: separate processes, ended at a marked case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polyhead.system.files import TEMPORARY

HERE = Path(__file__).parent


def start(bench, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])])}
    command = [sys.executable, str(HERE / "drive.py"), str(bench.inputs.parent), *arguments]
    return subprocess.Popen(command, env=environment)


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("stage", ["read", "predict", "write"])
def test_kill_9_in_the_middle_leaves_a_state_that_the_next_run_finishes(bench, stage):
    texts = {f"{i:02d}": f"{stage}:park" if i == 13 else "fine" for i in range(30)}
    cases = bench.cases(texts)
    parked = bench.inputs.parent / "parked"
    process = start(bench)
    wait_for(parked.exists)
    wait_for(lambda: bench.journal_lines("write"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker = int(parked.read_text())
    wait_for(lambda: not alive(worker))

    done = {path.parent.name for path in bench.out.glob("*/receipt.json")}
    assert "13" not in done and done
    assert not (bench.out / "13/answer.txt").exists()
    bench.forget_journal()
    summary = bench.run(cases)
    assert dict(summary.counts) == {"ok": 30 - len(done), "skipped": len(done)}
    assert {line.split()[1] for line in bench.journal_lines("write")} == set(texts) - done
    assert summary.exit_status == 0
    assert all((bench.out / name / "answer.txt").read_text() == str(len(text)) for name, text in texts.items())
    assert not list(bench.out.rglob(f"{TEMPORARY}*"))


def test_ctrl_c_keeps_what_is_done_and_says_130(bench):
    cases = bench.cases({f"{i:03d}": "fine" for i in range(200)})
    process = start(bench)
    wait_for(lambda: bench.journal_lines("write"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    statuses = list(bench.statuses().values())
    written = {line.split()[1] for line in bench.journal_lines("write")}
    assert len(statuses) == 200 and statuses.count("ok") == len(written) and "not_run" in statuses
    assert {path.parent.name for path in bench.out.glob("*/receipt.json")} == written
    assert not list(bench.out.rglob(f"{TEMPORARY}*"))
    summary = bench.run(cases)
    assert dict(summary.counts) == {"ok": 200 - len(written), "skipped": len(written)}


def test_a_second_ctrl_c_ends_a_run_that_hangs(bench):
    bench.cases({"a": "predict:park"})
    parked = bench.inputs.parent / "parked"
    process = start(bench)
    wait_for(parked.exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    wait_for(lambda: not alive(int(parked.read_text())))


def test_two_shards_at_once_do_every_case_once(bench):
    cases = bench.cases({f"{i:02d}": "fine" for i in range(40)})
    both = [start(bench, str(index), "2") for index in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert bench.statuses() == {case.id: "ok" for case in cases}
    assert sorted(bench.journal_lines("write")) == [f"write {i:02d}" for i in range(40)]
    assert (bench.out / "batch.json").read_text().count('"shard": [') == 2


def test_a_worker_killed_from_outside_costs_no_case(bench):
    bench.cases({f"{i:02d}": "predict:park" if i == 5 else "fine" for i in range(12)})
    parked = bench.inputs.parent / "parked"
    process = start(bench)
    wait_for(parked.exists)
    os.kill(int(parked.read_text()), signal.SIGKILL)
    assert process.wait(20) == 0
    assert set(bench.statuses().values()) == {"ok"}
    assert len(bench.journal_lines("load")) == 2
