"""The page's second part: data, parameter files, masks or meshes on the server."""

from __future__ import annotations

from collections import Counter
from functools import partial

import streamlit as st

from apps import folder_tab
from apps.folder_tab import Batch, FolderTab
from apps.pde.page_model import Model
from domains.pde.data.samples import SPLITS
from ui import upload

TAB = FolderTab(
    "pde",
    "Run over a folder",
    "Samples of a data folder, parameter files (JSON, YAML, CSV, npz), masks and meshes are answered",
    "Folder, file or list of paths on the server",
    "/data/designs",
)

KINDS = {
    "sample": "samples of data files",
    "request": "parameter files",
    "table": "lines of tables",
    "arrays": "array files",
    "mask": "masks",
    "mesh": "meshes",
}


def folder_part(model: Model | None) -> None:
    """Choice of a folder, its check, the start, and the jobs with their results."""
    folder_tab.folder_part(TAB, model, list(model.problems) if model else [], partial(_look, model))


def _look(model: Model | None, text: str) -> Batch:
    from domains.pde.asking.sources import cases_from

    tasks = list(model.problems) if model else []
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    with left:
        if model is not None:
            tasks = st.multiselect("Tasks", tasks, default=tasks, key="batch-tasks")
    split = middle.selectbox("Samples of data files", [*SPLITS, "all"], SPLITS.index("test"), key="batch-split")
    with right:
        solve = st.toggle("Solve too, and compare", key="batch-solve")
        uniform = st.toggle("Uniform field for masks and meshes", key="batch-field")
    source = upload.server_path(text)
    with st.spinner("Looking for cases ..."):
        cases = cases_from(source, split=split, tasks=tasks or None)
    found = Counter(str(case.options.get("kind", "request")) for case in cases)
    st.info(f"{len(cases)} cases: " + ", ".join(f"{count} {KINDS[kind]}" for kind, count in sorted(found.items())))
    options = ["--split", split] + ["--solve"] * solve + ["--field", "default"] * uniform
    return Batch(source, f"{len(cases)} cases", tasks, options)
