"""The page of an application of common shape: choose a model, answer a folder, read about the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st

from apps.common_verbs import load_work
from apps.folder_tab import Batch, FolderTab, folder_part
from apps.page_demo import no_run
from polyhead.application import Application, find_part
from ui import upload
from ui.banner import banner
from ui.run_choice import about_run, choose_run, identity, run_title
from ui.runs import demo_folder
from ui.theme import page_style


@dataclass(frozen=True)
class Model:
    """The chosen run: its folder, what it is called, which model it holds, and its tasks."""

    path: Path
    title: str
    identity: str
    tasks: tuple[str, ...]


def common_page(application: Application, work: str, *, about: str, asks: str, placeholder: str) -> Callable[[], None]:
    """Makes the function `render` of a page.

    Args:
        application: whose page it is.
        work: name of the module that is its `apps.common_verbs.Work`.
        about: what is done with which files; a sentence without its end "by a job of its own."
        asks: label of the field for a path.
        placeholder: a path as an example.
    """
    tab = FolderTab(application.name, "Run over a folder", about, asks, placeholder)

    def render() -> None:
        page_style()
        with st.sidebar:
            st.header("Model")
            run = choose_run(application.name, "runs/first")
        model = Model(run.path, run_title(run), identity(run), tuple(run.info.task_set)) if run else None
        banner(model.title if model else None, model.identity if model else None)
        st.title(application.title)
        if run is None and find_part(application.name, "demo"):
            no_run(application.name, "The demonstration makes one", out=demo_folder(), tab="Folder")
        folder, facts = st.tabs(["Folder", "About this model"])
        with folder:
            folder_part(tab, model, model.tasks if model else (), partial(_look, work, model))
        with facts:
            tasks = [f"{name} ({task.kind})" for name, task in run.info.task_set.items()] if run else []
            about_run(run, application.name, {"Tasks": tasks}, "On the held-out part of its own data.")

    return render


def _look(work: str, model: Model | None, text: str) -> Batch:
    source = upload.server_path(text)
    known = list(model.tasks) if model else []
    tasks = st.multiselect("Tasks", known, default=known, key="batch-tasks")
    with st.spinner("Looking for cases ..."):
        cases = load_work(work).cases_from(str(source), tasks=tasks)
    st.info(f"{len(cases)} cases")
    return Batch(source, f"{len(cases)} cases", tasks)
