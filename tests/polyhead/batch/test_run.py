"""Runs from start to end: what is done, what fails and why, and what a second run does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyhead import __version__
from polyhead.batch.case import Case
from polyhead.batch.folder import FolderInUse, OutputFolder
from polyhead.batch.outcome import Outcome
from polyhead.batch.path_lists import read_path_list
from polyhead.batch.run import run_batch, shard_of
from polyhead.batch.worker import PredictorFactory
from polyhead.system.files import TEMPORARY


def test_a_clean_run_loads_once_and_writes_everything(bench):
    texts = {f"a/{i}": "x" * i for i in range(1, 21)}
    summary = bench.run(bench.cases(texts), factor=3)
    assert (dict(summary.counts), summary.exit_status) == ({"ok": 20}, 0)
    assert bench.journal_lines("load") == ["load"]
    assert list(bench.rows()) == list(texts)
    for name, text in texts.items():
        assert (bench.out / name / "answer.txt").read_text() == str(3 * len(text))
        assert json.loads((bench.out / name / "more/answer.json").read_text()) == {"value": 3 * len(text)}
        row = bench.rows()[name]
        assert row["record"]["value"] == 3 * len(text)
        assert row["seconds"] >= 0 and row["code"] is None
        receipt = json.loads((bench.out / name / "receipt.json").read_text())
        assert receipt["outputs"]["answer.txt"]["bytes"] == len(str(3 * len(text)))
        assert receipt["input"]["bytes"] == len(text)
    assert (bench.out / "failed.txt").read_text() == ""
    run = json.loads((bench.out / "batch.json").read_text())
    assert run["counts"] == {"ok": 20} and run["model_hash"] == "m1" and run["missing_shards"] == []
    assert not list(bench.out.rglob(f"{TEMPORARY}*"))


def test_batches_are_full_where_cases_are_ready(bench):
    bench.run(bench.cases({str(i): "x" for i in range(16)}), delay=0.01)
    sizes = [int(line.split()[1]) for line in bench.journal_lines("predict")]
    assert sum(sizes) == 16 and max(sizes) == 4


def test_every_kind_of_trouble_is_named_and_stops_no_other(bench):
    texts = {f"good{i}": "fine" for i in range(8)} | {
        "invalid": "invalid",
        "raise_read": "read:raise",
        "raise_predict": "predict:raise",
        "raise_write": "write:raise",
        "exit": "read:exit",
        "nan": "nan",
        "memory": "predict:memory",
        "die_read": "read:die",
        "die_predict": "predict:die",
        "die_write": "write:die",
        "segfault": "predict:segfault",
        "killed": "predict:killed",
        "sleep": "read:sleep",
    }
    cases = [*bench.cases(texts), Case("missing", bench.inputs / "missing.toy"), Case("../escape", bench.inputs)]
    summary = bench.run(cases, timeout=2.0)
    rows = bench.rows()
    seen = {name: (row["status"], row["code"]) for name, row in rows.items() if row["status"] != "ok"}
    assert seen == {
        "invalid": ("invalid_input", "not_an_image"),
        "raise_read": ("failed", "error-in-read"),
        "raise_predict": ("failed", "error-in-predict"),
        "raise_write": ("failed", "error-in-write"),
        "exit": ("failed", "error-in-read"),
        "nan": ("failed", "error-in-write"),
        "memory": ("oom", "out-of-memory"),
        "die_read": ("crashed", "worker-exit"),
        "die_predict": ("crashed", "worker-exit"),
        "die_write": ("crashed", "worker-exit"),
        "segfault": ("crashed", "SIGSEGV"),
        "killed": ("oom", "killed"),
        "sleep": ("timeout", "timeout-in-read"),
        "missing": ("invalid_input", "missing-file"),
        "../escape": ("invalid_input", "unsafe-id"),
    }
    assert summary.exit_status == 3
    assert summary.counts["ok"] == 8
    assert rows["invalid"]["reason"] == "this is no image" and rows["invalid"]["remedy"] == "send an image"
    assert rows["raise_read"]["reason"] == "RuntimeError: told to raise"
    assert "RuntimeError: told\nto raise" in (bench.out / "logs/raise_read.log").read_text()
    assert rows["die_read"]["reason"] == "the worker left with exit status 7"
    assert not list(bench.out.rglob(f"{TEMPORARY}*"))
    for name in seen:
        if name != "../escape":
            assert not (bench.out / name / "answer.txt").exists(), name
    failed = read_path_list(bench.out / "failed.txt")
    assert failed.paths == [case.path for case in cases if case.id in seen]
    assert "# sleep: timeout: no end of read within 2 s" in (bench.out / "failed.txt").read_text()


def test_failures_are_tried_again_but_invalid_inputs_are_remembered(bench):
    cases = bench.cases({"good": "fine", "invalid": "invalid", "die": "read:die", "raise": "write:raise"})
    assert bench.run(cases).exit_status == 3
    for name in ("die", "raise"):
        (bench.inputs / f"{name}.toy").write_text("mended")
    bench.forget_journal()
    summary = bench.run(cases)
    assert bench.statuses() == {"good": "skipped", "invalid": "invalid_input", "die": "ok", "raise": "ok"}
    assert summary.exit_status == 3
    assert sorted(bench.journal_lines("write")) == ["write die", "write raise"]
    assert not (bench.out / "logs/raise.log").exists()
    bench.forget_journal()
    assert bench.run(cases).exit_status == 3
    assert not bench.journal_lines("load")
    bench.run(cases, retry_failed=True)
    assert bench.journal_lines("load") == ["load"]
    assert bench.rows()["invalid"]["reason"] == "this is no image"


def test_a_receipt_holds_only_for_the_same_bytes_model_and_parameters(bench):
    cases = bench.cases({"a": "one", "b": "two", "c": "three"})
    bench.run(cases)
    assert bench.run(cases).counts == {"skipped": 3}

    answer = bench.out / "a/answer.txt"
    answer.write_bytes(bytes([answer.read_bytes()[0] ^ 1]))
    (bench.inputs / "b.toy").write_text("TWO")
    assert bench.run(cases).counts == {"ok": 2, "skipped": 1}
    assert answer.read_text() == "3"

    (bench.out / "c/more/answer.json").unlink()
    assert bench.run(cases).counts == {"ok": 1, "skipped": 2}
    assert bench.run(cases, factor=2, overwrite=True).counts == {"ok": 3}
    assert answer.read_text() == "6"
    assert bench.run(cases, factor=2, model_hash="m2", overwrite=True).counts == {"ok": 3}
    assert bench.run(cases, factor=2, model_hash="m2").counts == {"skipped": 3}
    asked = [Case(case.id, case.path, ("heart",)) for case in cases]
    assert bench.run(asked, factor=2, model_hash="m2").counts == {"ok": 3}
    assert bench.run(asked, factor=2, model_hash="m2", overwrite=True).counts == {"ok": 3}


def test_a_failure_leaves_no_stale_answer(bench):
    cases = bench.cases({"a": "one", "b": "two"})
    bench.run(cases)
    (bench.inputs / "a.toy").write_text("invalid")
    bench.run(cases)
    assert bench.statuses() == {"a": "invalid_input", "b": "skipped"}
    assert sorted(path.name for path in (bench.out / "a").rglob("*") if path.is_file()) == ["receipt.json"]


def test_a_batch_that_fails_together_passes_alone_and_is_halved(bench):
    events = []
    cases = bench.cases({f"{i:02d}": "crowd" for i in range(10)})
    summary = bench.run(cases, progress=events.append)
    assert (dict(summary.counts), summary.exit_status) == ({"ok": 10}, 0)
    assert sum(event["event"] == "worker_ended" for event in events) <= 2


def test_done_cases_are_skipped_in_no_time_without_a_worker(bench):
    cases = bench.cases({f"{i // 100}/{i}": "x" * (i % 7) for i in range(300)})
    bench.run(cases, batch_size=16)
    bench.forget_journal()
    start = time.monotonic()
    assert bench.run(cases).counts == {"skipped": 300}
    assert time.monotonic() - start < 3
    assert not bench.journal_lines("load")


def test_names_of_all_kinds(bench):
    names = ["äöü/bild 1", "with, comma (2)", "new\nline", "#hash", " lead", "‮rtl", "<img src=x onerror=alert(1)>", "'"]
    cases = bench.cases(dict.fromkeys(names, "fine") | {"bad\nname": "invalid", '"q"': "invalid"})
    assert bench.run(cases).counts == {"ok": len(names), "invalid_input": 2}
    assert bench.run(cases).counts == {"skipped": len(names), "invalid_input": 2}
    failed = read_path_list(bench.out / "failed.txt")
    assert failed.paths == [bench.inputs / "bad\nname.toy", bench.inputs / '"q".toy']
    assert failed.root == bench.inputs


def test_exit_status_of_nothing_and_of_nothing_valid(bench):
    assert bench.run([]).exit_status == 4
    assert bench.rows() == {}
    assert bench.run(bench.cases({"a": "invalid", "b": "invalid"})).exit_status == 4


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("key", "KeyError: 'width'"),
        ("die", "the worker left with exit status 3 before it began a case"),
    ],
)
def test_a_predictor_that_fails_to_load_is_an_internal_error(bench, how, words):
    summary = bench.run(bench.cases({"a": "x"}), factory=PredictorFactory("toy_predictors:no_start", {"how": how}))
    assert summary.exit_status == 1
    assert summary.error is not None and summary.error.startswith(f"the predictor cannot be loaded: {words}")
    assert "\n" not in summary.error
    assert bench.statuses() == {"a": "not_run"}
    assert (bench.out / "failed.txt").read_text() == ""


def test_fail_fast_leaves_the_rest(bench):
    cases = bench.cases({f"{i:02d}": "invalid" if i == 0 else "fine" for i in range(60)})
    summary = bench.run(cases, fail_fast=True, workers=1, batch_size=2, delay=0.05)
    assert summary.exit_status == 3
    assert summary.counts["invalid_input"] == 1 and summary.counts["not_run"] > 40
    assert sum(summary.counts.values()) == 60 == len(bench.rows())
    assert bench.run(cases).counts["invalid_input"] == 1
    assert "not_run" not in bench.statuses().values()


def test_dry_run_writes_nothing(bench):
    cases = bench.cases({"a": "x", "b": "y"})
    assert bench.run(cases, dry_run=True).counts == {"planned": 2}
    assert not bench.out.exists()
    bench.run(cases[:1])
    assert bench.run(cases, dry_run=True).counts == {"skipped": 1, "planned": 1}


def test_bad_arguments_are_refused_before_anything_is_written(bench):
    cases = bench.cases({"a": "x"})
    with pytest.raises(ValueError, match="share the case id 'a'"):
        bench.run(cases * 2)
    for shard in ((1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="the first number must be in"):
            bench.run(cases, shard=shard)
    with pytest.raises(ValueError, match="at least 1"):
        bench.run(cases, batch_size=0)
    assert not bench.out.exists()


def test_shards_cover_all_cases_once_and_merge(bench):
    cases = bench.cases({f"{i}": "x" * i for i in range(1, 31)} | {"bad": "invalid"})
    finished = []
    for index in range(3):
        bench.run(cases, shard=(index, 3), on_merged=lambda out, rows: finished.append(len(rows)))
        missing = json.loads((bench.out / "batch.json").read_text())["missing_shards"]
        assert missing == list(range(index + 1, 3))
    assert finished[-1] == 31 and finished == sorted(finished)
    assert list(bench.rows()) == [case.id for case in cases]
    assert sorted(bench.journal_lines("write")) == sorted(f"write {i}" for i in range(1, 31))
    assert len((bench.out / "summary.csv").read_text().splitlines()) == 32
    assert {shard_of(case.id, 3) for case in cases} == {0, 1, 2}
    # a run without shards takes over the folder, and trusts the shards' receipts
    assert bench.run(cases).counts == {"skipped": 30, "invalid_input": 1}
    assert list(bench.rows()) == [case.id for case in cases]


def test_a_folder_in_use_is_refused(bench):
    cases = bench.cases({"a": "x"})
    with OutputFolder(bench.out, (0, 2)).hold():
        with pytest.raises(FolderInUse, match="as shard 0/2"):
            bench.run(cases, shard=(0, 2))
        with pytest.raises(FolderInUse, match="a run with 2 shards"):
            bench.run(cases)
        assert bench.run(cases, shard=(1, 2)).exit_status == 0


def test_a_file_system_without_locks_is_worked_on_with_a_warning(bench, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert bench.run(bench.cases({"a": "x"})).counts == {"ok": 1}
    assert "lies on a file system without locks" in caplog.text


def test_a_failure_of_the_last_step_is_an_internal_error_and_keeps_the_results(bench):
    def explode(out: Path, rows: list) -> None:
        raise OSError("disk full")

    summary = bench.run(bench.cases({"a": "x"}), on_merged=explode)
    assert summary.exit_status == 1 and summary.error is not None and "disk full" in summary.error
    assert bench.statuses() == {"a": "ok"}


@pytest.mark.parametrize(("in_flight", "most"), [(1, 1), (3, 3), (None, 8)])
def test_no_more_cases_are_held_than_the_predictor_bears(bench, in_flight, most):
    factory = PredictorFactory("toy_predictors:large", {"journal": str(bench.journal), "in_flight": in_flight})
    cases = bench.cases({f"{i:02d}": "x" for i in range(40)})
    assert bench.run(cases, factory=factory, batch_size=2, workers=2).counts == {"ok": 40}
    held = [int(line.split()[1]) for line in bench.journal_lines("most")]
    assert len(held) == 40 and max(held) <= most
    assert max(held) >= min(most, 3), "reading, predicting and writing overlap"


def test_the_time_out_does_not_count_the_wait_between_read_and_predict(bench):
    cases = bench.cases({f"{i}": "x" for i in range(6)})
    summary = bench.run(cases, batch_size=1, timeout=1.5, delay=0.6)  # the last one waits 3 s for its turn
    assert dict(summary.counts) == {"ok": 6}
    assert bench.journal_lines("load") == ["load"], "no worker was ended"


class Canned:
    """A runner without a worker: every case is answered at once."""

    def __init__(self, factory, settings, *, log, timeout):
        self.settings, self.timeout = settings, timeout

    def run(self, cases, *, stopping, notify):
        for case in cases:
            notify({"event": "part", "id": case.id, "cases": 1, "stage": "predict", "done": 1, "total": 1, "what": ""})
            yield Outcome(case.id, str(case.path), "ok", seconds=0.1, record={f"field{i}": i + 0.5 for i in range(50)})


def test_another_runner_may_take_the_place_of_the_local_one(bench):
    cases = bench.cases({"b": "x", "a": "y"})
    summary = bench.run(cases, make_runner=Canned)
    assert dict(summary.counts) == {"ok": 2} and list(bench.rows()) == ["b", "a"]
    assert bench.rows()["a"]["record"]["field49"] == 49.5


def test_memory_does_not_grow_with_the_number_of_cases(tmp_path):
    def peak(count: int, turn: int = 0) -> int:
        cases = [Case(f"{i:05d}", tmp_path / "in") for i in range(count)]
        factory = PredictorFactory("none:none", {})
        tracemalloc.start()
        try:
            run_batch(
                cases, tmp_path / f"out{count}-{turn}", factory, model_hash="m", parameters={}, make_runner=Canned
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    # The smallest of three: what else the process does meanwhile only adds.
    few, many = (min(peak(count, turn) for turn in range(3)) for count in (300, 1800))
    assert (many - few) / 1500 < 400, "bytes a case; a record alone has 1,000 as JSON"


def test_answers_of_another_version_are_told_of_at_the_end(bench):
    cases = bench.cases({"a": "x", "b": "y"})
    bench.run(cases)
    path = bench.out / "a/receipt.json"
    path.write_text(path.read_text().replace(f'"software": "{__version__}"', '"software": "0.0.9"'))
    summary = bench.run(cases)
    assert summary.counts == {"skipped": 2}
    assert summary.notes == ("1 case was done by polyhead 0.0.9; --overwrite does it anew",)
    assert summary.notes[0] in (bench.out / "summary.html").read_text()
    assert json.loads((bench.out / "batch.json").read_text())["shards"][0]["notes"] == list(summary.notes)


def test_a_remembered_invalid_input_says_when_it_was_found_and_how_to_look_again(bench):
    cases = bench.cases({"a": "invalid"})
    bench.run(cases)
    assert bench.rows()["a"]["remedy"] == "send an image"
    bench.run(cases)
    today = datetime.now(UTC).date().isoformat()
    assert bench.rows()["a"]["remedy"] == f"send an image; as found on {today}; --retry-failed looks again"
    bench.run(cases, retry_failed=True)
    assert bench.rows()["a"]["remedy"] == "send an image"


def test_a_changed_companion_and_full_verification_do_a_case_anew(bench):
    (case,) = bench.cases({"a": "one"})
    other = bench.inputs / "a.mask"
    other.write_text("before")
    os.utime(other, ns=(10**18 + 5, 10**18 + 5))
    cases = [replace(case, files=(case.path, other))]
    assert bench.run(cases).counts == {"ok": 1}
    os.utime(case.path, ns=(10**18 + 5, 10**18 + 5))
    assert bench.run(cases, overwrite=True).counts == {"ok": 1}
    other.write_text("behind")
    assert bench.run(cases).counts == {"ok": 1}
    os.utime(other, ns=(10**18 + 5, 10**18 + 5))
    assert bench.run(cases, overwrite=True).counts == {"ok": 1}
    with other.open("r+") as stream:
        stream.write("before")
    os.utime(other, ns=(10**18 + 5, 10**18 + 5))
    assert bench.run(cases).counts == {"skipped": 1}, "size, time and inode are as they were"
    assert bench.run(cases, verify="full").counts == {"ok": 1}


def test_a_killed_shard_is_missing_from_the_merged_files_until_it_ends(bench):
    cases = bench.cases({f"{i}": "x" for i in range(20)})
    bench.run(cases, shard=(0, 2))
    path = bench.out / ".polyhead/part-0-of-2.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    bench.run(cases, shard=(1, 2))
    assert json.loads((bench.out / "batch.json").read_text())["missing_shards"] == [0]
    assert {shard_of(name, 2) for name in bench.rows()} == {1}
    bench.run(cases, shard=(0, 2))
    assert len(bench.rows()) == 20


def test_a_worker_is_not_needed_in_the_main_thread(bench):
    with ThreadPoolExecutor(1) as pool:
        summary = pool.submit(bench.run, bench.cases({"a": "x"})).result()
    assert summary.counts == {"ok": 1}


def test_run_batch_needs_no_torch():
    code = "import sys, polyhead.batch.run, polyhead.batch.progress; print({'torch', 'PIL', 'numpy'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
