"""The summary of a batch for people: one CSV table and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import resources
from itertools import count
from pathlib import Path
from string import Template
from typing import Any

from polyhead.application import RESEARCH_USE
from polyhead.batch.folder import CSV, HTML
from polyhead.batch.outcome import FAILURES
from polyhead.batch.parts import Rows
from polyhead.batch.writer import safe_relative
from polyhead.runs.unfinished import UNFINISHED
from polyhead.system.files import replacing

MAX_ROWS = 20_000
MAX_FAILURES = 1_000
MAX_COLUMNS = 24
MAX_THUMBNAILS = 300
MAX_THUMBNAIL_BYTES = 20_000_000

_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_COLUMNS = ("id", "input", "status", "code", "reason", "remedy", "seconds")
_IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
_STATUS_WORDS = {
    "ok": "done",
    "skipped": "done earlier",
    "failed": "failed",
    "invalid_input": "invalid input",
    "timeout": "timed out",
    "oom": "out of memory",
    "crashed": "crashed",
    "passed_over": "passed over",
    "not_run": "not run",
}


def flatten(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """The scalars of a record, keys joined by dots; lists are left to ``results.jsonl``.

    Where two scalars come to one key, as of ``{"a": {"b": 1}, "a.b": 2}``, the later is numbered: ``a.b~2``.
    """
    flat: dict[str, Any] = {}
    _flatten_into(flat, record or {}, "")
    return flat


def _flatten_into(flat: dict[str, Any], record: Mapping[str, Any], prefix: str) -> None:
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, dict):
            _flatten_into(flat, value, f"{name}.")
        elif not isinstance(value, list | tuple):
            if name in flat:
                name = next(other for number in count(2) if (other := f"{name}~{number}") not in flat)
            flat[name] = value


def write_report(out: Path, rows: Rows | Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> None:
    """Writes ``summary.csv`` and ``summary.html`` into `out` from the rows of ``results.jsonl`` and the run's facts.

    The rows are gone through twice, and none is held but what the page's caps allow.
    """
    survey = _survey(out, rows)
    head, foot = _page(len(rows), survey, run)
    with ExitStack() as files:
        csv_path, html_path = (files.enter_context(replacing(out / name)) for name in (CSV, HTML))
        csv_text = files.enter_context(csv_path.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
        page = files.enter_context(html_path.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline=""))
        table = csv.writer(csv_text)
        # a record's field that bears the name of a column of ours is told apart by the prefix
        names = [f"record.{key}" if key in _COLUMNS else key for key in survey.fields]
        table.writerow([*_COLUMNS, *names])
        page.write(head + '{"rows":[')
        for number, row in enumerate(rows):
            record = flatten(row["record"])
            table.writerow([*(row[column] for column in _COLUMNS), *(record.get(key) for key in survey.fields)])
            if number < MAX_ROWS:
                cells = [row["id"], row["status"], row["seconds"], *(record.get(key) for key in survey.columns)]
                page.write(("," if number else "") + _script_json(cells))
        page.write('],"thumbnails":{')
        for number, (name, path) in enumerate(survey.thumbnails.items()):
            page.write(("," if number else "") + f"{_script_json(name)}:{_script_json(_data_address(path))}")
        told = {"columns": ["id", "status", "seconds", *survey.columns], "words": _STATUS_WORDS}
        page.write("}," + _script_json(told)[1:] + foot)


@dataclass
class _Survey:
    """What a first pass over the rows finds: fields of the records, failures and thumbnails to show, and how many."""

    fields: dict[str, None] = field(default_factory=dict)
    failures: list[Mapping[str, Any]] = field(default_factory=list)
    failed: int = 0
    thumbnails: dict[str, Path] = field(default_factory=dict)
    named: int = 0
    bytes: int = 0

    @property
    def shown_fields(self) -> list[str]:
        return [key for key in self.fields if key != "thumbnail"]

    @property
    def columns(self) -> list[str]:
        return self.shown_fields[:MAX_COLUMNS]


def _survey(out: Path, rows: Iterable[Mapping[str, Any]]) -> _Survey:
    found = _Survey()
    for number, row in enumerate(rows):
        found.fields.update(dict.fromkeys(flatten(row["record"])))
        if row["status"] in FAILURES:
            found.failed += 1
            if len(found.failures) < MAX_FAILURES:
                found.failures.append(row)
        if number < MAX_ROWS:
            _take_thumbnail(found, out, row)
    return found


def _take_thumbnail(found: _Survey, out: Path, row: Mapping[str, Any]) -> None:
    """Takes the picture that a row names into the survey, as far as the caps allow."""
    name = (row["record"] or {}).get("thumbnail")
    if not isinstance(name, str) or not safe_relative(name):
        return
    found.named += 1
    path = out / row["id"] / name
    if path.suffix.lower() not in _IMAGE_TYPES or len(found.thumbnails) >= MAX_THUMBNAILS or not path.is_file():
        return
    size = path.stat().st_size
    if found.bytes + size <= MAX_THUMBNAIL_BYTES:
        found.bytes += size
        found.thumbnails[row["id"]] = path


def _data_address(path: Path) -> str:
    return f"data:{_IMAGE_TYPES[path.suffix.lower()]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    text = _ENCODER.encode(value)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _page(total: int, survey: _Survey, run: Mapping[str, Any]) -> tuple[str, str]:
    """The page before and after the data of its table."""
    notes = [*run.get("notes", ()), *(note for part in run["shards"] for note in part["notes"])]
    if words := run["info"].get(UNFINISHED):
        notes.insert(0, f"Warning: {words}.")
    columns, fields = survey.columns, survey.shown_fields
    if total > MAX_ROWS:
        notes.append(f"The table holds the first {MAX_ROWS:,} of {total:,} cases; {CSV} holds all.")
    if len(columns) < len(fields):
        notes.append(f"The table holds {len(columns)} of {len(fields)} fields of the records; {CSV} holds all.")
    if len(survey.thumbnails) < survey.named:
        shown = f"{len(survey.thumbnails):,} of {survey.named:,}"
        notes.append(f"The table holds {shown} thumbnails, to keep this page small.")
    if run["missing_shards"]:
        missing = ", ".join(str(shard) for shard in run["missing_shards"])
        notes.append(f"These shards have not ended yet, and their cases are not in this page: {missing}.")
    template = resources.files("polyhead.batch").joinpath("report.html").read_text(encoding="utf-8")
    head, foot = template.split("$data")
    values = {
        "title": f"{total:,} cases",
        "research_use": html.escape(RESEARCH_USE),
        "counts": _counts(run["counts"]),
        "failures": _failures(survey.failures, survey.failed),
        "notes": "".join(f"<p class=note>{html.escape(note)}</p>" for note in notes),
        "provenance": _provenance(run),
    }
    return Template(head).substitute(values), Template(foot).substitute(values)


def _counts(counts: Mapping[str, int]) -> str:
    cells = (
        f'<li class="{html.escape(status)}"><b>{count:,}</b> {html.escape(_STATUS_WORDS.get(status, status))}</li>'
        for status, count in counts.items()
    )
    return f"<ul class=counts>{''.join(cells)}</ul>"


def _failures(failures: Sequence[Mapping[str, Any]], total: int) -> str:
    if not failures:
        return "<p>No case failed.</p>"
    lines = []
    for row in failures:
        status = _STATUS_WORDS[row["status"]]
        cells = (row["id"], status, row["reason"] or "", row["remedy"] or "")
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    rest = total - len(failures)
    more = f"<p class=note>{rest:,} more failures are in failed.txt and {CSV}.</p>" if rest > 0 else ""
    head = "<tr><th>case</th><th>what</th><th>reason</th><th>what to do</th></tr>"
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="failures"><table class=failures>'
        f"<thead>{head}</thead><tbody>{''.join(lines)}</tbody></table></div>{more}"
    )


def _provenance(run: Mapping[str, Any]) -> str:
    facts = {
        "software": f"{run['software']['name']} {run['software']['version']}",
        "model": run["model_hash"],
        "parameters": json.dumps(run["parameters"], ensure_ascii=False),
        "inputs": f"{run['inputs']:,}",
        "finished": max((part["finished"] for part in run["shards"]), default=""),
        "seconds": f"{sum(part['seconds'] for part in run['shards']):.1f}",
    }
    facts |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in run["info"].items()}
    items = (f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>" for name, value in facts.items())
    return f"<dl>{''.join(items)}</dl>"
