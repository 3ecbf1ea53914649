"""The genomics page: sequences in, every task's answer out, then single bases, variants, files, and the model."""

from __future__ import annotations

import streamlit as st

from apps.genomics.page_about import about_part
from apps.genomics.page_bases import bases_part
from apps.genomics.page_folder import folder_part
from apps.genomics.page_input import choose_sequences, show_refused
from apps.genomics.page_model import Loaded, Model, describe, loaded
from apps.genomics.page_results import Reading, choose_reading, results_part
from apps.genomics.page_variants import variants_part
from apps.page_demo import no_run
from domains.genomics.sequences.records import SequenceRecord
from polyhead.runs.run import Run
from ui import upload
from ui.banner import banner
from ui.run_choice import choose_run, sentence
from ui.runs import demo_folder
from ui.theme import page_style

TITLE = "Genomics: one model, many questions to DNA"


def render() -> None:
    """Draws the page; Streamlit calls it on every interaction."""
    page_style()
    with st.sidebar:
        st.header("Model")
        run = choose_run("genomics", "runs/genomics")
        model = _described(run)
    banner(model.title if model else None, model.identity if model else None)
    st.title(TITLE)
    _sweep()
    if run is None:
        no_run(
            "genomics",
            "The demonstration simulates a genome and trains on it",
            out=demo_folder() / "genomics",
            tab="Files",
        )
    answering = _loaded(model)
    sequences, bases, variants, files, about = st.tabs(
        ["Sequences", "Bases and changes", "Variants", "Files", "About this model"]
    )
    with sequences:
        records, shown = sequences_part(answering)
    with bases:
        if answering is None:
            _choose_first()
        elif shown is None:
            st.info("Give a sequence in the tab Sequences first.")
        else:
            bases_part(answering, *shown)
    with variants:
        if answering is None:
            _choose_first()
        else:
            variants_part(answering, records)
    with files:
        folder_part(model)
    with about:
        about_part(run, model)


def sequences_part(model: Loaded | None) -> tuple[tuple[SequenceRecord, ...], tuple[SequenceRecord, Reading] | None]:
    """Input and answers; the records, and the one that is shown with the way it is read."""
    st.subheader("1. Sequences")
    given = choose_sequences()
    show_refused(given.refused)
    if given.cut:
        st.info(given.cut, icon=":material/info:")
    if not given.records:
        if not given.refused:
            st.info("Paste DNA, drop a file, or load the example.")
        return (), None
    if model is None:
        _choose_first()
        return given.records, None
    reading = choose_reading(model)
    try:
        record = results_part(model, given.records, reading)
    except ValueError as error:
        st.error(sentence(f"The model could not answer: {error}"))
        return given.records, None
    return given.records, (record, reading)


def _choose_first() -> None:
    st.info("Choose a model in the sidebar first.")


def _described(run: Run | None) -> Model | None:
    try:
        return describe(run) if run is not None else None
    except ValueError as error:
        st.error(sentence(error))
        return None


def _loaded(model: Model | None) -> Loaded | None:
    try:
        return loaded(model) if model is not None else None
    except ValueError as error:
        st.error(sentence(error))
        return None


def _sweep() -> None:
    if "genomics-swept" not in st.session_state:
        upload.sweep(upload.spool_folder())
        st.session_state["genomics-swept"] = True
