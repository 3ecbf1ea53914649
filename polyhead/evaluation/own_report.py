"""Whether a report may take the place of what is there: of an earlier report, and of nothing else."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from polyhead.application import RESEARCH_USE


def report_files(page: Path) -> tuple[Path, Path, Path]:
    """The files of a report: the page, which ends in ``.html`` whatever else it ends in, its data and its table."""
    html = page if page.suffix.lower() in (".html", ".htm") else page.with_name(f"{page.name}.html")
    return html, html.with_suffix(".json"), html.with_suffix(".csv")


def refuse_foreign_report(page: Path) -> None:
    """A `ValueError` where a file of that name is there, or one of the same name with .json or .csv, and no report."""
    files = report_files(page)
    there = next((file for file in files if file.exists()), None)
    if there is not None and not _is_own(*files[:2]):
        raise ValueError(f"{there} is no report of polyhead's and would be replaced; name another folder")


def _is_own(html: Path, data: Path) -> bool:
    """Both files of a report say what it may be used for; a killed call may have written the page alone."""
    try:
        said = json.loads(data.read_bytes())
    except (OSError, ValueError):
        said = None
    if isinstance(said, dict) and "research_use" in said:
        return True
    return not data.exists() and html.is_file() and escape(RESEARCH_USE).encode() in html.read_bytes()
