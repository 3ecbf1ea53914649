"""The page's part for files and genomes of any size."""

from __future__ import annotations

from functools import partial

import streamlit as st

from apps import folder_tab
from apps.folder_tab import Batch, FolderTab
from apps.genomics.page_model import Model, task_title
from ui import upload

TAB = FolderTab(
    "genomics",
    "Run over files",
    "FASTA, FASTQ, GenBank, BED or GFF with a reference, CSV, TSV and parquet of any size are answered block by block",
    "File, folder or list of paths on the server",
    "/data/genome.fa",
)


def folder_part(model: Model | None) -> None:
    """Choice of a source, its options, the start, and the jobs with their results."""
    folder_tab.folder_part(TAB, model, list(model.tasks) if model else [], partial(_look, model))


def _look(model: Model | None, text: str) -> Batch:
    from domains.genomics.asking.sources import cases_from

    tasks = list(model.tasks) if model else []
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        if model is not None:
            tasks = st.multiselect("Tasks", tasks, default=tasks, format_func=task_title, key="batch-tasks")
    named = right.text_input(
        "Reference on the server, for BED and GFF", placeholder="/data/genome.fa", key="batch-reference"
    )
    source = upload.server_path(text)
    reference = upload.server_path(named) if named else None
    with st.spinner("Looking through the files ..."):
        cases = list(cases_from(source, reference=reference, tasks=tasks or None))
    count = "1 block" if len(cases) == 1 else f"{len(cases)} blocks"
    st.info(f"{count} of sequences to answer.")
    return Batch(source, count, tasks, ["--reference", str(reference)] if reference else [])
