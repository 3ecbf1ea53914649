"""The page's part for files and genomes of any size: answered by a job of its own that outlives the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from apps.genomics.page_model import Model, task_title
from ui import upload
from ui.batch_jobs import job_result, jobs_folder, output_name, polyhead, results_folder
from ui.job_panel import job_panel
from ui.jobs import Job, start_job
from ui.run_choice import sentence
from ui.runs import demo_folder


def predict_command(
    model: Model, source: Path, out: Path, *, tasks: Sequence[str], options: Sequence[str] = ()
) -> list[str]:
    """The batch command for a source; all tasks of the model need no naming."""
    named = [] if set(tasks) == set(model.tasks) else [part for task in tasks for part in ("--task", task)]
    return polyhead(
        *("genomics", "predict", str(model.path), str(source), "-o", str(out), "--log-json"), *named, *options
    )


def start_demo() -> Job:
    """Starts the demonstration as a job."""
    out = demo_folder() / "genomics"
    return start_job(jobs_folder("genomics"), polyhead("demo", "genomics", "-o", str(out)), "Demonstration run", out)


def folder_part(model: Model | None) -> None:
    """Choice of a source, its options, the start, and the jobs with their results."""
    st.subheader("Run over files")
    st.write(
        "FASTA, FASTQ, GenBank, BED or GFF with a reference, CSV, TSV and parquet of any size are answered block by "
        "block by a job of its own. It goes on when you close this page; come back to see how far it is."
    )
    text = st.text_input("File, folder or list of paths on the server", placeholder="/data/genome.fa", key="batch-path")
    if text:
        _start(model, text)
    st.subheader("Jobs")
    job_panel(jobs_folder("genomics"), result=job_result)


def _start(model: Model | None, text: str) -> None:
    from domains.genomics.predicting.sources import cases_from

    tasks = list(model.tasks) if model else []
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        if model is not None:
            tasks = st.multiselect("Tasks", tasks, default=tasks, format_func=task_title, key="batch-tasks")
    named = right.text_input(
        "Reference on the server, for BED and GFF", placeholder="/data/genome.fa", key="batch-reference"
    )
    try:
        source = upload.server_path(text)
        reference = upload.server_path(named) if named else None
        with st.spinner("Looking through the files ..."):
            cases = list(cases_from(source, reference=reference, tasks=tasks or None))
    except ValueError as error:
        st.error(sentence(error))
        return
    count = "1 block" if len(cases) == 1 else f"{len(cases)} blocks"
    st.info(f"{count} of sequences to answer.")
    if model is None:
        st.info("Choose a model in the sidebar first.")
        return
    if not tasks:
        st.info("Choose at least one task.")
        return
    if st.button(f"Start the job on {count}", type="primary", key="start-job"):
        options = ["--reference", str(reference)] if reference else []
        out = results_folder() / output_name(source, model.weights_hash, [*tasks, *options])
        command = predict_command(model, source, out, tasks=tasks, options=options)
        start_job(jobs_folder("genomics"), command, f"{source.name}: {count}", out)
        st.rerun()
