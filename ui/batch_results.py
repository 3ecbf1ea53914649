"""What a batch left behind, on a page: counts, warnings, what was passed over, and a table with a column a task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from polyhead.batch.columns import Columns, flatten, shown, task_entries, task_words
from polyhead.batch.page import STATUS_WORDS, counted, passed_over
from polyhead.batch.warned import WarningCounts, kind_of, warnings_of
from polyhead.system.folders import BATCH_FILE
from ui.job_panel import as_it_stands
from ui.table import paged_table, table

MOST_FIELDS = 8
FAILED, WARNED = "those that failed", "those with warnings"


@dataclass
class Line:
    """A case as the page shows it, and by what it is found."""

    cells: dict[str, str]
    failed: bool
    kinds: frozenset[str]

    def holds(self, text: str) -> bool:
        return any(text in cell.lower() for cell in self.cells.values())


@dataclass
class BatchResults:
    """A ``results.jsonl`` with what its folder says of the whole."""

    counts: Counter[str] = field(default_factory=Counter)
    warnings: WarningCounts = field(default_factory=WarningCounts)
    passed_over: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def found(self, choice: str, text: str) -> list[dict[str, str]]:
        """The cases of a choice (`FAILED`, `WARNED`, a kind of warning, or empty for all) that hold a text."""
        wanted = text.strip().lower()
        return [
            line.cells
            for line in self.lines
            if (
                not choice
                or (line.failed if choice == FAILED else choice in line.kinds or (choice == WARNED and line.kinds))
            )
            and line.holds(wanted)
        ]


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ``results.jsonl``; a line that a running job has not finished is left for the next reading."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def read_batch(out: Path) -> BatchResults:
    """Reads the results of a batch, twice: first for the columns."""
    found, columns = BatchResults(), Columns()
    results = out / "results.jsonl"
    for row in read_results(results):
        columns.take(row.get("record"))
        found.warnings.take(row.get("record"))
        found.counts[str(row.get("status"))] += 1
    for row in read_results(results):
        failed = row.get("status") not in ("ok", "skipped", "passed_over")
        if failed:
            found.failures.append(failure_row(row))
        kinds = frozenset(kind_of(each) for each in warnings_of(row.get("record")))
        found.lines.append(Line(case_row(row, columns, warned=bool(found.warnings.cases)), failed, kinds))
    try:
        found.passed_over = passed_over(json.loads((out / BATCH_FILE).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found.passed_over = {}
    return found


def failure_row(row: Mapping[str, Any]) -> dict[str, str]:
    """A case without an answer as a row of text."""
    return {
        "Case": str(row.get("id", "")),
        "What happened": str(row.get("status", "")).replace("_", " "),
        "Reason": str(row.get("reason") or ""),
        "What to do": str(row.get("remedy") or ""),
    }


def case_row(row: Mapping[str, Any], columns: Columns, *, warned: bool) -> dict[str, str]:
    """A case as a row of text with a column a task; its reason stands where its answer would."""
    record = row.get("record")
    status = STATUS_WORDS.get(str(row.get("status")), str(row.get("status")))
    cells = {"Case": str(row.get("id", "")), "Status": f"{status}: {row['reason']}" if row.get("reason") else status}
    if warned:
        cells["Warnings"] = "; ".join(warnings_of(record))
    flat, entries = flatten(record), task_entries(record)
    for task in columns.shown_tasks:
        answer, details = task_words(entries.get(task))
        cells[task.replace("_", " ")] = f"{answer} ({'; '.join(details)})" if details else answer
    fields = [name for name in columns.shown_fields if name not in ("height", "width")][:MOST_FIELDS]
    return cells | {name.replace("_", " "): shown(flat.get(name)) for name in fields}


@st.cache_resource(max_entries=8, show_spinner="Reading the results ...")
def batch_results(out: str, modified: int, size: int) -> BatchResults:
    """`read_batch`, kept until ``results.jsonl`` changes; nobody changes what it gives."""
    return read_batch(Path(out))


def show_results(found: BatchResults, key: str) -> None:
    """Counts, warnings by kind, files passed over, failures, and the table of cases, a page at a time."""
    order = sorted(found.counts, key=[*STATUS_WORDS, *found.counts].index)
    words = [f"{found.counts[name]:,} {STATUS_WORDS.get(name, name)}" for name in order]
    words += [f"{found.warnings.cases:,} with warnings"] if found.warnings.cases else []
    st.write(f"{counted(len(found.lines), 'case')}: {', '.join(words)}")
    if found.passed_over:
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in found.passed_over.items())
        files = counted(sum(found.passed_over.values()), "file")
        st.caption(as_it_stands(f"Passed over {files} that are no inputs: {kinds}."))
    warnings = [{"Warning": kind, "Cases": count} for kind, count in found.warnings.kinds.items()]
    table(warnings[:50], "Warnings: look twice at the answers to these cases")
    failures = f"{counted(len(found.failures), 'case')} without an answer, each with its reason"
    paged_table(found.failures, failures, f"failures-{key}", size=20)
    if found.lines and st.toggle("Show the cases", key=f"cases-{key}"):
        _cases(found, key)


def _cases(found: BatchResults, key: str) -> None:
    left, right = st.columns([2, 3])
    choices = [
        "",
        *([FAILED] if found.failures else []),
        *([WARNED, *found.warnings.kinds] if found.warnings.cases else []),
    ]
    choice = left.selectbox("Cases", choices, format_func=lambda name: name or "all", key=f"choice-{key}")
    text = right.text_input("Find", placeholder="part of a name or an answer", key=f"find-{key}")
    rows = found.found(choice or "", text or "")
    if rows:
        paged_table(rows, f"{len(rows):,} of {counted(len(found.lines), 'case')}", f"table-{key}", size=50)
    else:
        st.caption("No case is like that.")
