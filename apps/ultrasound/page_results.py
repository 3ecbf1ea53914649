"""The results of analysed pictures: overlay, answers, measurements, and everything as one zip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from apps.ultrasound import page_answers
from apps.ultrasound.page_input import WARNINGS, Check
from polyhead.application import RESEARCH_USE
from polyhead.uncertainty.likeness import UNLIKE
from ui import upload
from ui.charts import probability_bars
from ui.download import zip_button
from ui.table import table
from ui.theme import ink
from ui.viewer import side_by_side, view


@dataclass(frozen=True)
class Model:
    """The chosen model as the page needs it: its folder, how it is called, its hash and its tasks by name and kind."""

    path: Path
    title: str
    identity: str
    tasks: Mapping[str, str]


@dataclass(frozen=True)
class Answered:
    """One analysed picture: what came back, or why nothing did."""

    name: str
    answers: Any
    reason: str = ""


def results_part(model: Model, answered: Sequence[Answered], seconds: float, checks: Sequence[Check]) -> None:
    """The results: a choice of picture, its overlay, its answers, its measurements, and everything as one zip."""
    st.subheader("4. Results")
    good = [entry for entry in answered if entry.answers is not None]
    st.caption(f"{len(good)} of {len(answered)} pictures answered in {seconds:.1f} s by {model.title}.")
    for entry in answered:
        if entry.answers is None:
            st.error(f"{entry.name}: {entry.reason}.")
    if not good:
        return
    place = 0
    if len(good) > 1:
        options = range(len(good))
        place = st.select_slider("Picture", options, format_func=lambda index: good[index].name, key="shown-picture")
    shown = good[place]
    tasks = shown.answers.tasks
    rows = page_answers.overview(tasks, shown.answers.image.shape)
    key = f"view-{place}"
    left, right = (st.container(), st.container()) if side_by_side(key) else st.columns([5, 4], gap="medium")
    with left:
        found = "; ".join(f"{row['Task']}: {row['Answer']}" for row in rows)
        drawn = page_answers.layers(tasks)
        view(shown.answers.image, drawn, key, shown.name, shown.answers.spacing, found)
    with right:
        if UNLIKE in shown.answers.warnings:
            st.warning(f"**{shown.name}**: {WARNINGS[UNLIKE]}.")
        _answers_beside(tasks, rows, place)
    _measurements(good, shown)
    zip_button("Download everything (zip)", "polyhead-ultrasound.zip", lambda: files(model, good, checks), "zip")


def _answers_beside(tasks: Mapping[str, Any], rows: Sequence[Mapping[str, str]], place: int) -> None:
    table([{key: value for key, value in row.items() if key != "Review"} for row in rows], "Answers")
    st.caption("Confidence is the model's own estimate; it has not been checked on patients.")
    reviews = [row for row in rows if row["Review"] != page_answers.NO_REMARK]
    if reviews:
        lines = "\n".join(f"- {row['Task']}: {row['Review']}" for row in reviews)
        st.warning(f"**Look twice**\n{lines}".replace("_", "\\_"))
    for task, found in tasks.items():
        if found.probabilities is not None:
            names = [page_answers.label(found, index) for index in range(len(found.probabilities))]
            title = f"{task.replace('_', ' ')}: probabilities"
            st.plotly_chart(
                probability_bars(names, found.probabilities, title, ink()),
                key=f"bars-{place}-{task}",
                config={"displayModeBar": False},
                alt=f"{title}. {page_answers.finding(task, found)}",
            )


def _measurements(good: Sequence[Answered], shown: Answered) -> None:
    rows = page_answers.measurements(shown.name, shown.answers.tasks)
    if not rows:
        st.caption("Nothing to measure in this picture.")
        return
    table([{**row, "Value": f"{row['Value']:.1f}"} for row in rows], "Measurements")
    if not any(row["Unit"].startswith("mm") for row in rows):
        st.caption("No size of a pixel holds for these answers, so nothing is given in millimetres.")


def files(model: Model, good: Sequence[Answered], checks: Sequence[Check]) -> dict[str, bytes]:
    """The entries of the zip: a folder for each picture, tables over all of them, and where they come from."""
    entries: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    for number, entry in enumerate(good, start=1):
        folder = f"{number:03d} {upload.safe_name(entry.name)}"
        spacing = entry.answers.spacing
        facts = {"image": entry.name, "spacing_mm": None if spacing is None else [float(v) for v in spacing]}
        made = page_answers.image_files(np.asarray(entry.answers.image), entry.answers.tasks, facts)
        entries |= {f"{folder}/{name}": content for name, content in made.items()}
        rows += page_answers.measurements(entry.name, entry.answers.tasks)
    entries["measurements.csv"] = page_answers.table_csv(rows)
    entries["input check.csv"] = page_answers.table_csv([entry.row() for entry in checks])
    entries["READ ME.txt"] = (
        f"{RESEARCH_USE}\n\nModel: {model.title}\nIdentity of the model: {model.identity}\n"
        "Masks are index images: 0 is background. Coordinates are pixels of the original picture, x to the right, "
        "y downwards.\n"
    ).encode()
    return entries
