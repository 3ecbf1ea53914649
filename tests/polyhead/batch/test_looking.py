"""Looking for inputs, and reading them, where something lies that does not answer: nothing hangs, all is said."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from polyhead.batch import looking, supervisor
from polyhead.batch.case import Case
from polyhead.batch.inputs import Input, Wanted, as_cases, find_inputs, id_names, wanted_of
from polyhead.batch.looking import Looker, NoInputInside
from polyhead.batch.monitor import current_monitor
from polyhead.batch.receipts import fingerprint
from polyhead.batch.search import PassedOver, search
from polyhead.system.regular import Hollow, NotRegular, open_regular


def is_toy(path: Path) -> bool:
    """By suffix, and otherwise by content, as sources of images are."""
    if path.suffix == ".toy":
        return True
    with open_regular(path) as file:
        return file.read(3) == b"toy"


def cases_in(source: str | Path, passed: PassedOver | None = None) -> list[Case]:
    found = find_inputs(source, is_toy, looked_for="toys", passed=passed)
    return as_cases(wanted_of(found, lambda each: [Wanted(each.path, id_names(each))]))


def odd_folder(folder: Path) -> dict[str, str]:
    """Fills a folder with what is no regular file; returns the codes by case id, the empty one of what is good."""
    folder.mkdir(exist_ok=True)
    (folder / "good.toy").write_text("good")
    (folder / "by content").write_text("toy")
    (folder / os.fsdecode(b"latin-\xe9.toy")).write_text("good")
    (folder / "notes.md").write_text("no toy")
    for name in ("pipe.toy", "pipe"):
        os.mkfifo(folder / name)
    (folder / "zero.toy").symlink_to("/dev/zero")
    (folder / "gone.toy").symlink_to("nowhere")
    (folder / "lost").symlink_to("nowhere")
    (folder / "round.toy").symlink_to("round.toy")
    (folder / "loop").symlink_to(".")
    here = Path.cwd()
    os.chdir(folder)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket.toy")
    finally:
        os.chdir(here)
    return {
        "by content": "",
        "good": "",
        os.fsdecode(b"latin-\xe9"): "",
        "pipe.toy": "not-a-file",
        "pipe": "not-a-file",
        "zero": "not-a-file",
        "socket": "not-a-file",
        "gone": "missing-file",
        "lost": "missing-file",
        "round": "unreadable-file",
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["folder", "glob", "list"])
def test_a_batch_over_whatever_a_folder_holds_ends_with_a_line_for_each(bench, how):
    expected = odd_folder(bench.inputs)
    source: Path = bench.inputs
    if how == "glob":
        source = bench.inputs / "*"
        (bench.inputs / "loop").unlink()  # as a match of its own it would name all that it leads to
    elif how == "list":
        source = bench.inputs.parent / "list.txt"
        named = [
            name
            for each in sorted(bench.inputs.iterdir())
            if (name := os.fsencode(each.name)) not in (b"loop", b"notes.md")
        ]
        source.write_bytes(b"".join(b"in/" + name + b"\n" for name in named))
    passed = PassedOver()
    summary = bench.run(cases_in(source, passed))
    rows = bench.rows()
    told = {name.encode("utf-8", "replace"): row["code"] or "" for name, row in rows.items()}
    wanted = {name.encode("utf-8", "replace"): code for name, code in expected.items()}
    if how == "list":
        wanted[b"lost"] = "missing-file"  # named by the user, so nobody looked whether it is a toy
        wanted[b"round"] = "unreadable-file"
    assert told == wanted
    assert summary.exit_status == 3 and summary.counts["ok"] == 3
    assert all(row["reason"] and "\n" not in row["reason"] for row in rows.values() if row["code"])
    if how != "list":
        assert passed.to_json()["files"] == {".md": {"count": 1, "first": ["notes.md"]}}


@pytest.mark.timeout(30)
def test_a_pipe_that_the_user_names_and_companions_are_not_waited_for(bench):
    os.mkfifo(bench.inputs / "pipe.toy")
    (alone,) = cases_in(bench.inputs / "pipe.toy")
    assert bench.run([alone]).exit_status == 4
    assert bench.rows()["pipe"]["code"] == "not-a-file"
    (whole,) = bench.cases({"whole": "text"})
    beside = Case("beside", whole.path, files=(whole.path, bench.inputs / "pipe.toy"))
    assert bench.run([whole, beside]).exit_status == 3
    row = bench.rows()["beside"]
    assert (row["code"], row["reason"]) == ("not-a-file", "pipe.toy is a named pipe, no regular file")


@pytest.mark.timeout(60)
def test_what_blocks_in_reading_is_given_up_and_the_others_go_on(bench, monkeypatch):
    monkeypatch.setattr(supervisor, "READ_SECONDS", 1.0)
    # To predict takes longer than reading may.
    summary = bench.run(bench.cases({"a": "fine", "b": "read:sleep", "c": "fine"}), delay=1.2, batch_size=1)
    rows = bench.rows()
    assert bench.statuses() == {"a": "ok", "b": "timeout", "c": "ok"} and summary.exit_status == 3
    assert (rows["b"]["code"], rows["b"]["reason"]) == ("timeout-in-read", "no end of read within 1 s")


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # other tests load JAX
def test_a_folder_without_permission_by_another_user(tmp_path):
    """Root enters every folder, so a child process of nobody looks."""
    (tmp_path / "a.toy").write_text("a")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "b.toy").write_text("b")
    (tmp_path / "sealed.toy").write_text("c")
    (tmp_path / "sealed").write_text("toy")
    (tmp_path / "closed").chmod(0)
    (tmp_path / "sealed").chmod(0)
    (tmp_path / "l.txt").write_text("a.toy\nclosed/b.toy\n")
    told = tmp_path / "told"
    told.mkdir()
    told.chmod(0o777)
    # The other user has to reach the folder; those that he cannot enter are the test's own.
    opened = {folder: folder.stat().st_mode for folder in (tmp_path, *tmp_path.parents)}
    opened = {folder: mode for folder, mode in opened.items() if mode & 0o055 != 0o055 and len(folder.parts) > 2}
    for folder, mode in opened.items():
        folder.chmod(mode & 0o7777 | 0o055)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            found = {}
            for source in (".", "*", "*/*.toy", "closed/*.toy", "closed/b.toy", "l.txt"):
                inputs = find_inputs(tmp_path / source, is_toy, looked_for="toys")
                found[source] = {each.name: each.finding.code if each.finding else "" for each in inputs}
            (told / "found.json").write_text(json.dumps(found))
            status = 0
        finally:
            os._exit(status)
    ended = os.waitpid(child, 0)[1]
    for folder, mode in opened.items():
        folder.chmod(mode & 0o7777)
    assert ended == 0
    found = json.loads((told / "found.json").read_text())
    (tmp_path / "closed").chmod(0o700)
    whole = {"a.toy": "", "closed": "no-permission", "sealed": "no-permission", "sealed.toy": ""}
    assert found == {
        ".": whole,
        "*": whole,
        "*/*.toy": {"closed": "no-permission"},
        "closed/*.toy": {"closed": "no-permission"},
        "closed/b.toy": {"b.toy": "no-permission"},
        "l.txt": {"a.toy": "", "closed/b.toy": "no-permission"},
    }


def test_a_look_that_does_not_come_back_costs_its_time_once(monkeypatch, tmp_path):
    monkeypatch.setattr(looking, "IMPATIENT_SECONDS", 0.05)
    stuck = threading.Event()
    with Looker(0.3) as look:
        assert look(max, 1, 2) == 2
        start = time.monotonic()
        for _ in range(5):
            with pytest.raises(TimeoutError):
                look(stuck.wait)
        assert 0.3 < time.monotonic() - start < 2
        assert look(max, 3, 2) == 3
        with pytest.raises(ZeroDivisionError):
            look(lambda: 1 / 0)
    stuck.set()


def test_what_moves_is_given_its_time():
    def slow() -> str:
        for turn in range(12):
            time.sleep(0.05)
            current_monitor().part(turn, 12, "slabs")
        return "done"

    with Looker(0.3) as look:
        assert look(slow) == "done"


def test_a_file_that_does_not_answer_while_it_is_looked_into_is_a_case_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(Looker.__init__, "__defaults__", (0.2,))
    stuck = threading.Event()

    def parts(found: Input) -> list[Wanted]:
        if found.name == "b.toy":
            stuck.wait()
        if found.name == "c.toy":
            found.path.unlink()
            found.path.stat()
        if found.name == "report.toy":
            raise NoInputInside("no-toy", "report.toy is a report", "give a toy")
        return [Wanted(found.path, id_names(found))]

    for name in ("a", "b", "c", "d", "report"):
        (tmp_path / f"{name}.toy").write_text(name)
    cases = as_cases(wanted_of(find_inputs(tmp_path, is_toy, looked_for="toys"), parts))
    stuck.set()
    assert [case.id for case in cases] == ["a", "b", "c", "d", "report"]
    findings = [(case.finding.status, case.finding.code) if case.finding else None for case in cases]
    assert findings == [
        None,
        ("invalid_input", "no-answer"),
        ("invalid_input", "missing-file"),
        None,
        ("passed_over", "no-toy"),
    ]
    # The user names it: it is asked for, and fails.
    (named,) = wanted_of([Input(tmp_path / "report.toy", "report.toy")], parts)
    assert named.finding is not None and named.finding.status == "invalid_input"


def test_what_is_passed_over_after_a_look_is_told_and_no_failure(bench):
    def parts(found: Input) -> list[Wanted]:
        if "report" in found.name:
            raise NoInputInside("no-toy", f"{found.name} is a report, no toy")
        return [Wanted(found.path, id_names(found))]

    bench.cases({"a": "fine", "report": "x"})
    cases = as_cases(wanted_of(find_inputs(bench.inputs, is_toy, looked_for="toys"), parts))
    summary = bench.run(cases)
    assert (summary.exit_status, dict(summary.counts)) == (0, {"ok": 1, "passed_over": 1})
    row = bench.rows()["report"]
    assert (row["status"], row["code"], row["reason"]) == ("passed_over", "no-toy", "report.toy is a report, no toy")
    assert (bench.out / "failed.txt").read_text() == ""
    assert "passed over" in (bench.out / "summary.html").read_text()
    # Where nothing else is there, nothing could be answered.
    assert bench.run([case for case in cases if case.finding]).exit_status == 4


def test_opening_refuses_what_is_not_regular_and_what_is_hollow(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(NotRegular):
            open_regular(path)
    with (tmp_path / "hollow").open("wb") as file:
        file.write(b"a header")
        file.truncate(1 << 40)
    start = time.monotonic()
    with pytest.raises(Hollow, match="it claims 1,099,511,627,776 bytes and holds"):
        open_regular(tmp_path / "hollow")
    with pytest.raises(Exception, match=r"\[hollow-file\] hollow is full of holes"):
        fingerprint(tmp_path / "hollow")
    assert time.monotonic() - start < 1
    (tmp_path / "file").write_bytes(b"whole")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"whole"


def test_what_a_search_refuses_stands_in_its_names(tmp_path):
    odd_folder(tmp_path)
    passed = PassedOver()
    names = list(search(tmp_path, is_toy, passed))
    assert "pipe.toy" in names and passed.refused[tmp_path / "pipe.toy"].code == "not-a-file"
