"""The page's second part: data, parameter files, masks or meshes on the server, answered by a job of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from apps.pde.page_model import Model
from domains.pde.samples import SPLITS
from ui import upload
from ui.batch_jobs import job_result, jobs_folder, output_name, polyhead, results_folder
from ui.job_panel import job_panel
from ui.jobs import Job, start_job
from ui.run_choice import sentence
from ui.runs import demo_folder

KINDS = {
    "sample": "samples of data files",
    "request": "parameter files",
    "table": "lines of tables",
    "arrays": "array files",
    "mask": "masks",
    "mesh": "meshes",
}


def predict_command(
    model: Model, source: Path, out: Path, *, tasks: Sequence[str], split: str, options: Sequence[str]
) -> list[str]:
    """The batch command for a folder; all tasks of the model need no naming."""
    named = [] if set(tasks) == set(model.problems) else [part for task in tasks for part in ("--task", task)]
    return polyhead(
        *("pde", "predict", str(model.path), str(source), "-o", str(out), "--split", split, "--log-json"),
        *named,
        *options,
    )


def start_demo() -> Job:
    """Starts the demonstration as a job."""
    out = demo_folder() / "pde"
    return start_job(jobs_folder("pde"), polyhead("demo", "pde", "-o", str(out)), "Demonstration run", out)


def folder_part(model: Model | None) -> None:
    """Choice of a folder, its check, the start, and the jobs with their results."""
    st.subheader("Run over a folder")
    st.write(
        "Samples of a data folder, parameter files (JSON, YAML, CSV, npz), masks and meshes are answered by a job of "
        "its own. It goes on when you close this page; come back to see how far it is."
    )
    text = st.text_input("Folder, file or list of paths on the server", placeholder="/data/designs", key="batch-path")
    if text:
        _start(model, text)
    st.subheader("Jobs")
    job_panel(jobs_folder("pde"), result=job_result)


def _start(model: Model | None, text: str) -> None:
    from domains.pde.sources import cases_from

    tasks = list(model.problems) if model else []
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    with left:
        if model is not None:
            tasks = st.multiselect("Tasks", tasks, default=tasks, key="batch-tasks")
    split = middle.selectbox("Samples of data files", [*SPLITS, "all"], SPLITS.index("test"), key="batch-split")
    with right:
        solve = st.toggle("Solve too, and compare", key="batch-solve")
        uniform = st.toggle("Uniform field for masks and meshes", key="batch-field")
    try:
        source = upload.server_path(text)
        with st.spinner("Looking for cases ..."):
            cases = cases_from(source, split=split, tasks=tasks or None)
    except ValueError as error:
        st.error(sentence(error))
        return
    found = Counter(str(case.options.get("kind", "request")) for case in cases)
    st.info(f"{len(cases)} cases: " + ", ".join(f"{count} {KINDS[kind]}" for kind, count in sorted(found.items())))
    if model is None:
        st.info("Choose a model in the sidebar first.")
        return
    if not tasks:
        st.info("Choose at least one task.")
        return
    if st.button(f"Start the job on {len(cases)} cases", type="primary", key="start-job"):
        options = ["--solve"] * solve + ["--field", "default"] * uniform
        out = results_folder() / output_name(source, model.weights_hash, [*tasks, split, *options])
        command = predict_command(model, source, out, tasks=tasks, split=split, options=options)
        start_job(jobs_folder("pde"), command, f"{source.name}: {len(cases)} cases", out)
        st.rerun()
