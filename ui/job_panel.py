"""Jobs on a page: progress that is read from disk again and again, the log, and a button that cancels."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import streamlit as st

from ui.jobs import STATES, Job, JobStatus, list_jobs

POLL_SECONDS = 1.0

MARKS = {
    "starting": ":material/hourglass_top:",
    "running": ":material/progress_activity:",
    "cancelling": ":material/hourglass_bottom:",
    "done": ":material/check_circle:",
    "partly": ":material/warning:",
    "no_input": ":material/error:",
    "cancelled": ":material/cancel:",
    "failed": ":material/error:",
    "lost": ":material/help:",
}


def duration(seconds: float) -> str:
    """A time span as people say it.

    >>> duration(3725)
    '1 h 2 min'
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def progress_text(status: JobStatus) -> str:
    """State, counts and times of a job in one line."""
    parts = [STATES[status.state]]
    if status.progress is not None:
        of = f" of {status.progress.total}" if status.progress.total else ""
        parts.append(f"{status.progress.done + status.progress.failed}{of} cases")
        if status.progress.failed:
            parts.append(f"{status.progress.failed} failed")
    parts.append(duration(status.seconds))
    if (left := status.seconds_left) is not None:
        parts.append(f"about {duration(left)} left")
    return ", ".join(parts)


def job_panel(folder: Path, result: Callable[[Job, JobStatus], None] | None = None, limit: int = 10) -> None:
    """Shows the jobs of a registry, the newest first, and keeps itself current while one of them runs.

    Args:
        folder: the registry of `ui.jobs`.
        result: shows the results of a job that has ended; called outside of the part that polls.
        limit: how many jobs to show.
    """
    jobs = list_jobs(folder)[:limit]
    if not jobs:
        st.caption("No jobs yet.")
        return
    for job in jobs:
        status = job.poll()
        with st.container(border=True):
            if status.live:
                _live_panel(job)
            else:
                _ended_panel(job, status)
                if result is not None:
                    result(job, status)


@st.fragment(run_every=POLL_SECONDS)
def _live_panel(job: Job) -> None:
    status = job.poll()
    if not status.live:
        st.rerun()
    head, side = st.columns([5, 1], vertical_alignment="center")
    with head:
        st.markdown(f"{MARKS[status.state]} **{as_it_stands(job.title)}**")
        st.progress(status.progress.fraction if status.progress else 0.0, text=progress_text(status))
    with side:
        if st.button("Cancel", key=f"cancel-{job.id}", disabled=status.state == "cancelling", width="stretch"):
            job.cancel()
            st.rerun(scope="fragment")
    _details(job)


def _ended_panel(job: Job, status: JobStatus) -> None:
    st.markdown(f"{MARKS[status.state]} **{as_it_stands(job.title)}**")
    st.write(progress_text(status))
    _details(job)


def _details(job: Job) -> None:
    with st.expander("Log and command"):
        began = datetime.fromtimestamp(job.started).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        st.caption(f"Started {began}")
        st.code(shlex.join(job.argv), language="shell", wrap_lines=True)
        st.code(job.log_tail() or "The log is empty.", language=None, wrap_lines=True)


def as_it_stands(text: str) -> str:
    """Text without the signs that Markdown would act on."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#:$~" else c for c in text)
