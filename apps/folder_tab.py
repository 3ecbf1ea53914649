"""The tab of every page that answers whole folders: the batch command, as a job that outlives the page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import streamlit as st

from ui.batch_jobs import job_result, jobs_folder, output_name, polyhead, results_folder
from ui.job_panel import job_panel
from ui.jobs import start_job
from ui.run_choice import sentence


class Model(Protocol):
    """The chosen run: its folder and which model it holds."""

    @property
    def path(self) -> Path: ...
    @property
    def identity(self) -> str: ...


@dataclass(frozen=True)
class FolderTab:
    """The words of a tab.

    Attributes:
        application: as the command line calls it.
        title: over the tab.
        about: what is done with which files; a sentence without its end "by a job of its own."
        asks: label of the field for a path.
        placeholder: a path as an example.
        no_task: what to do where no task is chosen.
    """

    application: str
    title: str
    about: str
    asks: str
    placeholder: str
    no_task: str = "Choose at least one task."


@dataclass(frozen=True)
class Batch:
    """What was found at a path, and what is asked of it.

    Attributes:
        source: the path.
        count: how many cases it holds, in words.
        tasks: those that are asked.
        options: further flags of the command.
        title: of the job; the name of the source and `count` where it is empty.
    """

    source: Path
    count: str
    tasks: Sequence[str]
    options: Sequence[str] = ()
    title: str = ""


def predict_command(application: str, model: Model, known: Collection[str], batch: Batch, out: Path) -> list[str]:
    """The batch command; all the `known` tasks of a model need no naming."""
    named = [] if set(batch.tasks) == set(known) else [part for task in batch.tasks for part in ("--task", task)]
    paths = (str(model.path), str(batch.source), "-o", str(out))
    return polyhead(application, "predict", *paths, "--log-json", *named, *batch.options)


def folder_part(tab: FolderTab, model: Model | None, known: Collection[str], look: Callable[[str], Batch]) -> None:
    """Choice of a path, its check, the start, and the jobs with their results.

    Args:
        tab: its words.
        model: the chosen run.
        known: all tasks of the run.
        look: draws the choices of a page for the path that was typed, looks there, and shows what it found; what is
            wrong with the path is a `ValueError`, which is said on the page.
    """
    st.subheader(tab.title)
    st.write(f"{tab.about} by a job of its own. It goes on when you close this page; come back to see how far it is.")
    text = st.text_input(tab.asks, placeholder=tab.placeholder, key="batch-path")
    if text:
        try:
            batch = look(text)
        except ValueError as error:
            st.error(sentence(error))
        else:
            _start(tab, model, known, batch)
    st.subheader("Jobs")
    job_panel(jobs_folder(tab.application), result=job_result)


def _start(tab: FolderTab, model: Model | None, known: Collection[str], batch: Batch) -> None:
    if model is None:
        st.info("Choose a model in the sidebar first.")
        return
    if not batch.tasks:
        st.info(tab.no_task)
        return
    if st.button(f"Start the job on {batch.count}", type="primary", key="start-job"):
        out = results_folder() / output_name(batch.source, model.identity, [*batch.tasks, *batch.options])
        command = predict_command(tab.application, model, known, batch, out)
        title = batch.title or f"{batch.source.name}: {batch.count}"
        start_job(jobs_folder(tab.application), command, title, out)
        st.rerun()
