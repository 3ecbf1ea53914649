"""The page's second part: every image and frame below a folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from apps import folder_tab
from apps.folder_tab import Batch, FolderTab
from apps.ultrasound import page_input
from apps.ultrasound.page_images import check_inputs
from apps.ultrasound.page_input import Input
from apps.ultrasound.page_results import Model
from ui import upload
from ui.table import table

TAB = FolderTab(
    "ultrasound",
    "Run over a folder",
    "Every image and every frame below the folder is analysed",
    "Folder, file or list of paths on the server",
    "/data/study-12",
    "Choose at least one task in the sidebar.",
)

CHECKED = 30
"""How many files of a folder are checked before the start; the job checks every one."""


def folder_part(model: Model | None, tasks: Sequence[str]) -> None:
    """Choice of a folder, its check, the start, and the jobs with their results."""
    folder_tab.folder_part(TAB, model, model.tasks if model else (), partial(_look, tasks))


def _look(tasks: Sequence[str], text: str) -> Batch:
    from domains.medical.ultrasound.asking.sources import cases_from

    source = upload.server_path(text)
    with st.spinner("Looking for images ..."):
        cases = cases_from(source)
    paths = list(dict.fromkeys(case.path for case in cases))
    checks = check_inputs([Input(path.name, path) for path in paths[:CHECKED]])
    first = f"The first {CHECKED} of them: " if len(paths) > CHECKED else ""
    st.info(f"{len(cases)} pictures in {len(paths)} files. {first}{page_input.verdict(checks)}")
    with st.expander("Input check"):
        table([entry.row() for entry in checks], "What was found in the files")
    count = f"{len(cases)} pictures"
    return Batch(source, count, tasks, title=f"{source.name}: {count}, {len(tasks)} tasks")
