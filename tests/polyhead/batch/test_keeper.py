from __future__ import annotations

from pathlib import Path

from polyhead import __version__
from polyhead.batch import keeper
from polyhead.batch.keeper import Keeper
from polyhead.batch.outcome import Outcome


def test_answers_of_another_version_are_told_of():
    events = []
    kept = Keeper(Path("out"), 6, 5, events.append)
    for index, software in enumerate([__version__, "0.0.9", "0.0.9", "0.0.8", None]):
        kept.note(index, Outcome(f"c{index}", "in", "skipped"), software)
    summary = kept.summary()
    assert summary.counts == {"skipped": 5} and summary.exit_status == 0
    assert summary.notes == (
        "1 case was done by polyhead 0.0.8; --overwrite does it anew",
        "2 cases were done by polyhead 0.0.9; --overwrite does them anew",
    )
    assert [event["done"] for event in events] == [1, 2, 3, 4, 5] and events[0]["total"] == 5
    assert kept.knows(4) and not kept.knows(5)


def test_a_summary_holds_the_first_failures_in_input_order(monkeypatch):
    monkeypatch.setattr(keeper, "MAX_FAILURES", 3)
    kept = Keeper(Path("out"), 10, 10, lambda _: None)
    for index in (7, 1, 4, 2, 3):
        kept.note(index, Outcome(f"c{index}", "in", "failed" if index != 1 else "ok", "x"))
    summary = kept.summary()
    assert summary.counts == {"ok": 1, "failed": 4} and summary.exit_status == 3 and kept.failed
    assert [failure.id for failure in summary.failures] == ["c2", "c4", "c7"]
