"""Jobs live on disk and in their own process: progress, every way to end, cancelling, and a server that goes away."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ui import job_keeper
from ui.jobs import Progress, last_progress, list_jobs, load_job, start_job

STEADY = """
import json, sys, time
for i in range(4):
    print(json.dumps({"event": "progress", "done": i, "failed": 1, "total": 5}), file=sys.stderr, flush=True)
print("a plain line", file=sys.stderr)
print("the answer")
sys.exit(int(sys.argv[1]))
"""
ENDLESS = """
import json, pathlib, sys, time
print(json.dumps({"event": "progress", "done": 2, "failed": 0, "total": 8}), file=sys.stderr, flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text("tidy")
    sys.exit(130)
"""


def wait_for(condition, seconds=15.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize(("status", "state"), [(0, "done"), (3, "partly"), (4, "no_input"), (1, "failed")])
def test_a_job_ends_in_the_state_of_its_exit_status(tmp_path, status, state):
    job = start_job(tmp_path / "jobs", [sys.executable, "-c", STEADY, str(status)], "steady", tmp_path / "out")
    end = job.wait(20)
    assert (end.state, end.returncode, end.live) == (state, status, False)
    assert end.progress == Progress(3, 1, 5)
    assert end.progress.fraction == pytest.approx(0.8)
    assert job.log_tail() == "a plain line"
    assert (job.folder / "stdout.log").read_text() == "the answer\n"
    assert job.result == (tmp_path / "out").resolve()


def test_cancel_interrupts_the_command_and_lets_it_tidy_up(tmp_path):
    job = start_job(tmp_path / "jobs", [sys.executable, "-c", ENDLESS, str(tmp_path / "mark")], "endless")
    wait_for(lambda: job.poll().progress is not None)
    assert job.poll().state == "running"
    assert job.poll().seconds_left == pytest.approx(3 * job.poll().seconds, rel=0.2)
    assert job.cancel()
    end = job.wait(20)
    assert (end.state, end.returncode) == ("cancelled", 130)
    assert (tmp_path / "mark").read_text() == "tidy"
    assert not job.cancel()


def test_a_job_outlives_the_process_that_started_it_and_is_found_and_cancelled_from_another(tmp_path):
    script = (
        "import sys; from pathlib import Path; from ui.jobs import start_job; import os\n"
        "start_job(Path(sys.argv[1]), [sys.executable, '-c', sys.argv[2], sys.argv[3]], 'orphan'); os._exit(9)"
    )
    arguments = [str(tmp_path / "jobs"), ENDLESS, str(tmp_path / "mark")]
    assert subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode == 9
    (job,) = list_jobs(tmp_path / "jobs")
    wait_for(lambda: job.poll().progress is not None)
    assert job.cancel()
    assert job.wait(20).state == "cancelled"
    assert (tmp_path / "mark").exists()


def test_a_job_whose_processes_vanish_is_lost_and_says_so(tmp_path):
    job = start_job(tmp_path / "jobs", [sys.executable, "-c", ENDLESS, str(tmp_path / "mark")], "endless")
    wait_for(lambda: job.poll().progress is not None)
    process = json.loads((job.folder / "processes.json").read_text())
    os.kill(process["keeper"]["pid"], signal.SIGKILL)
    assert job.poll().live, "the command still runs without its keeper"
    assert job.cancel()
    assert job.wait(20).state == "cancelled"
    (job.folder / "cancel.json").unlink()
    assert job.poll().state == "lost"


def test_a_process_id_that_was_given_to_another_process_is_not_taken_for_the_job(tmp_path):
    job = start_job(tmp_path / "jobs", [sys.executable, "-c", "pass"], "short")
    job.wait(20)
    (job.folder / "end.json").unlink()
    other = {"pid": os.getpid(), "started": psutil.Process().create_time() - 100}
    (job.folder / "processes.json").write_text(json.dumps({"keeper": other, "child": other}))
    assert job.poll().state == "lost"
    assert not job.cancel()


def test_a_command_that_does_not_exist_fails_with_the_reason_in_the_log(tmp_path):
    job = start_job(tmp_path / "jobs", [str(tmp_path / "nothing")], "nothing")
    assert job.wait(20).state == "failed"
    assert "does not start" in job.log_tail()


def test_list_jobs_is_newest_first_and_passes_over_what_is_no_job(tmp_path):
    assert list_jobs(tmp_path / "none") == []
    for number, name in enumerate(["a", "b"]):
        home = tmp_path / name
        home.mkdir()
        entry = {"id": name, "title": name, "argv": ["x"], "cwd": ".", "result": None, "started": float(number)}
        (home / "job.json").write_text(json.dumps(entry))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "job.json").write_text("{")
    assert [job.id for job in list_jobs(tmp_path)] == ["b", "a"]
    assert load_job(tmp_path / "a").poll().state == "lost"
    with pytest.raises(ValueError, match="no job"):
        load_job(tmp_path / "broken")


def test_progress_is_read_from_the_end_of_a_long_log_with_broken_lines(tmp_path):
    log = tmp_path / "log"
    assert last_progress(log) is None
    lines = [json.dumps({"event": "case", "id": str(i)}) for i in range(20000)]
    lines += ['{"event": "progress", "done": 7, "failed": 2, "total": null}', '{"event": "prog', "[1]", "{}"]
    log.write_text("\n".join(lines))
    assert last_progress(log) == Progress(7, 2, None)
    assert last_progress(log).fraction == 0.0
    log.write_text('{"event": "progress", "done": "many"}')
    assert last_progress(log) is None


def test_a_command_that_will_not_end_is_killed_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(job_keeper, "GRACE_SECONDS", (0.3, 0.3))
    stubborn = (
        "import pathlib, signal, sys, time\n"
        "seen = []\n"
        "for name in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(name, lambda *_: (seen.append(_[0]), pathlib.Path(sys.argv[1]).write_text(str(seen))))\n"
        "pathlib.Path(sys.argv[1]).write_text('ready')\n"
        "while True: time.sleep(0.05)"
    )
    mark = tmp_path / "mark"
    child = subprocess.Popen([sys.executable, "-c", stubborn, str(mark)], start_new_session=True)
    wait_for(lambda: mark.exists() and mark.read_text() == "ready")
    assert job_keeper._wait(child, [time.monotonic()]) == -signal.SIGKILL
    assert mark.read_text() == str([int(signal.SIGINT), int(signal.SIGTERM)])


def test_a_job_needs_a_command(tmp_path):
    with pytest.raises(ValueError, match="needs a command"):
        start_job(Path(tmp_path), [], "none")
