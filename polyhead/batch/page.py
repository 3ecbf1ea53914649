"""The page of a batch: what became of it, what failed, what was odd, and a table of all cases, a column a task."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from polyhead.application import RESEARCH_USE
from polyhead.batch.columns import ANSWER, THUMBNAIL, Columns, shown, task_entries, task_words
from polyhead.batch.folder import CSV, FAILED, LOGS
from polyhead.batch.outcome import FAILURES
from polyhead.batch.warned import OTHERS, WarningCounts, kind_of, warnings_of
from polyhead.batch.writer import RECEIPT, safe_relative
from polyhead.runs.unfinished import UNFINISHED

ROWS_A_PAGE = 200
MAX_EMBEDDED = 100
"""Pictures that the page holds itself; those of further cases it shows from their folders."""
MAX_EMBEDDED_BYTES = 4_000_000
MAX_LINKS = 12
NAMES_TOLD = 200

STATUS_WORDS = {
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
_OPEN_REST = '</tbody></table></div><noscript id="rest">'
_IMAGE_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


@dataclass(frozen=True)
class CaseFiles:
    """Where the answer of a case lies; None where there is none. `names` is empty where nobody looked."""

    folder: Path | None = None
    names: tuple[str, ...] = ()


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    >>> counted(1, "case"), counted(2000, "case")
    ('1 case', '2,000 cases')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Page:
    """Writes the page piece by piece: `head`, a `row` for each case, `foot`.

    Args:
        run: the facts of ``batch.json``.
        total: how many cases there are, of which `most_rows` are shown.
    """

    def __init__(
        self, columns: Columns, warnings: WarningCounts, run: Mapping[str, Any], *, total: int, most_rows: int
    ):
        self.columns, self.warnings, self.run = columns, warnings, run
        self.total, self.most_rows = total, most_rows
        self.tasks, self.fields = columns.shown_tasks, columns.shown_fields
        self.pictures = THUMBNAIL in columns.fields
        self._kinds = {kind: place for place, kind in enumerate(warnings.kinds)}
        self._embedded = self._bytes = 0
        source = resources.files("polyhead.batch").joinpath("report.html").read_text(encoding="utf-8")
        self._head, self._foot = source.split("$rows")

    @property
    def headings(self) -> list[tuple[str, str]]:
        """Name and class of each column."""
        first = [("picture", "picture")] if self.pictures else []
        first += [("case", "name"), ("status", "status"), *([("warnings", "warned")] if self._kinds else [])]
        fields = [(name, "answer" if name == ANSWER else "field") for name in self.fields]
        if fields and fields[0][0] == ANSWER:
            first.append(fields.pop(0))
        return [*first, *((task, "task") for task in self.tasks), *fields, ("seconds", "field")]

    def head(self, failures: Sequence[Mapping[str, Any]], failed: int) -> str:
        """The page down to the table's head; `failures` are the first of all that `failed`."""
        run = self.run
        pages = range(1, -(-min(self.total, self.most_rows) // ROWS_A_PAGE) + 1)
        values = {
            "title": html.escape(counted(self.total, "case")),
            "about": html.escape(self._about()),
            "research_use": html.escape(RESEARCH_USE),
            "counts": _counts(run["counts"], self.warnings.cases),
            "notes": "".join(f"<p class=note>{html.escape(note)}</p>" for note in self._notes()),
            "warnings": _warnings(self.warnings),
            "failures": _failures(failures, failed),
            "passed_over": _passed_over(run),
            "not_asked": _not_asked(run),
            "head": self._headings(),
            "labels": "".join(
                f'.rows tbody td:nth-child({place})::before{{content:"{_css(name)}"}}'
                for place, (name, kind) in enumerate(self.headings, 1)
                if kind in ("task", "field")
            ),
            "pages": " ".join(f'<a href="#p{number}">{number}</a>' for number in pages) if len(pages) > 1 else "",
            "statuses": _options((str(status), STATUS_WORDS.get(status, str(status))) for status in run["counts"]),
            "kinds": _options((f"w{place}", kind) for kind, place in self._kinds.items()),
        }
        return Template(self._head).substitute(values)

    def row(self, number: int, row: Mapping[str, Any], flat: Mapping[str, Any], files: CaseFiles) -> str:
        """The line of the case with that number and its flat record; 200 make a page.

        The first page is the table that everybody sees. Further pages stand where a browser that runs scripts only
        keeps their text, which costs it next to nothing: the script makes rows of it as they are looked at.
        """
        warnings = warnings_of(row["record"])
        kinds = {self._kinds[kind] for each in warnings if (kind := self._known(each)) is not None}
        cells = [self._picture(row, files)] if self.pictures else []
        status = str(row["status"])
        reason = f"<small>{html.escape(str(row['reason']))}</small>" if status in FAILURES and row["reason"] else ""
        cells += [
            f"<th scope=row class=name>{_links(row, files)}</th>",
            f'<td class="status s-{html.escape(status)}">{html.escape(STATUS_WORDS.get(status, status))}{reason}</td>',
        ]
        if self._kinds:
            cells.append(f"<td class=warned>{'<br>'.join(map(html.escape, warnings))}</td>")
        fields = [_field(flat.get(name)) for name in self.fields]
        if self.fields and self.fields[0] == ANSWER:
            cells.append(f"<td class=answer>{html.escape(shown(flat.get(ANSWER)))}</td>")
            fields.pop(0)
        entries = task_entries(row["record"])
        cells += [_task(entries.get(task)) for task in self.tasks]
        cells += [*fields, _field(row["seconds"])]
        told = f' data-w="{" ".join(f"w{kind}" for kind in sorted(kinds))}"' if kinds else ""
        line = f'<tr data-s="{html.escape(status)}"{told}>{"".join(cells)}</tr>'
        # A row is one line, which the script relies on.
        line = line.replace("\r", "&#13;").replace("\n", "&#10;") + "\n"
        if number % ROWS_A_PAGE or not number:
            return line
        page = (
            f'<table class="rows page" id="p{number // ROWS_A_PAGE + 1}"><thead><tr>{self._headings()}</tr></thead>\n'
        )
        return ("</tbody></table>\n" if number > ROWS_A_PAGE else _OPEN_REST) + f"{page}<tbody>\n{line}"

    def foot(self, rows: int) -> str:
        """The rest of the page after so many rows."""
        end = "</tbody></table></noscript>" if rows > ROWS_A_PAGE else "</tbody></table></div>"
        return end + Template(self._foot).substitute(provenance=_provenance(self.run))

    def _headings(self) -> str:
        return "".join(_heading(name, kind) for name, kind in self.headings)

    def _known(self, warning: str) -> str | None:
        kind = kind_of(warning)
        return kind if kind in self._kinds else OTHERS if OTHERS in self._kinds else None

    def _about(self) -> str:
        info = self.run["info"]
        words = [info.get("application"), info.get("preset") or info.get("system"), info.get("run")]
        finished = max((part["finished"] for part in self.run["shards"]), default="")
        said = " · ".join(str(word) for word in words if word)
        return f"{said} · {finished}" if said and finished else said or finished

    def _notes(self) -> list[str]:
        run = self.run
        notes = [*run.get("notes", ()), *(note for part in run["shards"] for note in part["notes"])]
        if words := run["info"].get(UNFINISHED):
            notes.insert(0, f"Warning: {words}.")
        if self.total > self.most_rows:
            notes.append(f"The table holds the first {self.most_rows:,} of {self.total:,} cases; {CSV} holds all.")
        left = len(self.columns.tasks) - len(self.tasks) + len(self.columns.filled) - len(self.fields)
        if left > 0:
            notes.append(f"The table leaves out {counted(left, 'column')}; {CSV} holds all.")
        if run["missing_shards"]:
            missing = ", ".join(str(shard) for shard in run["missing_shards"])
            notes.append(f"These shards have not ended yet, and their cases are not in this page: {missing}.")
        return notes

    def _picture(self, row: Mapping[str, Any], files: CaseFiles) -> str:
        name = (row["record"] or {}).get(THUMBNAIL)
        if files.folder is None or not isinstance(name, str) or not safe_relative(name):
            return "<td class=picture></td>"
        kind = _IMAGE_TYPES.get(Path(name).suffix.lower())
        if kind is None or (files.names and "/" not in name and name not in files.names):
            return "<td class=picture></td>"
        where = address(row["id"], name)
        if self._embedded < MAX_EMBEDDED:
            try:
                data = (files.folder / name).read_bytes()
            except OSError:
                return "<td class=picture></td>"
            if self._bytes + len(data) <= MAX_EMBEDDED_BYTES:
                self._embedded += 1
                self._bytes += len(data)
                where = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        alt = html.escape(f"result of {row['id']}")
        return f'<td class=picture><img src="{where}" alt="{alt}" loading=lazy decoding=async></td>'


def address(*parts: str) -> str:
    """Path parts as a relative address: bytes that are not plain are percent-encoded, whatever the name."""
    return quote("/".join(parts).encode("utf-8", "surrogateescape"))


def _links(row: Mapping[str, Any], files: CaseFiles) -> str:
    name = html.escape(str(row["id"]))
    if files.folder is None:
        return name
    case = str(row["id"])
    linked = f'<a class=file href="{address(case)}/">{name}</a>'
    names = [each for each in files.names if each not in (RECEIPT, (row["record"] or {}).get(THUMBNAIL))]
    if not names:
        return linked
    links = [f'<a class=file href="{address(case, each)}">{html.escape(each)}</a>' for each in names[:MAX_LINKS]]
    if len(names) > MAX_LINKS:
        links.append(f'<a class=file href="{address(case)}/">all {len(names)}</a>')
    return f"{linked}<details><summary>{counted(len(names), 'file')}</summary>{' '.join(links)}</details>"


def _task(entry: Any) -> str:
    answer, details = task_words(entry)
    more = f"<small>{'<br>'.join(map(html.escape, details))}</small>" if details else ""
    return f"<td class=task>{html.escape(answer)}{more}</td>"


def _field(value: Any) -> str:
    text = html.escape(shown(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        exact = "" if text == str(value) else f' data-v="{value!r}"'
        return f"<td class=number{exact}>{text}</td>"
    return f"<td class=field>{text}</td>"


def _heading(name: str, kind: str) -> str:
    text = re.sub(r"([_./])", r"\1<wbr>", html.escape(name))
    return f'<th scope=col class="{kind}">{text}</th>'


def _css(text: str) -> str:
    """Text within a string of CSS: whatever is no letter or digit is escaped."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in text)


def _options(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f'<option value="{html.escape(value)}">{html.escape(words)}</option>' for value, words in pairs)


def _counts(counts: Mapping[str, int], warned: int) -> str:
    failed = sum(counts.get(status, 0) for status in FAILURES)
    cells = [(status, STATUS_WORDS.get(status, status), count) for status, count in counts.items()]
    lines = [
        f'<li class="{html.escape(status)}"><b>{count:,}</b> {html.escape(words)}</li>'
        for status, words, count in cells
    ]
    if warned:
        lines.append(f'<li class=warned><a href="#warnings"><b>{warned:,}</b> with warnings</a></li>')
    if failed:
        lines.append('<li><a href="#failures">see what failed</a></li>')
    lines.append('<li><a href="#cases">to the cases</a></li>')
    return f"<ul class=counts>{''.join(lines)}</ul>"


def _warnings(warnings: WarningCounts) -> str:
    if not warnings.cases:
        return "<h2 id=warnings>Warnings</h2><p>No case has a warning.</p>"
    lines = "".join(
        f'<li data-kind="w{place}"><b>{count:,}</b> {html.escape(kind)}</li>'
        for place, (kind, count) in enumerate(warnings.kinds.items())
    )
    said = (
        "1 case was answered with a warning"
        if warnings.cases == 1
        else (f"{warnings.cases:,} cases were answered with a warning")
    )
    return f"<h2 id=warnings>Warnings</h2><p>{said}: look at the answer twice.</p><ul class=chips>{lines}</ul>"


def _failures(failures: Sequence[Mapping[str, Any]], total: int) -> str:
    if not failures:
        return "<h2 id=failures>Failures</h2><p>No case failed.</p>"
    lines = []
    for row in failures:
        status, code = STATUS_WORDS[row["status"]], row["code"] or ""
        what = html.escape(status) + (f"<small>{html.escape(str(code))}</small>" if code else "")
        remedy = html.escape(str(row["remedy"] or ""))
        log = f"{LOGS}/{row['id']}.log"
        remedy = remedy.replace(html.escape(log), f'<a class=file href="{address(log)}">{html.escape(log)}</a>')
        reason = html.escape(str(row["reason"] or ""))
        lines.append(
            f"<tr><td>{html.escape(str(row['id']))}</td><td>{what}</td><td>{reason}</td><td>{remedy}</td></tr>"
        )
    rest = total - len(failures)
    more = f"<p class=note>{rest:,} more failures are in {FAILED} and {CSV}.</p>" if rest > 0 else ""
    head = "<tr><th>case</th><th>what</th><th>reason</th><th>what to do</th></tr>"
    return (
        f"<h2 id=failures>Failures: {counted(total, 'case')} without an answer</h2>"
        f'<div class=scroll tabindex=0 role=region aria-label="failures"><table class=failures>'
        f"<thead>{head}</thead><tbody>{''.join(lines)}</tbody></table></div>{more}"
    )


def passed_over(run: Mapping[str, Any]) -> dict[str, int]:
    """How many files of each suffix were seen beside the inputs and are none, by ``batch.json``."""
    found = run["info"].get("passed_over") or {}
    return {suffix: told["count"] for suffix, told in found.get("files", {}).items()}


def _passed_over(run: Mapping[str, Any]) -> str:
    counts = passed_over(run)
    folders = (run["info"].get("passed_over") or {}).get("folders", {})
    if not counts and not folders:
        return ""
    chips = [
        f"<li><b>{count:,}</b> {html.escape(suffix or 'without a suffix')}</li>" for suffix, count in counts.items()
    ]
    chips += [f"<li>{html.escape(f'{folder}: {reason}')}</li>" for folder, reason in folders.items()]
    total = f": {counted(sum(counts.values()), 'file')} that are no inputs" if counts else ""
    return f"<h2>Passed over{total}</h2><ul class=chips>{''.join(chips)}</ul>"


def _not_asked(run: Mapping[str, Any]) -> str:
    found = run.get("not_asked") or {}
    ids = found.get("ids", ())
    if not ids:
        return ""
    count = found.get("count", len(ids))
    links = [f'<li><a class=file href="{address(each)}/">{html.escape(each)}</a></li>' for each in ids[:NAMES_TOLD]]
    links += [f"<li>and {count - NAMES_TOLD:,} more</li>"] if count > NAMES_TOLD else []
    said = "of an input that was" if count == 1 else "of inputs that were"
    return (
        f"<h2>{counted(count, 'earlier answer')} {said} not asked for now</h2>"
        f"<details><summary>which</summary><ul class=chips>{''.join(links)}</ul></details>"
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
    info = {name: value for name, value in run["info"].items() if name != "passed_over"}
    facts |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in info.items()}
    items = (f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>" for name, value in facts.items())
    return f"<dl>{''.join(items)}</dl>"
