"""The ultrasound page: choose a model and its tasks, analyse images or a folder, read about the model."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st

from apps.page_demo import no_run
from apps.ultrasound.page_answers import task_title
from apps.ultrasound.page_folder import folder_part
from apps.ultrasound.page_images import images_part
from apps.ultrasound.page_results import Model
from polyhead.runs.run import Run
from ui.banner import banner
from ui.run_choice import about_run, choose_run, identity, run_title
from ui.runs import demo_folder
from ui.theme import page_style


def render() -> None:
    """Draws the page; Streamlit calls it on every interaction."""
    page_style()
    with st.sidebar:
        st.header("Model")
        run = choose_run("ultrasound", "runs/thyroid")
        model = describe(run) if run else None
        tasks = choose_tasks(model) if model else []
    banner(model.title if model else None, model.identity if model else None)
    st.title("Ultrasound: one network, many tasks")
    if run is None:
        no_run(
            "ultrasound",
            "The demonstration makes one on simulated pictures in some minutes",
            out=demo_folder(),
            tab="Folder",
        )
    images, folder, about = st.tabs(["Images", "Folder", "About this model"])
    with images:
        images_part(model, tasks)
    with folder:
        folder_part(model, tasks)
    with about:
        about_part(run)


def describe(run: Run) -> Model:
    """The run as the other parts of the page need it."""
    return Model(run.path, run_title(run), identity(run), {name: task.kind for name, task in run.info.task_set.items()})


def choose_tasks(model: Model) -> list[str]:
    """The tasks that are asked; none is chosen beforehand, since the model cannot know which organ it will see."""
    names = sorted(model.tasks)
    everything = st.toggle(f"All {len(names)} tasks", key="all-tasks")
    chosen = st.multiselect(
        "Tasks",
        names,
        format_func=lambda name: task_title(name, model.tasks[name]),
        placeholder="What should it look for?",
        key="tasks",
        disabled=everything,
    )
    st.caption(
        "The model answers every task it is asked, whether or not the picture shows that organ. "
        "Choose the tasks that fit the picture."
    )
    return names if everything else chosen


def about_part(run: Run | None) -> None:
    """The facts of the run, its scores by task, and the card of its preset."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, task in run.info.task_set.items() if run is not None else ():
        by_kind[task.kind].append(name.replace("_", " "))
    about_run(
        run,
        "ultrasound",
        {f"Tasks, {kind}": sorted(names) for kind, names in sorted(by_kind.items())},
        "On the held-out part of its own data, which also chose the weights. "
        "Other machines, probes and patients will differ.",
    )
