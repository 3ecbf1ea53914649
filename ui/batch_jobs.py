"""The command line as a job of a page: where jobs and results lie, and what a batch job left behind."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from ui import upload
from ui.batch_results import batch_results, show_results
from ui.download import folder_entries, too_large, zip_button
from ui.jobs import Job, JobStatus
from ui.runs import runs_folder

PREVIEW_BYTES = 1_500_000
"""Larger reports are downloaded: in base64 they would pass 2 MiB, above which Chromium shows nothing of an address."""


def jobs_folder(application: str) -> Path:
    """The registry of an application's jobs, beside the runs."""
    return runs_folder() / "jobs" / application


def results_folder() -> Path:
    """Where jobs write their results, beside the runs."""
    return runs_folder() / "predictions"


def polyhead(*arguments: str) -> list[str]:
    """A `polyhead` command that needs no search path."""
    return [sys.executable, "-m", "apps.cli", *arguments]


def output_name(source: Path, identity: str, choice: Sequence[str]) -> str:
    """A folder name: the same source, weights and choice go on in the same folder, any other choice gets its own."""
    asked = "\n".join([str(source.resolve()), identity, *sorted(choice)])
    return f"{upload.safe_name(source.name)}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"


def job_result(job: Job, status: JobStatus) -> None:
    """What a job left: counts, warnings, failures and cases, the report, and everything as a zip."""
    out = job.result
    if out is None or out.parent != results_folder():
        return
    if status.state in ("cancelled", "failed", "lost"):
        st.caption("Starting the same job again goes on where this one stopped.")
    results = out / "results.jsonl"
    if not results.is_file():
        return
    state = results.stat()
    show_results(batch_results(str(out), state.st_mtime_ns, state.st_size), job.id)
    large = _too_large(str(out), state.st_mtime_ns)
    st.caption(f"Results: {out}")
    report = out / "summary.html"
    with st.container(horizontal=True):
        if report.is_file():
            st.download_button(
                "Download the report (HTML)",
                data=report.read_bytes,
                file_name="summary.html",
                mime="text/html",
                on_click="ignore",
                key=f"report-{job.id}",
            )
        if not large:
            zip_button("Download everything (zip)", f"{out.name}.zip", lambda: folder_entries(out), f"zip-{job.id}")
    if large:
        st.caption("The results are too large to send from here; copy the folder.")
    if report.is_file() and st.toggle("Show the report here", key=f"preview-{job.id}"):
        _preview(report)


@st.cache_data(max_entries=50, show_spinner=False)
def _too_large(out: str, modified: int) -> bool:
    return too_large(Path(out))


def _preview(report: Path) -> None:
    content = report.read_bytes()
    if len(content) > PREVIEW_BYTES:
        st.info("The report is too large to show here; download it instead.")
        return
    # A data address has an origin of its own: scripts of the report cannot reach this page.
    st.iframe("data:text/html;charset=utf-8;base64," + base64.b64encode(content).decode(), height=700)
