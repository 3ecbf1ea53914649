from __future__ import annotations

import io
import json

from polyhead.batch.progress import progress_display

EVENTS = [
    {"event": "start", "total": 3, "inputs": 3, "shard": [0, 1]},
    {"event": "loading"},
    {"event": "case", "id": "a", "status": "ok", "reason": None, "remedy": None},
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


def test_lines_name_the_failure_and_end_with_the_counts():
    lines = show(io.StringIO()).splitlines()
    assert lines[:2] == ["loading the model", "failed: '[red]b\\n': no; try"]
    assert lines[2].startswith("3/3 cases, 1 failed") and len(lines) == 3


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
    assert "3/3" in shown and "[red]b" in shown
