"""The report of a batch in a real browser: pages, filters, order, links, and no script of an input."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhead.batch.report import write_report

EVIL = "</noscript><img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """450 cases: every tenth failed, every ninth has a warning, one a hostile name; answers fall."""
    out = tmp_path_factory.mktemp("report")
    rows = []
    for number in range(450):
        name = {7: "100% #1 & 'ü'", 301: EVIL}.get(number, f"case {number}")
        failed = number % 10 == 3
        row = {"id": name, "input": name, "code": "torn" if failed else None, "reason": "torn" if failed else None}
        row |= {"status": "failed" if failed else "ok", "remedy": None, "seconds": 0.1 * number}
        warnings = ["not-ultrasound"] if number % 9 == 0 else []
        answer = {"answer": f"benign, {(999 - number) / 1000}"}
        record = {"value": 1000.0 - 10 * number, "warnings": warnings, "tasks": {"breast": answer}}
        rows.append(row | {"record": None if failed else record})
    (out / rows[7]["id"]).mkdir()
    (out / rows[7]["id"] / "mask.txt").write_text("the file of the case")
    counts = {"ok": 405, "failed": 45}
    facts = {"software": {"name": "polyhead", "version": "1"}, "model_hash": "m", "parameters": {}, "inputs": 450}
    write_report(out, rows, facts | {"counts": counts, "missing_shards": [], "shards": [], "info": {}})
    return out / "summary.html"


def column(screen, name: str) -> list[str]:
    place = screen.locator("#p1 thead th").all_inner_texts().index(name)
    return screen.evaluate(
        "place => [...document.querySelectorAll('#p1 tbody tr')].map(r => r.cells[place].innerText)", place
    )


def where(screen) -> str:
    return screen.inner_text("#where")


def test_pages_filters_and_order(screen, report):
    screen.goto(report.as_uri())
    assert where(screen) == "450 of 450 cases, page 1 of 3" and len(column(screen, "case")) == 200
    screen.click("#next")
    assert where(screen).endswith("page 2 of 3") and EVIL in column(screen, "case")
    assert screen.title() == "450 cases"
    screen.get_by_role("button", name="value").click()
    assert where(screen).endswith("page 1 of 3")
    values = [value for value in column(screen, "value") if value]
    assert values[0] == "-3,490" and values == sorted(values, key=lambda text: float(text.replace(",", "")))
    screen.get_by_role("button", name="value").click()
    assert column(screen, "value")[:2] == ["1,000", "990"]

    screen.select_option("#status", "!")
    assert where(screen) == "45 of 450 cases" and set(column(screen, "status")) == {"failed\ntorn"}
    screen.select_option("#status", "")
    screen.locator(".chips li").filter(has_text="not-ultrasound").click()
    kept = [n for n in range(0, 450, 9) if n % 10 != 3]
    assert where(screen) == f"{len(kept)} of 450 cases" and set(column(screen, "warnings")) == {"not-ultrasound"}
    screen.select_option("#warned", "")
    for text, number in (("benign, 0.98", 9), ("</NOSCRIPT>", 1), ("'ü'", 1), ("& '", 1), ("onerror=", 1), ("<tr", 0)):
        screen.fill("#filter", text)
        assert where(screen).startswith(f"{number} of 450"), text
    assert screen.title() == "450 cases"


def test_links_lead_to_the_files_of_a_case(screen, report):
    screen.goto(report.as_uri())
    screen.fill("#filter", "100%")
    screen.locator("#p1 summary").click()
    screen.get_by_role("link", name="mask.txt").click()
    assert screen.inner_text("body") == "the file of the case"


def test_without_scripts_every_case_can_be_read(browser, report):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 700, "height": 900})
    try:
        page = context.new_page()
        page.goto(report.as_uri())
        assert page.locator("#p1 tbody tr").count() == 200 and page.locator("#p3").is_hidden()
        page.get_by_role("link", name="3", exact=True).click()
        assert page.locator("#p3 tbody tr").count() == 50 and page.locator("#p3 tbody tr").last.is_visible()
        assert page.locator("#p2 tbody").get_by_text(EVIL).count() == 1 and page.locator("#filter").is_hidden()
    finally:
        context.close()
