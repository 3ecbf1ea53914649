"""Single bases of a sequence: what the answer rests on (gradients), and what every change would do (mutagenesis)."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apps.genomics.page_charts import BASES, CHART, base_bars, change_map
from apps.genomics.page_input import kept, signature
from apps.genomics.page_model import Loaded, task_title
from apps.genomics.page_results import Reading
from domains.genomics.sequences.records import SequenceRecord
from polyhead.system.spreadsheet import TableWriter
from ui.run_choice import sentence
from ui.theme import ink

LIKELIHOOD = "Likelihood of the sequence"
MOST_CHANGED = 200
"""Bases whose changes are asked at a click, three for each."""


def bases_part(model: Loaded, record: SequenceRecord, reading: Reading) -> None:
    """The stretch and what is asked of it, the attribution at once, the mutagenesis at a click."""
    st.subheader(f"Bases of {record.name}")
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    task = left.selectbox(
        "Question", [*model.model.scored, LIKELIHOOD], format_func=lambda name: task_title(str(name)), key="base-task"
    )
    labels = list(model.labels.get(str(task), ()))
    label = 0
    if labels:
        label = middle.selectbox(
            "Answer", range(len(labels)), len(labels) - 1, format_func=lambda index: labels[index], key=f"label-{task}"
        )
    start, end = _window(record, reading, right)
    window = record.sequence[start:end]
    if task != LIKELIHOOD:
        _attribution(model, record, window, start, str(task), int(label or 0))
    else:
        _likelihood(model, record, window, start)
    _mutagenesis(model, record, window, start, str(task), int(label or 0), reading)


def _window(record: SequenceRecord, reading: Reading, place: DeltaGenerator) -> tuple[int, int]:
    """The window that is looked at, 0-based and half-open: the whole sequence where the model takes it at once."""
    length = len(record.sequence)
    if length <= reading.window:
        place.caption(f"The whole sequence, {length} bases.")
        return 0, length
    last = length - reading.window
    first = place.slider(
        f"First base of the window of {reading.window}", 1, last + 1, 1, key=f"base-start-{length}-{reading.window}"
    )
    return int(first) - 1, int(first) - 1 + reading.window


def _attribution(model: Loaded, record: SequenceRecord, window: str, start: int, task: str, label: int) -> None:
    from domains.genomics.variants.mutagenesis import attribution

    st.markdown("**What the answer rests on**")
    prefix = model.prefix
    if prefix is None or task not in prefix.tasks:
        st.info("Gradients are shown for tasks whose labels are one token each; see the changes below instead.")
        return
    asked = signature(model.model.identity, id(model), window, task, label)
    try:
        values: np.ndarray = kept("genomics-attribution", asked, lambda: attribution(window, prefix, task, label))
    except ValueError as error:
        st.error(sentence(error))
        return
    name = str(model.labels[task][label])
    _bars(record, window, start, values, "Share", f"Gradient times input for {task_title(task)}: {name}", "attribution")
    st.caption(
        f"Gradient times input of log P({name}) at the tokens, in equal parts on the bases of a token, given strand. "
        "Up speaks for the answer, down against it. It is no experiment: the changes below are."
    )


def _likelihood(model: Loaded, record: SequenceRecord, window: str, start: int) -> None:
    st.markdown("**How expected each base is**")
    asked = signature(model.model.identity, id(model), window)
    try:
        told = kept("genomics-likelihood", asked, lambda: model.scorer.log_likelihood([window])[0])
    except ValueError as error:
        st.error(sentence(error))
        return
    _bars(record, window, start, told.bases, "Nats a base", "Log-likelihood a base", "likelihood")
    st.caption(
        f"log P of each token in equal parts on its bases, given strand: {told.bits_per_base:.3f} bits a base on the "
        "mean; 2 bits is what even chances give."
    )


def _bars(record: SequenceRecord, window: str, start: int, values: np.ndarray, what: str, words: str, key: str) -> None:
    if np.isfinite(values).any():
        top = int(np.nanargmax(np.abs(values)))
        words += f" on {record.name}, strongest at base {start + top + 1} ({window[top]}), {values[top]:.3g}"
    st.plotly_chart(base_bars(window, values, start=start, what=what, ink=ink()), key=key, config=CHART, alt=words)


def _mutagenesis(
    model: Loaded, record: SequenceRecord, window: str, start: int, task: str, label: int, reading: Reading
) -> None:
    from domains.genomics.variants.mutagenesis import Mutagenesis, mutagenesis

    st.markdown("**What every change would do**")
    span = (0, len(window))
    if len(window) > MOST_CHANGED:
        low, high = st.slider(
            f"Bases to change, at most {MOST_CHANGED}",
            start + 1,
            start + len(window),
            (start + 1, start + MOST_CHANGED),
            key=f"span-{start}-{len(window)}",
        )
        span = (low - 1 - start, min(high - start, low - 1 - start + MOST_CHANGED))
    tasks = () if task == LIKELIHOOD else (task,)
    both = reading.both_strands and (not tasks or model.model.tasks[task].both_strands)
    asked = signature(model.model.identity, id(model), window, span, tasks, both)
    held = st.session_state.get("genomics-mutagenesis")
    if held is None or held[0] != asked:
        if not st.button(f"Change {span[1] - span[0]} bases, {3 * (span[1] - span[0])} windows", key="mutate"):
            st.caption("Each base is replaced by the three others, and the model is asked again.")
            return
        with st.spinner("Asking for every change ..."):
            try:
                strands = "both" if both else "forward"
                made = mutagenesis(window, model.comparer, tasks=tasks, span=span, strands=strands)
            except ValueError as error:
                st.error(sentence(error))
                return
        st.session_state["genomics-mutagenesis"] = (asked, made)
        # Run again without the button, which has nothing left to do.
        st.rerun()
    found: Mutagenesis = held[1]
    values = found.changes[task][label] if tasks else found.likelihood
    what = f"Change of P({model.labels[task][label]})" if tasks else "Change of log P, nats"
    _change_map(record, found, values, start, what)
    strands = "Mean of both strands." if both else "Given strand."
    before = " before calibration" if tasks and model.calibrated else ""
    known = f" P = {found.reference[task][label]:.1%}{before} for the sequence as it is." if tasks else ""
    st.caption(f"Dots mark the sequence's own bases. {strands}{known}")
    st.download_button(
        "Changes (csv)",
        data=lambda: changes_csv(found, values, start, what),
        file_name="changes.csv",
        mime="text/csv",
        on_click="ignore",
        key="get-changes",
    )


def _change_map(record: SequenceRecord, found: object, values: np.ndarray, start: int, what: str) -> None:
    from domains.genomics.variants.mutagenesis import Mutagenesis

    assert isinstance(found, Mutagenesis)
    shown = found.sequence[found.start : found.start + values.shape[1]]
    words = f"{what} on {record.name} for every change"
    if np.isfinite(values).any():
        row, column = np.unravel_index(int(np.nanargmax(np.abs(values))), values.shape)
        place = start + found.start + int(column) + 1
        words += f"; the largest is {values[row, column]:+.3g} for {shown[column]} to {BASES[row]} at base {place}"
    st.plotly_chart(
        change_map(shown, values, start=start + found.start, what=what, ink=ink()),
        key="change-map",
        config=CHART,
        alt=words,
    )
    st.markdown(words.split("; ")[-1][:1].upper() + words.split("; ")[-1][1:] + ".")


def changes_csv(found: object, values: np.ndarray, start: int, what: str) -> bytes:
    """A row for each base: its place counted from 1, its letter, and the change that A, C, G and T would make."""
    from domains.genomics.variants.mutagenesis import Mutagenesis

    assert isinstance(found, Mutagenesis)
    out = io.StringIO(newline="")
    table = TableWriter(out)
    table.writerow(["position", "base", *(f"{what} to {base}" for base in BASES)])
    for column in range(values.shape[1]):
        place = found.start + column
        cells = ["" if not np.isfinite(value) else f"{value:.6g}" for value in values[:, column]]
        table.writerow([start + place + 1, found.sequence[place], *cells])
    return out.getvalue().encode()
