"""A report takes the place of a report, also of one that a killed call left half; of nothing else."""

from __future__ import annotations

import pytest

from polyhead.application import RESEARCH_USE
from polyhead.evaluation.own_report import report_files
from polyhead.evaluation.report import html_page, write_report_files


def write(page):
    text = html_page("Scores", [f"<p>{RESEARCH_USE}</p>"])
    return write_report_files(page, page=text, data={"research_use": RESEARCH_USE}, table="task\n")


@pytest.mark.parametrize("name", ["report.html", "page.htm", "scores", "v1.2"])
def test_a_report_is_written_again(tmp_path, name):
    page = tmp_path / "new" / name
    written = write(page)
    assert tuple(written) == report_files(page) and write(page) == written
    for killed in (written[1:], written[2:]):
        for file in killed:
            file.unlink(missing_ok=True)
        assert write(page) == written


@pytest.mark.parametrize(
    "mine", [{"report.html": "mine"}, {"report.csv": "1"}, {"report.json": "[]"}, {"report.json": '{"mine": 1}'}]
)
def test_what_is_no_report_stays(tmp_path, mine):
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"report\.\w+ is no report of polyhead's and would be replaced; name another"):
        write(tmp_path / "report.html")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == mine
