"""The summary of a batch for people: one CSV table and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from polyhead.application import RESEARCH_USE
from polyhead.batch.folder import CSV, HTML
from polyhead.batch.outcome import FAILURES
from polyhead.batch.writer import safe_relative
from polyhead.files import write_whole

MAX_ROWS = 20_000
MAX_FAILURES = 1_000
MAX_COLUMNS = 24
MAX_THUMBNAILS = 300
MAX_THUMBNAIL_BYTES = 20_000_000

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
    "not_run": "not run",
}


def flatten(record: Mapping[str, Any] | None, prefix: str = "") -> dict[str, Any]:
    """The scalars of a record, keys joined by dots; lists are left to ``results.jsonl``."""
    flat: dict[str, Any] = {}
    for key, value in (record or {}).items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple):
            flat[f"{prefix}{key}"] = value
    return flat


def write_report(out: Path, rows: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> None:
    """Writes ``summary.csv`` and ``summary.html`` into `out` from the rows of ``results.jsonl`` and the run's facts."""
    flat = [flatten(row["record"]) for row in rows]
    extra = list(dict.fromkeys(key for record in flat for key in record))
    write_whole(out / CSV, _csv(rows, flat, extra))
    write_whole(out / HTML, _page(out, rows, flat, extra, run).encode("utf-8", "xmlcharrefreplace"))


def _csv(rows: Sequence[Mapping[str, Any]], flat: Sequence[Mapping[str, Any]], extra: Sequence[str]) -> bytes:
    # a record's field that bears the name of a column of ours is told apart by the prefix
    names = [f"record.{key}" if key in _COLUMNS else key for key in extra]
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    table.writerow([*_COLUMNS, *names])
    for row, record in zip(rows, flat, strict=True):
        table.writerow([*(row[column] for column in _COLUMNS), *(record.get(key) for key in extra)])
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _thumbnails(out: Path, rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], int]:
    """Data URIs by case id, up to the caps, and how many cases name a thumbnail."""
    found: dict[str, str] = {}
    named = total = 0
    for row in rows:
        name = (row["record"] or {}).get("thumbnail")
        if not isinstance(name, str) or not safe_relative(name):
            continue
        named += 1
        path = out / row["id"] / name
        kind = _IMAGE_TYPES.get(path.suffix.lower())
        if kind is None or len(found) >= MAX_THUMBNAILS or not path.is_file():
            continue
        size = path.stat().st_size
        if total + size <= MAX_THUMBNAIL_BYTES:
            total += size
            found[row["id"]] = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return found, named


def _page(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    flat: Sequence[Mapping[str, Any]],
    extra: Sequence[str],
    run: Mapping[str, Any],
) -> str:
    shown = rows[:MAX_ROWS]
    fields = [key for key in extra if key != "thumbnail"]
    columns = fields[:MAX_COLUMNS]
    thumbnails, named = _thumbnails(out, shown)
    table = {
        "columns": ["id", "status", "seconds", *columns],
        "words": _STATUS_WORDS,
        "rows": [
            [row["id"], row["status"], row["seconds"], *(record.get(key) for key in columns)]
            for row, record in zip(shown, flat, strict=False)
        ],
        "thumbnails": thumbnails,
    }
    notes = []
    if len(shown) < len(rows):
        notes.append(f"The table holds the first {len(shown):,} of {len(rows):,} cases; {CSV} holds all.")
    if len(columns) < len(fields):
        notes.append(f"The table holds {len(columns)} of {len(fields)} fields of the records; {CSV} holds all.")
    if len(thumbnails) < named:
        notes.append(f"The table holds {len(thumbnails):,} of {named:,} thumbnails, to keep this page small.")
    if run["missing_shards"]:
        missing = ", ".join(str(shard) for shard in run["missing_shards"])
        notes.append(f"These shards have not ended yet, and their cases are not in this page: {missing}.")
    data = json.dumps(table, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    template = resources.files("polyhead.batch").joinpath("report.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=f"{len(rows):,} cases",
        research_use=html.escape(RESEARCH_USE),
        counts=_counts(run["counts"]),
        failures=_failures([row for row in rows if row["status"] in FAILURES]),
        notes="".join(f"<p class=note>{html.escape(note)}</p>" for note in notes),
        provenance=_provenance(run),
        data=data,
    )


def _counts(counts: Mapping[str, int]) -> str:
    cells = (
        f'<li class="{html.escape(status)}"><b>{count:,}</b> {html.escape(_STATUS_WORDS.get(status, status))}</li>'
        for status, count in counts.items()
    )
    return f"<ul class=counts>{''.join(cells)}</ul>"


def _failures(failures: Sequence[Mapping[str, Any]]) -> str:
    if not failures:
        return "<p>No case failed.</p>"
    lines = []
    for row in failures[:MAX_FAILURES]:
        status = _STATUS_WORDS[row["status"]]
        cells = (row["id"], status, row["reason"] or "", row["remedy"] or "")
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    rest = len(failures) - MAX_FAILURES
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
