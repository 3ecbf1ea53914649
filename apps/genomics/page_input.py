"""The page's sequences: pasted, dropped or simulated, read as `predict` reads them, with a line for what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import streamlit as st

from domains.genomics.sequences.alphabet import POLICIES
from domains.genomics.sequences.records import RejectedRecord, SequenceRecord
from ui import upload
from ui.table import table

MOST_RECORDS = 200
MOST_BASES = 200_000
"""More than these is work for the tab Files: a page should answer at once."""

MOST_REFUSED = 20

POLICY_WORDS = {
    "split": "Cut the sequence there",
    "mask": "Keep them as N",
    "resolve": "Draw a base, always the same",
    "error": "Refuse the record",
}

TYPES = [
    *("fa", "fasta", "fna", "ffn", "fas", "fq", "fastq", "gb", "gbk", "gbff", "embl", "bed", "gff", "gff3", "gtf"),
    *("csv", "tsv", "tab", "txt", "parquet", "gz", "bgz", "bz2", "xz", "2bit"),
]


@dataclass(frozen=True)
class Sequences:
    """What was read: records, what was refused, and whether there was more than the page takes."""

    records: tuple[SequenceRecord, ...] = ()
    refused: tuple[RejectedRecord, ...] = ()
    cut: str = ""


def choose_sequences() -> Sequences:
    """The widgets, and what they hold."""
    if "genomics-paste" not in st.session_state:
        st.session_state["genomics-paste"] = ""
    left, right = st.columns([3, 2], gap="large")
    with right:
        files = st.file_uploader(
            "Or drop files",
            type=TYPES,
            accept_multiple_files=True,
            key="sequence-files",
            help="FASTA, FASTQ, GenBank, EMBL, BED or GFF with a reference, CSV, TSV, parquet; gz, bgzip, bz2, xz",
        )
        with st.expander("Reference and ambiguous letters"):
            reference = st.file_uploader(
                "Reference FASTA, for BED and GFF", type=["fa", "fasta", "fna", "gz", "bgz"], key="sequence-reference"
            )
            policy = st.selectbox(
                "Letters such as N and R",
                POLICIES,
                POLICIES.index("mask"),
                format_func=POLICY_WORDS.__getitem__,
                key="policy",
            )
    with left:
        text = st.text_area(
            "Sequences",
            height=150,
            key="genomics-paste",
            placeholder=">name\nACGT...\n\nFASTA, or a sequence on each line",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Load an example", key="example", on_click=_load_example, icon=":material/science:")
            st.caption("Simulated DNA of no organism; nothing is downloaded.")
    spooled, refused = upload.spool(files or [], upload.spool_folder())
    for each in refused:
        st.warning(f"{each.name}: {each.reason}.")
    named, lost = upload.spool([reference] if reference else [], upload.spool_folder())
    for each in lost:
        st.warning(f"{each.name}: {each.reason}.")
    return _read(text, tuple(file.path for file in spooled), named[0].path if named else None, str(policy))


def _load_example() -> None:
    st.session_state["genomics-paste"] = example_fasta()


@st.cache_data(show_spinner=False)
def example_fasta() -> str:
    """A stretch of a simulated genome and windows with known answers, as FASTA."""
    from domains.genomics.data.labelled import read_labelled

    folder = example_folder()
    rows = read_labelled(folder)
    parts = []
    for task in rows.tasks:
        shown: dict[str, int] = {}
        for index in rows.rows(task=task, split="test"):
            shown.setdefault(str(rows.label[index]), int(index))
        for label, index in list(shown.items())[-1:]:
            parts.append(f">{task}_{label[:24].replace(' ', '_')}\n{rows.sequences[index]}\n")
    genome = (folder / "genome.fa").read_text().split(">")[1].split("\n", 1)[1].replace("\n", "").strip("N")
    return f">chr1_start\n{genome[:1200]}\n" + "".join(parts)


def example_folder() -> Path:
    """A small simulated data set, made where it is missing: ``genome.fa``, ``variants.vcf``, labelled windows."""
    from domains.genomics.simulator import SampleSize, sample

    folder = upload.spool_folder() / "genomics-example-1"
    if not (folder / "variants.vcf").is_file():
        sample(folder, size=SampleSize(windows=7, functions=12, needles=0, variants=6), seed=5)
    return folder


@st.cache_data(max_entries=20, show_spinner="Reading the sequences ...")
def _read(text: str, paths: tuple[Path, ...], reference: Path | None, policy: str) -> Sequences:
    return read_sequences(text, paths, reference, policy)


def read_sequences(text: str, paths: Sequence[Path], reference: Path | None, policy: str) -> Sequences:
    """Records of a pasted text and of files, in this order; at most `MOST_RECORDS`, and `MOST_BASES` in all."""
    from domains.genomics.readers import read_records

    records: list[SequenceRecord] = []
    refused: list[RejectedRecord] = []
    bases, cut = 0, ""
    sources: list[Any] = [BytesIO(text.encode())] if text.strip() else []
    for source in [*sources, *paths]:
        try:
            stream = read_records(source, reference=reference, policy=policy)
            # A stream without end would otherwise be read on for its refused records.
            for entry in islice(stream, 20 * MOST_RECORDS):
                if isinstance(entry, RejectedRecord):
                    refused.append(entry)
                    continue
                bases += len(entry.sequence)
                if len(records) >= MOST_RECORDS or bases > MOST_BASES:
                    cut = (
                        f"Only the first {len(records)} sequences are shown: this page takes {MOST_RECORDS} sequences "
                        f"and {MOST_BASES:,} bases. The tab Files takes any number."
                    )
                    break
                records.append(entry)
        except ValueError as error:
            path = source if isinstance(source, Path) else None
            refused.append(RejectedRecord(path, "", 0, "unreadable", str(error), ""))
        if cut:
            break
    return Sequences(tuple(records), tuple(refused), cut)


def refused_words(record: RejectedRecord) -> str:
    """A refusal in one line for people, with the file's name and without its folder."""
    place = record.source.name if record.source is not None else "Text"
    place += f", line {record.line}" if record.line else ""
    named = f"{record.name}: " if record.name and not record.reason.startswith(f"{record.name}: ") else ""
    return f"{place}: {named}{record.reason}" + (f"; {record.remedy}" if record.remedy else "") + "."


def show_refused(refused: Sequence[RejectedRecord]) -> None:
    """One line for each record that was refused or renamed."""
    if not refused:
        return
    lines = [refused_words(record) for record in refused[:MOST_REFUSED]]
    if len(refused) > MOST_REFUSED:
        lines.append(f"And {len(refused) - MOST_REFUSED} more.")
    text = "\n".join(f"- {_plain(line)}" for line in lines) if len(lines) > 1 else _plain(lines[0])
    (st.warning if any(record.lost for record in refused) else st.info)(text, icon=":material/warning:")


def _plain(text: str) -> str:
    """Text without the signs that Markdown would act on."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#$~" else c for c in text)


def choose_record(records: Sequence[SequenceRecord]) -> int:
    """Place of the record that the charts show."""
    if len(records) == 1:
        return 0
    place = st.selectbox(
        "Shown sequence",
        range(len(records)),
        format_func=lambda index: f"{records[index].name} ({len(records[index].sequence):,} bases)",
        key="record",
    )
    return min(place or 0, len(records) - 1)


def signature(*parts: object) -> str:
    """SHA-256 of what was asked, for answers that stay as long as the question does."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def kept(key: str, asked: str, make: Any) -> Any:
    """What `make` gives, made once as long as `asked` stays the same."""
    held = st.session_state.get(key)
    if held is None or held[0] != asked:
        held = st.session_state[key] = (asked, make())
    return held[1]


def input_table(records: Sequence[SequenceRecord]) -> None:
    """The records as they were read."""
    rows = [
        {
            "Sequence": record.name,
            "Bases": len(record.sequence),
            "G and C": f"{gc_share(record.sequence):.0%}",
            "Ambiguous letters": record.ambiguous,
        }
        for record in records
    ]
    with st.expander(f"{len(records)} sequences read" if len(records) != 1 else "1 sequence read"):
        table(rows, "Sequences")


def gc_share(sequence: str) -> float:
    """Share of G and C among the known bases.

    >>> gc_share("GGCAN")
    0.75
    """
    known = sum(sequence.count(base) for base in "ACGT")
    return (sequence.count("G") + sequence.count("C")) / known if known else 0.0
