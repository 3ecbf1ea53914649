"""The summary of a batch for people: one CSV table and one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyhead.batch.columns import WARNINGS, Columns, flatten
from polyhead.batch.folder import CSV, HTML
from polyhead.batch.outcome import FAILURES
from polyhead.batch.page import CaseFiles, Page
from polyhead.batch.parts import Rows
from polyhead.batch.warned import WarningCounts, warnings_of
from polyhead.system.files import replacing
from polyhead.system.spreadsheet import TableWriter

MAX_ROWS = 20_000
MAX_FAILURES = 1_000
ROWS_WITH_FILES = 2_000
"""Rows that link to each file of their case; the others link to its folder."""

_COLUMNS = ("id", "input", "status", WARNINGS, "code", "reason", "remedy", "seconds")


def write_report(out: Path, rows: Rows | Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> WarningCounts:
    """Writes ``summary.csv`` and ``summary.html`` into `out` from the rows of ``results.jsonl`` and the run's facts.

    The rows are gone through twice, and none is held but what the page's caps allow. Cells of the CSV are made
    harmless to spreadsheets: `polyhead.system.spreadsheet.genuine` gives back what a record says.

    Returns:
        how many cases have warnings, and of which kinds.
    """
    survey = _survey(rows)
    page = Page(survey.columns, survey.warnings, run, total=len(rows), most_rows=MAX_ROWS)
    with ExitStack() as files:
        csv_path, html_path = (files.enter_context(replacing(out / name)) for name in (CSV, HTML))
        csv_text = files.enter_context(csv_path.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
        html_text = files.enter_context(html_path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline=""))
        table = TableWriter(csv_text, lineterminator="\r\n")
        # a record's field that bears the name of a column of ours is told apart by the prefix
        names = [f"record.{key}" if key in _COLUMNS else key for key in survey.columns.fields]
        table.writerow([*_COLUMNS, *names])
        html_text.write(page.head(survey.failures, survey.failed))
        for number, row in enumerate(rows):
            own = {**row, WARNINGS: "; ".join(warnings_of(row["record"]))}
            record = flatten(row["record"])
            cells = [own[column] for column in _COLUMNS]
            table.writerow([*cells, *(record.get(key) for key in survey.columns.fields)])
            if number < MAX_ROWS:
                html_text.write(page.row(number, row, record, _files_of(out, row, names=number < ROWS_WITH_FILES)))
        html_text.write(page.foot(min(len(rows), MAX_ROWS)))
    return survey.warnings


@dataclass
class _Survey:
    """What a first pass over the rows finds: columns, warnings, and failures to show, and how many."""

    columns: Columns = field(default_factory=Columns)
    warnings: WarningCounts = field(default_factory=WarningCounts)
    failures: list[Mapping[str, Any]] = field(default_factory=list)
    failed: int = 0


def _survey(rows: Iterable[Mapping[str, Any]]) -> _Survey:
    found = _Survey()
    for row in rows:
        found.columns.take(row["record"])
        found.warnings.take(row["record"])
        if row["status"] in FAILURES:
            found.failed += 1
            if len(found.failures) < MAX_FAILURES:
                found.failures.append(row)
    return found


def _files_of(out: Path, row: Mapping[str, Any], *, names: bool) -> CaseFiles:
    """What lies in the folder of a row's case; an answer that is not there has none."""
    if row["record"] is None:
        return CaseFiles()
    folder = out / row["id"]
    if not names:
        return CaseFiles(folder)
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except OSError:
        return CaseFiles()
    return CaseFiles(folder, tuple(found))
