"""The page's second part: a folder is run over by the command line, as a job that goes on without the page."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from apps.ultrasound import page_input
from apps.ultrasound.page_images import check_inputs
from apps.ultrasound.page_input import Input
from apps.ultrasound.page_results import Model
from ui import upload
from ui.download import folder_entries, too_large, zip_button
from ui.job_panel import job_panel
from ui.jobs import Job, JobStatus, start_job
from ui.runs import demo_folder, runs_folder
from ui.table import table

CHECKED = 30
"""How many files of a folder are checked before the start; the job checks every one."""

PREVIEW_BYTES = 8 * 2**20


def jobs_folder() -> Path:
    """The registry of jobs, beside the runs."""
    return runs_folder() / "jobs"


def results_folder() -> Path:
    """Where jobs write their results, beside the runs."""
    return runs_folder() / "predictions"


def polyhead(*arguments: str) -> list[str]:
    """A `polyhead` command that needs no search path."""
    return [sys.executable, "-m", "apps.cli", *arguments]


def predict_command(model: Model, source: Path, out: Path, tasks: Sequence[str]) -> list[str]:
    """The batch command for a folder; all tasks of the model need no naming."""
    named = [] if set(tasks) == set(model.tasks) else [part for task in tasks for part in ("--task", task)]
    return polyhead("ultrasound", "predict", str(model.path), str(source), "-o", str(out), "--log-json", *named)


def start_demo() -> Job:
    """Starts the demonstration as a job."""
    out = demo_folder()
    return start_job(jobs_folder(), polyhead("demo", "ultrasound", "-o", str(out)), "Demonstration run", out)


def folder_part(model: Model | None, tasks: Sequence[str]) -> None:
    """Choice of a folder, its check, the start, and the jobs with their results."""
    st.subheader("Run over a folder")
    st.write(
        "Every image and every frame below the folder is analysed by a job of its own. "
        "It goes on when you close this page; come back to see how far it is."
    )
    text = st.text_input("Folder, file or list of paths on the server", placeholder="/data/study-12", key="batch-path")
    if text:
        _start(model, tasks, text)
    st.subheader("Jobs")
    job_panel(jobs_folder(), result=job_result)


def _start(model: Model | None, tasks: Sequence[str], text: str) -> None:
    from domains.medical.ultrasound.sources import cases_from

    try:
        source = upload.server_path(text)
        with st.spinner("Looking for images ..."):
            cases = cases_from(source)
    except ValueError as error:
        st.error(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return
    paths = list(dict.fromkeys(case.path for case in cases))
    checks = check_inputs([Input(path.name, path) for path in paths[:CHECKED]])
    first = f"The first {CHECKED} of them: " if len(paths) > CHECKED else ""
    st.info(f"{len(cases)} pictures in {len(paths)} files. {first}{page_input.verdict(checks)}")
    with st.expander("Input check"):
        table([entry.row() for entry in checks], "What was found in the files")
    if model is None:
        st.info("Choose a model in the sidebar first.")
        return
    if not tasks:
        st.info("Choose at least one task in the sidebar.")
        return
    if st.button(f"Start the job on {len(cases)} pictures", type="primary", key="start-job"):
        out = results_folder() / output_name(model, source, tasks)
        title = f"{source.name}: {len(cases)} pictures, {len(tasks)} tasks"
        start_job(jobs_folder(), predict_command(model, source, out, tasks), title, out)
        st.rerun()


def output_name(model: Model, source: Path, tasks: Sequence[str]) -> str:
    """A folder name: the same source, weights and tasks go on in the same folder, any other choice gets its own."""
    choice = "\n".join([str(source.resolve()), model.weights_hash, *sorted(tasks)])
    return f"{upload.safe_name(source.name)}-{hashlib.sha256(choice.encode()).hexdigest()[:12]}"


def job_result(job: Job, status: JobStatus) -> None:
    """What a job left: counts, every failure with its reason, the report, and everything as a zip."""
    out = job.result
    if out is None or out.parent != results_folder():
        return
    if status.state in ("cancelled", "failed", "lost"):
        st.caption("Starting the same job again goes on where this one stopped.")
    results = out / "results.jsonl"
    if not results.is_file():
        return
    state = results.stat()
    counts, failures, large = _summary(str(out), state.st_mtime_ns, state.st_size)
    st.write(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items())))
    cases = "1 case" if len(failures) == 1 else f"{len(failures)} cases"
    table(failures, f"{cases} without an answer, each with its reason")
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


@st.cache_data(max_entries=50, show_spinner="Reading the results ...")
def _summary(out: str, modified: int, size: int) -> tuple[dict[str, int], list[dict[str, str]], bool]:
    """Counts by status, the cases without an answer, and whether the results are too large to send."""
    rows = read_results(Path(out) / "results.jsonl")
    counts = Counter(str(row.get("status")) for row in rows)
    failures = [failure_row(row) for row in rows if row.get("status") not in ("ok", "skipped")]
    return dict(counts), failures, too_large(Path(out))


def _preview(report: Path) -> None:
    content = report.read_bytes()
    if len(content) > PREVIEW_BYTES:
        st.info("The report is too large to show here; download it instead.")
        return
    # A data address has an origin of its own: scripts of the report cannot reach this page.
    st.iframe("data:text/html;charset=utf-8;base64," + base64.b64encode(content).decode(), height=700)


def read_results(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``results.jsonl``; a line that a running job has not finished is left for the next reading."""
    rows = []
    for line in path.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in rows if isinstance(row, dict)]


def failure_row(row: dict[str, Any]) -> dict[str, str]:
    """A case without an answer as a row of text."""
    return {
        "Case": str(row.get("id", "")),
        "What happened": str(row.get("status", "")).replace("_", " "),
        "Reason": str(row.get("reason") or ""),
        "What to do": str(row.get("remedy") or ""),
    }
