"""What the model says of sequences: probabilities, a track along the sequence, written answers, and files of them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from apps.genomics.page_charts import CHART, track_chart
from apps.genomics.page_input import choose_record, input_table, kept, signature
from apps.genomics.page_model import Loaded, Model, task_title
from domains.genomics.sequences.records import SequenceRecord
from polyhead.application import RESEARCH_USE
from polyhead.system.spreadsheet import TableWriter
from ui.charts import probability_bars
from ui.download import zip_of
from ui.table import table
from ui.theme import ink

SHORTEST_TRACK = 250
"""Bases above which a sequence has a track."""

TRACK_WINDOW = 200


@dataclass(frozen=True)
class Reading:
    """How sequences are read.

    Attributes:
        window, stride: bases; longer sequences are read in windows, and their probabilities are the mean over these.
        both_strands: the mean with the reverse complement, for tasks that allow it.
    """

    window: int
    stride: int
    both_strands: bool = True


class OneRecord:
    """A sequence as a genome of one contig, for scans and alleles."""

    def __init__(self, record: SequenceRecord):
        self.record = record

    def name(self, contig: str) -> str:
        return contig

    def length(self, contig: str) -> int:
        return len(self.record.sequence)

    def fetch(self, contig: str, start: int, end: int) -> str:
        return self.record.sequence[start:end]


def choose_reading(model: Loaded) -> Reading:
    """Window, step and strands, as the command line takes them unless asked otherwise."""
    usual = model.usual_window()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        window = st.number_input(
            "Window (bases)",
            10,
            100_000,
            usual,
            10,
            key=f"window-{usual}",
            help=f"Longer sequences are read in windows. This model takes {model.asked.context} tokens at once.",
        )
        stride = st.number_input(
            "Step between windows (bases)", 1, int(window), max(1, int(window) // 2), key=f"stride-{window}"
        )
        both = st.toggle("Average both strands", value=True, key="strands")
    alone = [task_title(task) for task in model.model.scored if not model.model.tasks[task].both_strands]
    if both and alone:
        verb = "depends" if len(alone) == 1 else "depend"
        st.caption(f"{', '.join(alone)} {verb} on the strand and are read on the given one alone.")
    return Reading(int(window), int(stride), both)


def probabilities(model: Loaded, record: SequenceRecord, reading: Reading) -> tuple[dict[str, np.ndarray], int]:
    """Task to (labels,) probabilities of a sequence, and how many windows they are the mean of."""
    tasks, sequence = model.model.scored, record.sequence
    spans = model.asked.cut(sequence, tasks, reading.window, reading.stride)
    told = model.asked.probabilities([sequence[start:end] for start, end in spans], tasks, both=reading.both_strands)
    return {task: np.mean([line[task] for line in told], axis=0) for task in tasks}, len(spans)


Answered = list[tuple[SequenceRecord, dict[str, np.ndarray], int]]


def answered(model: Loaded, records: Sequence[SequenceRecord], reading: Reading) -> Answered:
    """Each record with its probabilities and its windows, asked once as long as the question stays."""
    asked = signature(model.model.identity, id(model), reading, [(r.name, r.sequence) for r in records])

    def make() -> Answered:
        bar = st.progress(0.0, text="Reading the sequences ...") if len(records) > 3 else None
        found = []
        for place, record in enumerate(records):
            found.append((record, *probabilities(model, record, reading)))
            if bar is not None:
                bar.progress((place + 1) / len(records), text=f"{place + 1} of {len(records)} sequences")
        if bar is not None:
            bar.empty()
        return found

    return kept("genomics-answers", asked, make)


def results_part(model: Loaded, records: Sequence[SequenceRecord], reading: Reading) -> SequenceRecord:
    """Bars of the chosen sequence, its track, its written answers, a table of all, and the downloads."""
    found = answered(model, records, reading) if model.model.scored else []
    st.subheader("2. Answers")
    place = choose_record(records)
    record = records[place]
    if found:
        _, shares, count = found[place]
        if count > 1:
            st.caption(f"{record.name}: mean over {count} windows of {reading.window} bases.")
        _bars(model, record, shares)
        if len(record.sequence) > SHORTEST_TRACK:
            _track(model, record, reading)
    _written(model, record)
    if found:
        if len(found) > 1:
            table(summary_rows(model, found), "All sequences: the most probable answer of each task")
        _downloads(model, found, reading)
    input_table(records)
    return record


def _bars(model: Loaded, record: SequenceRecord, shares: dict[str, np.ndarray]) -> None:
    tasks = list(shares)
    for first in range(0, len(tasks), 2):
        for column, task in zip(st.columns(2, gap="large"), tasks[first : first + 2], strict=False):
            labels = [str(label) for label in model.labels[task]]
            best = int(shares[task].argmax())
            column.plotly_chart(
                probability_bars(labels, shares[task].tolist(), task_title(task), ink()),
                key=f"bars-{task}",
                config={"displayModeBar": False},
                alt=f"{task_title(task)} of {record.name}: {labels[best]}, {shares[task][best]:.1%}",
            )


def _track(model: Loaded, record: SequenceRecord, reading: Reading) -> None:
    from domains.genomics.predicting.scan import tracks_of

    st.markdown("**Along the sequence**")
    choice, left, right = st.columns([3, 1, 1], vertical_alignment="bottom")
    most = max(10, min(len(record.sequence), model.usual_window()))
    tasks = choice.pills(
        "Tasks of the track",
        model.model.scored,
        selection_mode="multi",
        default=model.model.scored[:1],
        format_func=task_title,
        key="track-tasks",
    )
    if not tasks:
        st.caption("Choose at least one task.")
        return
    size = left.number_input("Window of the track (bases)", 10, most, min(TRACK_WINDOW, most), 10, key=f"track-{most}")
    step = right.number_input("Step (bases)", 1, int(size), max(1, int(size) // 5), key=f"track-step-{size}")
    runs = track_of(model, record, Reading(int(size), int(step), reading.both_strands), tuple(tasks))
    names = [
        f"{task_title(task)}: {model.labels[task][place]}" for task, place, _ in tracks_of(model.labels, list(tasks))
    ]
    if not runs:
        st.info("No window of this sequence has enough known letters.")
        return
    top = max(((row[index], name, start, end) for start, end, row in runs for index, name in enumerate(names)))
    st.plotly_chart(
        track_chart(runs, names, length=len(record.sequence), ink=ink()),
        key="track",
        config=CHART,
        alt=f"Probabilities along {record.name}: the highest is {top[0]:.1%} for {top[1]} "
        f"at bases {top[2] + 1} to {top[3]}",
    )
    st.caption(
        f"The mean over all windows of {int(size)} bases that cover a base, {int(step)} bases apart"
        f"{', before calibration' if model.calibrated else ''}. "
        "For BED, bedGraph and bigWig of a genome: `polyhead genomics scan`."
    )


def track_of(
    model: Loaded, record: SequenceRecord, reading: Reading, tasks: tuple[str, ...]
) -> list[tuple[int, int, np.ndarray]]:
    """Runs of bases that the same windows cover: start, end, one probability a track."""
    from domains.genomics.predicting.scan import Region, ScanWindows, scan

    asked = signature(model.model.identity, id(model), reading, record.name, record.sequence, tasks)
    settings = ScanWindows(
        size=reading.window,
        stride=min(reading.stride, reading.window),
        strands="both" if reading.both_strands else "forward",
        ambiguous=0.5,
    )

    def make() -> list[tuple[int, int, np.ndarray]]:
        region = [Region(record.name, 0, len(record.sequence))]
        with st.spinner("Reading the windows ..."):
            stretches = list(
                scan(
                    OneRecord(record),
                    region,
                    model.scorer,
                    tasks=tasks,
                    settings=settings,
                    one_strand=model.asked.one_strand,
                )
            )
        return [(each.start, each.end, each.values) for each in stretches]

    return kept("genomics-track", asked, make)


def _written(model: Loaded, record: SequenceRecord) -> None:
    """Texts, numbers and pictures, written at a click."""
    tasks = model.model.written
    if not tasks:
        return
    st.markdown("**Written answers**")
    asked = signature(model.model.identity, id(model), record.name, record.sequence)
    held = st.session_state.get("genomics-written")
    if held is None or held[0] != asked:
        names = ", ".join(task_title(task) for task in tasks)
        if not st.button(f"Write: {names}", key="write"):
            return
        with st.spinner("Writing ..."):
            st.session_state["genomics-written"] = (asked, written_answers(model, record.sequence))
        # Run again without the button, which has nothing left to do.
        st.rerun()
    for column, task in zip(st.columns(len(tasks), gap="large"), tasks, strict=True):
        with column:
            _one_written(model, task, held[1][task])


def written_answers(model: Loaded, sequence: str) -> dict[str, Any]:
    """For each written task its `Generated`, or in words why there is none."""
    found: dict[str, Any] = {}
    for task in model.model.written:
        try:
            found[task] = model.generate(sequence, task)
        except ValueError as error:
            found[task] = str(error)
    return found


def _one_written(model: Loaded, task: str, told: Any) -> None:
    side = model.model.tasks[task]
    st.markdown(f"{task_title(task)} ({side.kind})")
    if isinstance(told, str):
        st.info(told.replace("sequence 1", "The sequence", 1) + ".")
        return
    if side.kind == "image":
        _picture(model, task, told.value)
    else:
        unit = f" {side.unit}" if side.unit else ""
        st.code(f"{told.value}{unit}" if str(told.value) else "(an empty text)", language=None, wrap_lines=True)
    st.caption(f"Probability of all its {len(told.tokens)} tokens together: {told.probability:.2g}")


def _picture(model: Loaded, task: str, codes: np.ndarray) -> None:
    drawn = model.picture(task, codes)
    words = f"{task_title(task)}: codes " + "; ".join(" ".join(map(str, row)) for row in codes.tolist())
    if drawn is None:
        entries = max(1, int(codes.max()))
        drawn = codes / max(entries, getattr(model.asked.answers[task], "codes", 2) - 1)
        remark = "the codes themselves: the run keeps no codec of its pictures"
    else:
        remark = f"{codes.shape[0]} x {codes.shape[1]} codes"
    pixels = (np.clip(drawn, 0, 1) * 255).astype(np.uint8)
    times = max(1, 192 // max(pixels.shape))
    st.image(
        np.repeat(np.repeat(pixels, times, 0), times, 1), caption=remark, alt=words, output_format="PNG", width=192
    )


def summary_rows(model: Loaded, found: Answered) -> list[dict[str, Any]]:
    """A row for each sequence: its length and the likeliest label of each task with its probability."""
    rows = []
    for record, shares, count in found:
        row: dict[str, Any] = {"Sequence": record.name, "Bases": len(record.sequence), "Windows": count}
        for task, values in shares.items():
            best = int(values.argmax())
            row[task_title(task)] = f"{model.labels[task][best]} ({values[best]:.0%})"
        rows.append(row)
    return rows


def answers_table(model: Loaded, found: Answered) -> bytes:
    """TSV, a row for each sequence, task and label; starts and ends are 0-based and half-open, as in BED."""
    out = io.StringIO(newline="")
    table = TableWriter(out, delimiter="\t")
    table.writerow(["record", "contig", "start", "end", "strand", "windows", "task", "label", "probability", "answer"])
    for record, shares, count in found:
        place = [record.name, record.contig or record.name, record.start, record.end, record.strand, count]
        for task, values in shares.items():
            best = int(values.argmax())
            for index, label in enumerate(model.labels[task]):
                table.writerow([*place, task, label, f"{values[index]:.6g}", int(index == best)])
    return out.getvalue().encode()


def _downloads(model: Loaded, found: Answered, reading: Reading) -> None:
    def everything() -> bytes:
        fasta = "".join(f">{record.name}\n{record.sequence}\n" for record, _, _ in found)
        return zip_of(
            {
                "answers.tsv": answers_table(model, found),
                "sequences.fa": fasta.encode(),
                "about.json": about_json(model.model, reading),
            }
        )

    with st.container(horizontal=True):
        st.download_button(
            "Answers (tsv)",
            data=lambda: answers_table(model, found),
            file_name="answers.tsv",
            mime="text/tab-separated-values",
            on_click="ignore",
            key="get-tsv",
        )
        st.download_button(
            "Everything (zip)",
            data=everything,
            file_name="answers.zip",
            mime="application/zip",
            on_click="ignore",
            key="get-zip",
        )


def about_json(model: Model, reading: Reading) -> bytes:
    """What stands behind the answers, for whoever reads the files later."""
    told = {
        "research_use": RESEARCH_USE,
        "model": model.title,
        "model_identity": model.identity,
        "window": reading.window,
        "step": reading.stride,
        "both_strands": {
            task: reading.both_strands and side.both_strands
            for task, side in model.tasks.items()
            if side.kind == "classification"
        },
    }
    return json.dumps(told, indent=1).encode() + b"\n"
