"""What the page gives to take away: the files of an answer, one by one or all with the question that they answer."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from apps.pde.page_input import Asked
from apps.pde.page_model import Model
from domains.pde.predicting.write import FIELD_FILE, MESH_FILE, PLOT_FILE, Answer, write_answer
from polyhead.application import RESEARCH_USE
from polyhead.batch.one import written_files
from ui.download import zip_of

PRODUCTS = {FIELD_FILE: "fields", MESH_FILE: "meshes", PLOT_FILE: "plots"}


def files_of(answer: Answer, saved: Collection[str] = tuple(PRODUCTS.values())) -> dict[str, bytes]:
    """The files that `predict` would write for an answer, of these products."""
    return written_files(lambda out: write_answer(answer, out), saved)


def downloads(model: Model, asked: Asked, answer: Answer) -> None:
    stem = answer.question.task.replace("/", "-")

    def everything() -> bytes:
        inputs = {f"input/{name}": data for name, data in asked.entries().items()}
        return zip_of(files_of(answer) | inputs | {"READ ME.txt": _readme(model)})

    with st.container(horizontal=True):
        for words, name, mime, make in (
            ("Everything (zip)", f"{stem}.zip", "application/zip", everything),
            ("Field (npz)", f"{stem}.npz", "application/octet-stream", lambda: _one(answer, FIELD_FILE)),
            ("For ParaView (vtu)", f"{stem}.vtu", "application/xml", lambda: _one(answer, MESH_FILE)),
            ("Picture (png)", f"{stem}.png", "image/png", lambda: _one(answer, PLOT_FILE)),
        ):
            st.download_button(
                words, data=make, file_name=name, mime=mime, on_click="ignore", key=f"get-{name.rpartition('.')[2]}"
            )


def _one(answer: Answer, name: str) -> bytes:
    return files_of(answer, [PRODUCTS[name]])[name]


def _readme(model: Model) -> bytes:
    lines = [
        RESEARCH_USE,
        "",
        f"Model: {model.title}",
        f"Identity of the model: {model.identity}",
        "The folder input holds the question; the same answer comes from:",
        "polyhead pde predict RUN input/request.json -o OUT",
        "",
    ]
    return "\n".join(lines).encode()
