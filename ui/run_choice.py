"""The choice of a trained run in the sidebar, and the facts of the run that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from polyhead.application import cards_folder
from polyhead.runs.identity import RUN_FILE, deciding_files
from polyhead.runs.run import Run
from polyhead.runs.unfinished import unfinished
from ui import upload
from ui.provenance import card_panel, read_card, run_facts
from ui.runs import Found, demo_folder, find_runs, open_run, run_label, runs_folder
from ui.table import table

OTHER = "Another folder on the server"

CARDS = Path(__file__).parents[1] / "data_cards"


def sentence(error: object) -> str:
    """A message as a sentence.

    >>> sentence("no such file")
    'No such file.'
    """
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def choose_run(application: str, placeholder: str) -> Run | None:
    """The run of an application that the sidebar names; runs that cannot be used are told with their reason."""
    demo = demo_folder()
    found = find_runs([runs_folder(), demo], application)
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
    run = usable.get(chosen)
    if chosen not in usable:
        text = st.text_input("Run folder on the server", placeholder=placeholder, key="run-path")
        run = _typed_run(text, application) if text else None
    if run is not None and (words := unfinished(run)):
        st.warning(sentence(words))
    return run


def _typed_run(text: str, application: str) -> Run | None:
    try:
        path = upload.server_path(text)
        found = open_run(path, application) or Found(path, None, f"{path} is no {application} run")
    except ValueError as error:
        st.error(sentence(error))
        return None
    if found.run is None:
        st.error(sentence(found.reason))
    return found.run


@st.cache_data(max_entries=50, show_spinner="Checking the model ...")
def _identity(path: str, states: tuple[tuple[str, int, int], ...]) -> str:
    return Run.open(path).identity()


def identity(run: Run) -> str:
    """Which model a run holds (see `polyhead.runs.identity`), computed once as long as its files stay as they are."""
    files = {RUN_FILE: run.path / RUN_FILE, **deciding_files(run.path)}
    states = ((name, file.stat()) for name, file in files.items())
    return _identity(str(run.path), tuple((name, state.st_mtime_ns, state.st_size) for name, state in states))


def run_title(run: Run) -> str:
    """A run by its system, preset and folder."""
    return f"{run.info.system}, preset {run.info.preset} ({run.path.name})"


def about_run(run: Run | None, application: str, more: Mapping[str, Any], remark: str) -> None:
    """The facts of a run, its scores by task, and the card of its preset.

    Args:
        run: the run, None where none is chosen.
        application: its application.
        more: further facts.
        remark: what to know of the scores.
    """
    if run is None:
        st.info("Choose a model in the sidebar first.")
        return
    info = run.info
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
            **more,
        }
    )
    rows = score_rows(info.metrics)
    if rows:
        st.subheader("How it scored when it was trained")
        table(rows, "Scores by task")
        st.caption(remark)
    st.subheader("What it is for, and what not")
    card = card_of(application, info.preset)
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


def card_of(application: str, preset: str, folder: Path | None = None) -> Path | None:
    """The card of a preset in `folder`, by default where the application keeps its cards; None where there is none."""
    path = (folder or cards_folder(application) or CARDS) / f"{application}-{preset}" / "card.md"
    return path if path.is_file() else None
