from __future__ import annotations

import io
import json
from pathlib import Path

from polyhead.batch.outcome import Summary
from polyhead.batch.progress import closing_lines, progress_display
from polyhead.batch.warned import WarningCounts

EVENTS = [
    {"event": "start", "total": 3, "inputs": 3, "shard": [0, 1]},
    {"event": "loading"},
    {"event": "case", "id": "a", "status": "ok", "reason": None, "remedy": None, "warnings": ["odd"]},
    {"event": "case", "id": "[red]b\n", "status": "failed", "reason": "no", "remedy": "try"},
    {"event": "part", "id": "c", "cases": 2, "stage": "predict", "done": 3, "total": 9, "what": "slabs"},
    {"event": "case", "id": "c", "status": "skipped", "reason": None, "remedy": None},
    {"event": "finish", "counts": {}, "exit_status": 3},
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO, **options) -> str:
    with progress_display(stream=stream, **options) as progress:
        for event in EVENTS:
            progress(event)
    return stream.getvalue()


def test_lines_name_the_failure_and_leave_the_end_to_who_ran_the_batch():
    assert show(io.StringIO()).splitlines() == ["loading the model", "failed: '[red]b\\n': no; try"]
    counts = [line.split(" cases")[0] for line in show(io.StringIO(), every=0.0).splitlines() if " cases, " in line]
    assert counts == ["1/3", "2/3"]
    assert "2/3 cases, 1 failed, 1 with warnings, " in show(io.StringIO(), every=0.0)


def closing(counts: dict[str, int], *records: list[str], seconds: float = 12.34) -> list[str]:
    warnings = WarningCounts()
    for record in records:
        warnings.take({"warnings": record})
    return closing_lines(Summary(counts, 0, Path("out"), seconds, warnings=warnings))


def test_the_end_says_what_became_of_all_and_of_what_to_be_wary():
    assert closing({"ok": 1}) == ["1 case: 1 ok in 12.3 s"]
    assert closing({}) == ["nothing to do in 12.3 s"]
    assert closing({"ok": 2, "failed": 1}) == ["3 cases: 2 ok, 1 failed in 12.3 s"]
    lines = closing({"ok": 1200, "invalid_input": 2, "timeout": 1}, ["a"], ["a", "b"], [])
    assert lines == [
        "1,203 cases: 1,200 ok, 2 invalid input, 1 timeout in 12.3 s; 3 failed, 2 with warnings",
        "warnings: 2 a, 1 b",
    ]
    many = closing({"ok": 7}, *([f"kind-{number}"] for number in "abcdefg"))
    assert many[1] == "warnings: 1 kind-a, 1 kind-b, 1 kind-c, 1 kind-d, 1 kind-e, 2 other kinds"


def test_parts_of_a_long_case_are_told_of():
    assert "predict 'c' and 1 more: 3/9 slabs" in show(io.StringIO(), every=0.0).splitlines()


def test_json_lines_carry_every_event_and_the_progress():
    events = [json.loads(line) for line in show(io.StringIO(), log_json=True, quiet=True).splitlines()]
    assert [event["event"] for event in events if event["event"] != "progress"] == [e["event"] for e in EVENTS]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert {key: last[key] for key in ("done", "failed", "total")} == {"done": 2, "failed": 1, "total": 3}


def test_quiet_says_nothing_and_a_terminal_gets_a_bar():
    assert show(io.StringIO(), quiet=True) == ""
    shown = show(Terminal())
    assert "3/3" in shown and "[red]b" in shown and "1 with" in shown
