"""The tables for people: CSV by value, and a page that holds everything and runs nothing of the input."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from polyhead.application import RESEARCH_USE
from polyhead.batch import report
from polyhead.batch.report import flatten, write_report

EVIL = "<img src=x onerror=alert(1)>"


def row(name: str, status: str = "ok", record: dict[str, Any] | None = None, **words: Any) -> dict[str, Any]:
    empty = {"code": None, "reason": None, "remedy": None, "seconds": 0.5}
    return {"id": name, "input": f"in/{name}.png", "status": status, **empty, "record": record, **words}


def run(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    counts = {status: sum(r["status"] == status for r in rows) for status in {r["status"] for r in rows}}
    facts = {"software": {"name": "polyhead", "version": "1"}, "model_hash": "abc", "parameters": {"tta": EVIL}}
    return facts | {"inputs": len(rows), "counts": counts, "missing_shards": [], "shards": [], "info": {}} | more


class Page(HTMLParser):
    """Tags with attributes, text of the page, and the embedded table."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        source = path.read_text(encoding="utf-8")
        self.feed(source)
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', source, re.DOTALL)
        assert found is not None
        self.data = json.loads(found[1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_flatten_joins_keys_and_leaves_lists_out():
    assert flatten({"a": 1, "b": {"c": 2.5, "d": {"e": "x"}}, "f": [1]}) == {"a": 1, "b.c": 2.5, "b.d.e": "x"}
    assert flatten(None) == {}
    assert flatten({"a": {"b": 1}, "a.b": 2, "a.b~2": 3}) == {"a.b": 1, "a.b~2": 2, "a.b~2~2": 3}


def test_csv_has_a_line_a_case_and_a_column_a_scalar(tmp_path):
    record = {"area": {"mm2": 3.5}, "status": "benign"}
    rows = [row("a,1", record=record), row("b\n2", "failed", code="x", reason='say "no"')]
    write_report(tmp_path, rows, run(rows))
    with (tmp_path / "summary.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["id"] == "a,1" and first["area.mm2"] == "3.5" and first["status"] == "ok"
    assert first["record.status"] == "benign"
    assert second["id"] == "b\n2" and second["reason"] == 'say "no"' and second["area.mm2"] == ""


def test_the_page_stands_alone_and_escapes_everything(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good/t.png").write_bytes(b"PNG")
    rows = [
        row("good", record={"thumbnail": "t.png", "class": "</script><script>alert(2)</script>"}),
        row(EVIL, "invalid_input", code="c", reason=f"bad {EVIL}", remedy="do & dare"),
        row("lone\udc80", "failed", reason="odd name"),
    ]
    write_report(tmp_path, rows, run(rows))
    page = Page(tmp_path / "summary.html")
    names = [tag for tag, _ in page.tags]
    assert "img" not in names and "link" not in names and names.count("script") == 2
    assert not any("src" in attributes or "href" in attributes for _, attributes in page.tags)
    text = "".join(page.text)
    assert EVIL in text and f"bad {EVIL}" in text and "do & dare" in text and RESEARCH_USE in text and "abc" in text
    assert page.data["rows"][1][0] == EVIL
    assert page.data["rows"][0] == ["good", "ok", 0.5, "</script><script>alert(2)</script>"]
    assert page.data["thumbnails"] == {"good": "data:image/png;base64,UE5H"}


def test_caps_are_kept_and_stated(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_ROWS", 5)
    monkeypatch.setattr(report, "MAX_FAILURES", 2)
    monkeypatch.setattr(report, "MAX_THUMBNAILS", 1)
    monkeypatch.setattr(report, "MAX_COLUMNS", 1)
    rows = [row(f"c{i}", "failed" if i % 2 else "ok", {"thumbnail": "t.png", "x": 1, "y": 2}) for i in range(8)]
    for entry in rows:
        (tmp_path / entry["id"]).mkdir()
        (tmp_path / entry["id"] / "t.png").write_bytes(b"PNG")
    write_report(tmp_path, rows, run(rows, missing_shards=[1]))
    page = Page(tmp_path / "summary.html")
    assert len(page.data["rows"]) == 5 and len(page.data["thumbnails"]) == 1 and page.data["columns"][3:] == ["x"]
    text = "".join(page.text)
    for words in ("first 5 of 8 cases", "1 of 2 fields", "1 of 5 thumbnails", "2 more failures", "not in this page: 1"):
        assert words in text


def test_a_thumbnail_outside_the_case_is_not_embedded(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"PNG")
    rows = [row("a", record={"thumbnail": "../secret.png"}), row("b", record={"thumbnail": "gone.png"})]
    write_report(tmp_path, rows, run(rows))
    assert Page(tmp_path / "summary.html").data["thumbnails"] == {}
