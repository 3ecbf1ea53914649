"""The table of scores in reports."""

import math

import pytest

from polyhead.evaluation.evaluate import Interval, MetricSpec, TaskScore
from polyhead.evaluation.report import arrow, number, score_table, span


def score(value: float, low: float, high: float, baseline: float, missing: int = 0) -> TaskScore:
    metric = MetricSpec("DSC", True)
    return TaskScore("a<b", metric, Interval(value, low, high), baseline, rows=12, missing=missing)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "0.123"), (-9.9994, "-9.999"), (12.34, "12.3"), (math.nan, "–")]
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


def test_names_stand_once_and_marks_follow_the_baseline():
    good, weak = score(0.8, 0.7, 0.9, 0.5), score(0.8, 0.4, 0.9, 0.5, missing=3)
    page = score_table([("a<b", good), ("a<b", weak)])
    assert page.count("a&lt;b") == 1 and "a<b" not in page
    assert "<td class='n good'>0.800<td class=n>0.700 … 0.900<td class=n>0.500<td class=n>12<td class=n>" in page
    assert page.count("'n weak'") == 1 and page.endswith("<td class=n>12<td class=n>3</table></div>")
    assert arrow(good.metric) == "↑" and arrow(MetricSpec("HD", False)) == "↓"
    assert span(score(0.5, math.nan, math.nan, 0.1)) == ""


def test_a_column_more_stands_behind_the_baseline():
    page = score_table([("x", score(0.8, 0.7, 0.9, 0.5))], "column", more=("all <rows>", lambda each: f"{each.rows}?"))
    assert "<th>column<th>" in page and "<th class=n>baseline<th class=n>all &lt;rows&gt;<th class=n>n" in page
    assert "<td class=n>0.500<td class=n>12?<td class=n>12" in page
