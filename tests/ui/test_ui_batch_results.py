"""What a batch left behind, as the pages show it."""

from __future__ import annotations

import json
from pathlib import Path

from streamlit.testing.v1 import AppTest

from ui.batch_results import FAILED, WARNED, read_batch


def leave(out: Path, cases: int = 120) -> None:
    """Results of which every tenth failed and every third of the others has a warning, and a torn last line."""
    lines = []
    for number in range(cases):
        row = {"id": f"c{number:03d}", "status": "ok", "reason": None, "remedy": None, "seconds": 0.1}
        warnings = ["not-ultrasound"] if number % 3 == 0 else []
        answer = {"answer": f"benign, 0.{number:03d}", "class": 0, "area [mm2]": 12.5}
        record = {"answer": "in short", "height": 9, "warnings": warnings, "tasks": {"breast_3cls": answer}}
        if number % 10 == 9:
            row |= {"status": "invalid_input", "reason": "it is <broken>", "remedy": "copy it"}
        lines.append(json.dumps(row | {"record": None if row["reason"] else record}) + "\n")
    (out / "results.jsonl").write_text("".join(lines) + '{"id": "to')
    passed = {"files": {".gif": {"count": 6, "first": ["a.gif"]}, "": {"count": 1, "first": ["x"]}}, "folders": {}}
    (out / "batch.json").write_text(json.dumps({"info": {"passed_over": passed}}))


def test_results_are_read_with_a_column_a_task(tmp_path):
    leave(tmp_path)
    found = read_batch(tmp_path)
    assert found.counts == {"ok": 108, "invalid_input": 12} and found.passed_over == {".gif": 6, "": 1}
    assert found.warnings.to_json() == {"cases": 36, "kinds": {"not-ultrasound": 36}}
    first, last = found.lines[0], found.lines[9]
    assert first.cells == {
        "Case": "c000",
        "Status": "done",
        "Warnings": "not-ultrasound",
        "breast 3cls": "benign, 0.000 (area: 12.5 mm2)",
    }
    assert last.cells["Status"] == "invalid input: it is <broken>" and last.failed and last.cells["breast 3cls"] == ""
    assert len(found.found(FAILED, "")) == 12 and len(found.found(WARNED, "")) == 36
    assert [cells["Case"] for cells in found.found("not-ultrasound", " 0.012")] == ["c012"]


def test_a_batch_without_facts_or_of_other_facts_is_read_too(tmp_path):
    leave(tmp_path, 1)
    for text in ("[1]", "{}", '{"info": 3}', "torn"):
        (tmp_path / "batch.json").write_text(text)
        assert read_batch(tmp_path).passed_over == {}
    (tmp_path / "batch.json").unlink()
    assert len(read_batch(tmp_path).lines) == 1


def page(folder: str) -> None:
    from pathlib import Path

    from ui.batch_results import read_batch, show_results

    show_results(read_batch(Path(folder)), "job")


def test_the_page_counts_filters_and_turns_over(tmp_path):
    leave(tmp_path)
    app = AppTest.from_function(page, args=(str(tmp_path),)).run()
    assert app.markdown[0].value == "120 cases: 108 done, 12 invalid input, 36 with warnings"
    passed = app.caption[0].value.replace("\\", "")
    assert passed == "Passed over 7 files that are no inputs: 6 .gif, 1 without a suffix."
    tables = [each.proto.body for each in app.get("html")]
    assert "not-ultrasound" in tables[0] and "it is &lt;broken&gt;" in tables[1] and len(tables) == 2

    app.toggle[0].set_value(True).run()
    assert "c000" in app.get("html")[2].proto.body and "c050" not in app.get("html")[2].proto.body
    app.number_input[0].set_value(3).run()
    assert "c119" in app.get("html")[2].proto.body and "page 3 of 3" in app.get("html")[2].proto.body
    app.selectbox[0].set_value(FAILED).run()
    assert "12 of 120 cases" in app.get("html")[2].proto.body and not app.number_input
    app.text_input[0].set_value("no such thing").run()
    assert app.caption[-1].value == "No case is like that." and not app.exception


def long_table() -> None:
    from ui.table import table

    table([{"=name": "=1+1", "size": -1.5}] * 201, "long")


def test_what_a_long_table_gives_to_save_is_harmless():
    app = AppTest.from_function(long_table).run()
    frame = app.dataframe[0].value
    assert list(frame.columns) == ["'=name", "size"] and frame.iloc[200].tolist() == ["'=1+1", -1.5]
