"""The page's second part: a folder is run over by the command line, as a job that goes on without the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from apps.ultrasound import page_input
from apps.ultrasound.page_images import check_inputs
from apps.ultrasound.page_input import Input
from apps.ultrasound.page_results import Model
from ui import upload
from ui.batch_jobs import job_result, jobs_folder, output_name, polyhead, results_folder
from ui.job_panel import job_panel
from ui.jobs import Job, start_job
from ui.run_choice import sentence
from ui.runs import demo_folder
from ui.table import table

CHECKED = 30
"""How many files of a folder are checked before the start; the job checks every one."""


def predict_command(model: Model, source: Path, out: Path, tasks: Sequence[str]) -> list[str]:
    """The batch command for a folder; all tasks of the model need no naming."""
    named = [] if set(tasks) == set(model.tasks) else [part for task in tasks for part in ("--task", task)]
    return polyhead("ultrasound", "predict", str(model.path), str(source), "-o", str(out), "--log-json", *named)


def start_demo() -> Job:
    """Starts the demonstration as a job."""
    out = demo_folder()
    return start_job(
        jobs_folder("ultrasound"), polyhead("demo", "ultrasound", "-o", str(out)), "Demonstration run", out
    )


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
    job_panel(jobs_folder("ultrasound"), result=job_result)


def _start(model: Model | None, tasks: Sequence[str], text: str) -> None:
    from domains.medical.ultrasound.sources import cases_from

    try:
        source = upload.server_path(text)
        with st.spinner("Looking for images ..."):
            cases = cases_from(source)
    except ValueError as error:
        st.error(sentence(error))
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
        out = results_folder() / output_name(source, model.weights_hash, tasks)
        title = f"{source.name}: {len(cases)} pictures, {len(tasks)} tasks"
        start_job(jobs_folder("ultrasound"), predict_command(model, source, out, tasks), title, out)
        st.rerun()
