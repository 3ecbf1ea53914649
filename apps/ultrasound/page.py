"""The ultrasound page: choose a model and its tasks, analyse images or a folder, read about the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from apps.ultrasound.page_answers import task_title
from apps.ultrasound.page_folder import folder_part, start_demo
from apps.ultrasound.page_images import images_part
from apps.ultrasound.page_results import Model
from polyhead.runs import Run
from ui import upload
from ui.banner import banner
from ui.provenance import card_panel, read_card, run_facts
from ui.runs import Found, demo_folder, find_runs, open_run, run_label, runs_folder
from ui.table import table
from ui.theme import page_style

OTHER = "Another folder on the server"

CARDS = Path(__file__).parents[2] / "data_cards"


def render() -> None:
    """Draws the page; Streamlit calls it on every interaction."""
    page_style()
    with st.sidebar:
        st.header("Model")
        run = choose_run()
        model = describe(run) if run else None
        tasks = choose_tasks(model) if model else []
    banner(model.title if model else None, model.weights_hash if model else None)
    st.title("Ultrasound: one network, many tasks")
    if run is None:
        no_run()
    images, folder, about = st.tabs(["Images", "Folder", "About this model"])
    with images:
        images_part(model, tasks)
    with folder:
        folder_part(model, tasks)
    with about:
        about_part(run)


def choose_run() -> Run | None:
    """The run that the sidebar names; runs that cannot be used are told with their reason."""
    demo = demo_folder()
    found = find_runs([runs_folder(), demo], "ultrasound")
    usable = {str(entry.path): entry.run for entry in found if entry.run is not None}
    chosen = st.selectbox(
        "Trained run",
        [*usable, OTHER],
        format_func=lambda name: run_label(usable[name], demo) if name in usable else name,
        key="run",
    )
    for entry in found:
        if entry.run is None:
            st.caption(f"Not usable: {entry.reason}")
    if chosen in usable:
        return usable[chosen]
    text = st.text_input("Run folder on the server", placeholder="runs/thyroid", key="run-path")
    return _typed_run(text) if text else None


def _typed_run(text: str) -> Run | None:
    try:
        path = upload.server_path(text)
        found = open_run(path, "ultrasound") or Found(path, None, f"{path} is no ultrasound run")
    except ValueError as error:
        st.error(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return None
    if found.run is None:
        st.error(f"{found.reason}.")
    return found.run


@st.cache_data(max_entries=50, show_spinner="Checking the weights ...")
def _weights_hash(path: str, modified: int, size: int) -> str:
    return Run.open(path).weights_hash()


def describe(run: Run) -> Model:
    """The run as the other parts of the page need it."""
    state = run.weights.stat()
    digest = _weights_hash(str(run.path), state.st_mtime_ns, state.st_size)
    title = f"{run.info.system}, preset {run.info.preset} ({run.path.name})"
    return Model(run.path, title, digest, {name: task.kind for name, task in run.info.task_set.items()})


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


def no_run() -> None:
    """What to do where no trained run is there."""
    with st.container(border=True):
        st.markdown("**No trained model here yet.** The demonstration makes one on simulated pictures in some minutes:")
        st.code("polyhead demo ultrasound", language="shell")
        st.write("Its result is small and is good for looking around, not for anything else.")
        if st.button("Start the demonstration", key="start-demo"):
            start_demo()
            st.toast("The demonstration runs; see the tab Folder for its progress.")


def about_part(run: Run | None) -> None:
    """The facts of the run, its scores by task, and the card of its preset."""
    if run is None:
        st.info("Choose a model in the sidebar first.")
        return
    info = run.info
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, task in info.task_set.items():
        by_kind[task.kind].append(name.replace("_", " "))
    st.subheader("What it is")
    run_facts(
        {
            "System": info.system,
            "Preset": info.preset,
            "Made": info.created,
            "Training": "finished" if info.finished else "not finished: the weights are an early state",
            "Folder": str(run.path),
            "Commit": info.git_commit,
            "Versions": info.versions,
            "Notes": info.notes,
            **{f"Tasks, {kind}": sorted(names) for kind, names in sorted(by_kind.items())},
        }
    )
    rows = score_rows(info.metrics)
    if rows:
        st.subheader("How it scored when it was trained")
        table(rows, "Scores by task")
        st.caption(
            "On the held-out part of its own data, which also chose the weights. "
            "Other machines, probes and patients will differ."
        )
    st.subheader("What it is for, and what not")
    card = card_of(info.preset)
    if card is None:
        st.write("There is no card for this model.")
    else:
        try:
            card_panel(read_card(card), first=("intended", "use", "limit", "not for"))
        except (OSError, ValueError) as error:
            st.error(f"The card cannot be shown: {error}")


def score_rows(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Scores by task from the ``metrics`` of a run.json, in words: each kind of task has measures of its own."""
    by_task = metrics.get("metrics", {})
    if not isinstance(by_task, Mapping):
        return []
    return [
        {
            "Task": str(task).replace("_", " "),
            "Scores": ", ".join(
                f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.items() if _number(value)
            ),
        }
        for task, scores in sorted(by_task.items())
        if isinstance(scores, Mapping) and any(_number(value) for value in scores.values())
    ]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def card_of(preset: str, folder: Path = CARDS) -> Path | None:
    """The card of a preset, None where there is none."""
    path = folder / f"ultrasound-{preset}" / "card.md"
    return path if path.is_file() else None
