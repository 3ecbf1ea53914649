"""Cells that a spreadsheet would run, and the way back."""

from __future__ import annotations

import csv
import io
from itertools import product

import pytest

from polyhead.system.spreadsheet import TableWriter, genuine, harmless, table_text

FORMULAS = (
    '=HYPERLINK("http://x","click")',
    "=cmd|' /C calc'!A1",
    "+1-1",
    "-2+3",
    "@A1",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1+1",
    "＝1+1",
    "--",
    "-1,5",
    "+",
    "-1; =1",
)
NUMBERS = ("-1", "+1.5", "-.5e-3", "1e5", "-inf", "nan", "-1.5; 2", "-1; -2;3", "-", "")
PLAIN = ("a=1", "it's", "'quoted'", "10 mm", "x@y", "é", "")


@pytest.mark.parametrize("text", [text for text in FORMULAS if text != "+"])
def test_a_formula_gets_an_apostrophe(text):
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("value", [*NUMBERS, *PLAIN, -1.5, -2, None, True])
def test_numbers_and_plain_text_stay(value):
    assert harmless(value) == value and type(harmless(value)) is type(value)


def test_every_text_comes_back():
    signs = ("'", "=", "-", "@", "\t", "\r", " ", "a", "1", ";")
    texts = ["".join(letters) for length in range(1, 5) for letters in product(signs, repeat=length)]
    for text in (*texts, *FORMULAS, *NUMBERS, *PLAIN):
        assert genuine(harmless(text)) == text


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_written_table_reads_back(delimiter):
    rows = [list(FORMULAS), ["a,b", 'say "no"', "two\nlines", "a\rb", "a\tb", *NUMBERS[:9]]]
    stream = io.StringIO(newline="")
    TableWriter(stream, delimiter=delimiter).writerows(rows)
    stream.seek(0)
    assert "\r\n" not in stream.getvalue() and stream.getvalue().endswith("\n")
    assert [[genuine(cell) for cell in row] for row in csv.reader(stream, delimiter=delimiter)] == rows


def test_names_of_columns_are_made_harmless_too():
    assert table_text([{"=A": 1, "b": "@x"}]) == "'=A,b\n1,'@x\n"
    assert table_text([], ["task"]) == "task\n" and table_text([]) == ""
