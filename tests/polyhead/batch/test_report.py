"""The tables for people: CSV by value, and a page that holds everything and runs nothing of the input."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from polyhead.application import RESEARCH_USE
from polyhead.batch import page as pages
from polyhead.batch import report
from polyhead.batch.columns import flatten
from polyhead.batch.report import write_report
from polyhead.system.spreadsheet import genuine

EVIL = "<img src=x onerror=alert(1)>"


def row(name: str, status: str = "ok", record: dict[str, Any] | None = None, **words: Any) -> dict[str, Any]:
    empty = {"code": None, "reason": None, "remedy": None, "seconds": 0.5}
    return {"id": name, "input": f"in/{name}.png", "status": status, **empty, "record": record, **words}


def run(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    counts = {status: sum(r["status"] == status for r in rows) for status in {r["status"] for r in rows}}
    facts = {"software": {"name": "polyhead", "version": "1"}, "model_hash": "abc", "parameters": {"tta": EVIL}}
    return facts | {"inputs": len(rows), "counts": counts, "missing_shards": [], "shards": [], "info": {}} | more


def keep(out: Path, rows: list[dict[str, Any]], *names: str) -> None:
    """Lays files into the folders of cases."""
    for entry in rows:
        folder = out / entry["id"]
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_bytes(b"PNG")


class Page(HTMLParser):
    """Tags with attributes, text, and the cells of tables, also of those for browsers that run no scripts."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.cells: dict[str, list[list[str]]] = {}
        self.table: str | None = None
        self.in_cell = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append((tag, told))
        if tag == "table":
            self.table = told.get("id")
            self.cells.setdefault(self.table or "", [])
        elif tag == "tr" and self.table is not None:
            self.cells[self.table].append([])
        elif tag in ("td", "th") and self.table is not None:
            self.cells[self.table][-1].append("")
            self.in_cell = True

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.table and self.in_cell:
            self.cells[self.table][-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.table = None
        elif tag in ("td", "th"):
            self.in_cell = False

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def links(self) -> list[str]:
        return [told["href"] or "" for tag, told in self.tags if tag == "a" and told.get("class") == "file"]

    @property
    def images(self) -> list[str]:
        return [told["src"] or "" for tag, told in self.tags if tag == "img"]


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_flatten_joins_keys_and_lists():
    record = {"a": 1, "b": {"c": 2.5, "d": {"e": "x"}}, "f": [1, None, "y"], "g": [], "h": [[0.2, 0.5]]}
    flat = {"a": 1, "b.c": 2.5, "b.d.e": "x", "f": "1; ; y", "g": "", "h": "[0.2, 0.5]"}
    assert flatten(record) == flat
    assert flatten(None) == {}
    assert flatten({"a": {"b": 1}, "a.b": 2, "a.b~2": 3}) == {"a.b": 1, "a.b~2": 2, "a.b~2~2": 3}


def test_csv_has_a_line_a_case_and_a_column_a_field(tmp_path):
    record = {"area": {"mm2": 3.5}, "status": "benign", "spacing_mm": [0.2, 0.5], "warnings": ["a-b", "c d"]}
    rows = [row("a,1", record=record), row("b\n2", "failed", code="x", reason='say "no"')]
    write_report(tmp_path, rows, run(rows))
    first, second = table_of(tmp_path)
    assert list(first)[:4] == ["id", "input", "status", "warnings"]
    assert first["id"] == "a,1" and first["area.mm2"] == "3.5" and first["status"] == "ok"
    assert first["record.status"] == "benign" and first["spacing_mm"] == "0.2; 0.5" and first["warnings"] == "a-b; c d"
    assert second["id"] == "b\n2" and second["reason"] == 'say "no"' and second["area.mm2"] == ""
    assert second["warnings"] == "" and "record.warnings" not in first


def test_cells_that_a_spreadsheet_would_run_are_set_off_and_come_back(tmp_path):
    names = ('=HYPERLINK("http:..","click")', "+1-1", "@A1", "-2+3")
    record = {"=label": "=1+1", "shift": -1.5, "pair": [-1, 2], "text": "-3"}
    rows = [row(name, record=record) for name in names]
    write_report(tmp_path, rows, run(rows))
    for name, line in zip(names, table_of(tmp_path), strict=True):
        assert line["id"] == f"'{name}" and genuine(line["id"]) == name
        assert (line["'=label"], line["shift"], line["pair"], line["text"]) == ("'=1+1", "-1.5", "-1; 2", "-3")


def test_warnings_stand_in_their_column_and_are_counted_by_kind(tmp_path):
    rows = [
        row("a", record={"warnings": ["not-ultrasound", "constant-image"]}),
        row("b", record={"warnings": ["not-ultrasound"], "unanswered_tasks": ["liver", "lung"]}),
        row("c", record={"warnings": ["k = 3.5 lies outside of 0 to 2"]}),
        row("d", record={"warnings": ["k = 4 lies outside of 0 to 2", "k = 5 lies outside of 0 to 2"]}),
        row("e", record={"warnings": []}),
        row("f", "failed", reason="r"),
    ]
    counts = write_report(tmp_path, rows, run(rows))
    sentence = "k = … lies outside of … to …"
    kinds = {sentence: 2, "not-ultrasound": 2, "constant-image": 1, "unanswered: liver, lung": 1}
    assert counts.to_json() == {"cases": 4, "kinds": kinds}
    page = Page(tmp_path / "summary.html")
    assert "4 with warnings" in page.said and f"2 {sentence}" in page.said and "2 not-ultrasound" in page.said
    head, *lines = page.cells["p1"]
    place = head.index("warnings")
    assert [line[place] for line in lines][1:3] == [
        "not-ultrasoundunanswered: liver, lung",
        "k = 3.5 lies outside of 0 to 2",
    ]
    second = table_of(tmp_path)[1]
    assert second["warnings"] == "not-ultrasound; unanswered: liver, lung"
    assert second["unanswered_tasks"] == "liver; lung"
    marks = [told.get("data-w") for tag, told in page.tags if tag == "tr" and "data-s" in told]
    assert marks == ["w1 w2", "w1 w3", "w0", "w0", None, None]


@pytest.mark.parametrize(
    ("warnings", "said"), [("torn", "torn"), ({"edge": "left", "none": ""}, "edge: left"), (None, ""), ([None, 3], "3")]
)
def test_warnings_of_another_form_are_read_too(tmp_path, warnings, said):
    rows = [row("a", record={"x": 1, "warnings": warnings})]
    write_report(tmp_path, rows, run(rows))
    assert table_of(tmp_path)[0]["warnings"] == said


def test_a_task_has_a_column_with_its_answer_and_its_numbers(tmp_path):
    tasks = {
        "breast_3cls": {"answer": "malignant, 0.91", "class": 1, "confidence": 0.4},
        "nodule": {"answer": "1 structure", "area nodule [px2]": 129792.0, "area nodule [mm2]": 131.25},
    }
    rows = [
        row("a", record={"answer": "in short", "width": 640, "tasks": tasks}),
        row("b", record={"answer": "in short", "width": 320, "tasks": {"liver": {"label": "HCC", "probability": 0.5}}}),
    ]
    write_report(tmp_path, rows, run(rows))
    page = Page(tmp_path / "summary.html")
    head, first, second = page.cells["p1"]
    assert head == ["case", "status", "breast_3cls", "nodule", "liver", "width", "seconds"]
    answers = ["malignant, 0.91confidence: 0.4", "1 structurearea nodule: 131.2 mm2", ""]
    assert first == ["a", "done", *answers, "640", "0.5"]
    assert second == ["b", "done", "", "", "HCC, 0.5", "320", "0.5"]
    assert table_of(tmp_path)[0]["tasks.nodule.area nodule [px2]"] == "129792.0"


def test_the_page_stands_alone_and_escapes_everything(tmp_path):
    rows = [
        row("good", record={"thumbnail": "t.png", "class": "</script><script>alert(2)</script>", EVIL: 1}),
        row(EVIL, "invalid_input", code=EVIL, reason=f"bad {EVIL}", remedy="do & dare"),
        row("lone\udc80", "failed", reason="odd\nname"),
        row("tasks", record={"warnings": [EVIL, "a</noscript>b"], "tasks": {EVIL: {"answer": EVIL}}}),
    ]
    keep(tmp_path, rows[:1], "t.png", "a b#?.png", "receipt.json")
    more = {"passed_over": {"files": {EVIL: {"count": 2, "first": []}}, "folders": {EVIL: EVIL}}}
    write_report(tmp_path, rows, run(rows, info=more, not_asked={"count": 1, "ids": [EVIL]}))
    page = Page(tmp_path / "summary.html")
    names = [tag for tag, _ in page.tags]
    assert names.count("script") == 2 and names.count("img") == 1 and names.count("style") == 1 and "link" not in names
    assert not any(key.startswith("on") for _, told in page.tags for key in told)
    assert page.images == ["data:image/png;base64,UE5H"]
    assert {unquote(link) for link in page.links} == {"good/", "good/a b#?.png", f"{EVIL}/"}
    text = "".join(page.text)
    assert f"bad {EVIL}" in text and "do & dare" in text and RESEARCH_USE in text and "abc" in text
    assert "<" not in re.sub(r"</?[a-z]", "", page.source.partition("<main>")[2].partition("<script>")[0])


@pytest.mark.parametrize("name", ["a b", "ü/100%25 #1?", "=1+1", "javascript:x", "a'b&c", "odd\udc80"])
def test_links_lead_to_the_case_whatever_its_name(tmp_path, name):
    rows = [row(name, record={"x": 1})]
    keep(tmp_path, rows, "mask é.png")
    write_report(tmp_path, rows, run(rows))
    folder, file = Page(tmp_path / "summary.html").links
    assert re.fullmatch(r"[\w%./~-]+", folder) and (tmp_path / unquote(folder, errors="surrogateescape")).is_dir()
    assert (tmp_path / unquote(file, errors="surrogateescape")).read_bytes() == b"PNG"


def test_pages_hold_all_cases_and_further_pictures_lie_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROWS_A_PAGE", 3)
    monkeypatch.setattr(pages, "MAX_EMBEDDED", 2)
    rows = [row(f"c {i}", record={"thumbnail": "t.png", "text": "two\nlines"}) for i in range(8)]
    keep(tmp_path, rows, "t.png")
    write_report(tmp_path, rows, run(rows))
    page = Page(tmp_path / "summary.html")
    assert [line[1] for name in ("p1", "p2", "p3") for line in page.cells[name][1:]] == [f"c {i}" for i in range(8)]
    assert [len(page.cells[name]) for name in ("p1", "p2", "p3")] == [4, 4, 3]
    assert page.images == ["data:image/png;base64,UE5H"] * 2 + [f"c%20{i}/t.png" for i in range(2, 8)]
    assert page.source.count("\n<tr data-s=") == 8 and page.source.count("</tr>\n") >= 8
    assert page.source.count("<noscript") == page.source.count("</noscript>") == 1
    assert [told["href"] for tag, told in page.tags if tag == "a" and (told["href"] or "").startswith("#p")] == [
        "#p1",
        "#p2",
        "#p3",
    ]


def test_caps_are_kept_and_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_ROWS", 5)
    monkeypatch.setattr(report, "MAX_FAILURES", 2)
    monkeypatch.setattr("polyhead.batch.columns.MOST_FIELDS", 1)
    rows = [row(f"c{i}", "failed" if i % 2 else "ok", {"x": 1, "y": 2}) for i in range(8)]
    write_report(tmp_path, rows, run(rows, missing_shards=[1]))
    page = Page(tmp_path / "summary.html")
    assert len(page.cells["p1"]) == 6 and page.cells["p1"][0] == ["case", "status", "x", "seconds"]
    told = ("first 5 of 8 cases", "leaves out 1 column;", "2 more failures", "4 cases without", "not in this page: 1")
    assert all(words in page.said for words in told)


def test_what_was_passed_over_and_what_nobody_asked_for_is_told(tmp_path):
    rows = [row("a", record={"x": 1})]
    files = {".gif": {"count": 1200, "first": ["a.gif"]}, "": {"count": 1, "first": ["README"]}}
    info = {"passed_over": {"files": files, "folders": {"DCIM": "is hidden"}}, "application": "ultrasound"}
    write_report(tmp_path, rows, run(rows, info=info, not_asked={"count": 2, "ids": ["old/b", "old/c"]}))
    page = Page(tmp_path / "summary.html")
    assert "Passed over: 1,201 files that are no inputs 1,200 .gif 1 without a suffix DCIM: is hidden" in page.said
    assert "2 earlier answers of inputs that were not asked for now" in page.said
    assert page.links[-2:] == ["old/b/", "old/c/"]


@pytest.mark.parametrize(("number", "title"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_one_case_is_not_cases(tmp_path, number, title):
    rows = [row(f"a{i}", record={"x": 1}) for i in range(number)]
    write_report(tmp_path, rows, run(rows))
    page = Page(tmp_path / "summary.html")
    assert (
        f"<h1>{title}</h1>" in page.source and "No case failed." in page.said and "No case has a warning." in page.said
    )
    assert RESEARCH_USE in page.said


def test_a_thumbnail_outside_the_case_is_not_shown(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"PNG")
    rows = [row("a", record={"thumbnail": "../secret.png"}), row("b", record={"thumbnail": "gone.png"})]
    write_report(tmp_path, rows, run(rows))
    assert Page(tmp_path / "summary.html").images == []


def test_the_facts_of_a_batch_count_its_warnings(tmp_path):
    from polyhead.batch.folder import OutputFolder
    from polyhead.batch.merge import merge
    from polyhead.batch.outcome import Outcome

    folder = OutputFolder(tmp_path, (0, 1))
    (tmp_path / ".polyhead").mkdir()
    part = folder.begin_part(["m", "p"])
    part.append(0, Outcome("a", "a.png", "ok", record={"warnings": ["odd"]}))
    part.end({"shard": [0, 1], "counts": {"ok": 1}, "seconds": 1.0, "finished": "", "notes": []})
    facts = {"model_hash": "m", "parameters": {}, "inputs": 1, "info": {}, "not_asked": {"count": 0, "ids": []}}
    merge(folder, ["m", "p"], facts)
    told = [json.loads(path.read_bytes()) for path in tmp_path.glob("*.json")]
    assert [each["warnings"] for each in told] == [{"cases": 1, "kinds": {"odd": 1}}]
