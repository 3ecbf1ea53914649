"""Scores as a table, as JSON and as a page."""

import csv
import io
import json
import math

from rich.console import Console

from polyhead.application import RESEARCH_USE
from polyhead.evaluation.evaluate import Interval, MetricSpec, TaskScore
from polyhead.evaluation.report import Problem
from polyhead.evaluation.score_report import ScoreReport

ACCURACY = TaskScore("kind [a]", MetricSpec("accuracy", True), Interval(0.75, 0.5, 0.9), 0.25, rows=8, missing=1)
RECALL = TaskScore("kind [a]", MetricSpec("recall", True), Interval(0.625), rows=8)
ERROR = TaskScore("size", MetricSpec("error", False, "mm"), Interval(2.5, 2.0, 3.0), math.nan, rows=4)
REPORT = ScoreReport(
    "A <title>", (ACCURACY, RECALL, ERROR), (Problem("gone", "row 3", "no answer", "ask again"),), 200, 7, ("Mean.",)
)


def printed(**options):
    text = io.StringIO()
    REPORT.print(Console(file=text, width=120), **options)
    return text.getvalue()


def test_the_first_score_of_each_task_is_shown_and_all_of_them_when_asked():
    short, full = printed(), printed(full=True)
    assert "accuracy" in short and "2.500 mm" in short and "0.500 … 0.900" in short and "recall" not in short
    assert "recall" in full and full.index("accuracy") < full.index("recall") < full.index("2.500 mm")
    assert "kind [a]" in short and "problems: 1, the first: row 3: [gone] no answer; ask again" in short


def test_the_files_say_the_same(tmp_path):
    page, data, table = REPORT.write(tmp_path / "report.html")
    assert "A &lt;title&gt;" in page.read_text() and RESEARCH_USE in page.read_text() and "Mean." in page.read_text()
    said = json.loads(data.read_text())
    assert said == REPORT.to_json() and said["research_use"] == RESEARCH_USE
    assert said["intervals"] == {"resamples": 200, "seed": 7}
    assert [score["baseline"] for score in said["scores"]] == [0.25, None, None]
    assert said["problems"] == [{"code": "gone", "where": "row 3", "reason": "no answer", "remedy": "ask again"}]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "task": "kind [a]",
        "metric": "accuracy",
        "value": "0.750",
        "interval": "0.500 … 0.900",
        "baseline": "0.250",
        "rows": "8",
        "missing": "1",
    }
    assert (rows[1]["interval"], rows[2]["value"]) == ("", "2.500 mm")
