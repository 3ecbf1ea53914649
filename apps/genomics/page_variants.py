"""Variants: a reference and a file or typed lines in; likelihood ratios and changes of every task's answer out."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from apps.genomics.page_charts import variant_bars
from apps.genomics.page_input import example_folder, show_refused, signature
from apps.genomics.page_model import Loaded, task_title
from domains.genomics.sequences.records import RejectedRecord, SequenceRecord
from domains.genomics.variants.scored import USUAL_WINDOW
from polyhead.system.files import write_whole
from ui import upload
from ui.run_choice import sentence
from ui.table import table
from ui.theme import ink

if TYPE_CHECKING:
    from domains.genomics.readers.vcf import Variant
    from domains.genomics.variants.effects import VariantScore

Scored = list["VariantScore | RejectedRecord"]

MOST_VARIANTS = 200
MOST_BARS = 30
RATIO = "Log-likelihood ratio"

OWN, UPLOAD, SERVER, EXAMPLE = "My sequences", "Upload", "On the server", "Example"

_SPACE = re.compile(r"[\s,;:>]+")
_HEADER = "chrom\tpos\tref\talt"


@dataclass(frozen=True)
class Asked:
    """A reference file, and the variants with where they come from: a file, or None for typed ones."""

    reference: Path
    variants: tuple[Variant | RejectedRecord, ...]
    source: Path | None


def variants_part(model: Loaded, records: Sequence[SequenceRecord]) -> None:
    """The choice of reference and variants, the scores at a click, the table and the files."""
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("1. Reference")
        reference = _reference(records)
    with right:
        st.subheader("2. Variants")
        example = st.session_state.get("variant-reference") == EXAMPLE
        variants, source = _variants(example)
    if reference is None or not variants:
        if reference is not None:
            st.info("Type variants, or drop a file of them.")
        return
    cut = len(variants) > MOST_VARIANTS
    if cut:
        st.info(
            f"The first {MOST_VARIANTS} variants are scored here; `polyhead genomics variants` takes any number.",
            icon=":material/info:",
        )
    asked = Asked(reference, tuple(variants[:MOST_VARIANTS]), None if cut else source)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        usual = max(20, min(model.usual_window(), USUAL_WINDOW))
        size = st.number_input("Window (bases)", 20, 100_000, usual, 10, key=f"variant-window-{usual}")
        boundaries = st.number_input(
            "Token boundaries",
            1,
            8,
            1,
            key="boundaries",
            disabled=model.prefix is None,
            help="How many ways of cutting the window into tokens are averaged",
        )
        both = st.toggle("Both strands", value=True, key="variant-strands")
    key = signature(model.model.identity, id(model), asked, size, boundaries, both)
    held = st.session_state.get("genomics-variants")
    if held is None or held[0] != key:
        if not st.button(f"Score {len(asked.variants)} variants", type="primary", key="score-variants"):
            return
        with st.spinner("Scoring ..."):
            try:
                scores = scored(model, asked, int(size), int(boundaries), bool(both))
            except ValueError as error:
                st.error(sentence(error))
                return
        st.session_state["genomics-variants"] = (key, scores)
        # Run again without the button, which has nothing left to do.
        st.rerun()
    _results(model, asked, held[1], bool(both))


def _reference(records: Sequence[SequenceRecord]) -> Path | None:
    """The file that positions refer to, None where none is named yet or it cannot be read."""
    from domains.genomics.readers.reference import Reference

    kinds = [OWN, UPLOAD, SERVER, EXAMPLE]
    kind = st.segmented_control("Reference", kinds, default=kinds[0], required=True, wrap=True, key="variant-reference")
    path: Path | None = None
    try:
        if kind == OWN:
            if not records:
                st.info("Give sequences in the tab Sequences, or choose another reference.")
                return None
            path = reference_of(records)
        elif kind == EXAMPLE:
            path = example_folder() / "genome.fa"
        elif kind == SERVER:
            text = st.text_input("FASTA on the server", placeholder="/data/genome.fa", key="reference-path")
            path = upload.server_path(text) if text else None
        else:
            file = st.file_uploader(
                "Reference FASTA, plain or bgzip", type=["fa", "fasta", "fna", "gz", "bgz"], key="reference-file"
            )
            taken, refused = upload.spool([file] if file else [], upload.spool_folder())
            for each in refused:
                st.error(f"{each.name}: {each.reason}.")
            path = taken[0].path if taken else None
        if path is None:
            st.info("Name the reference that the positions refer to.")
            return None
        with Reference(path) as genome:
            names = [f"{name} ({length:,} bases)" for name, length in list(genome.contigs.items())[:5]]
            more = f" and {len(genome.contigs) - 5} more" if len(genome.contigs) > 5 else ""
    except ValueError as error:
        st.error(sentence(error))
        return None
    st.caption(f"Contigs: {', '.join(names)}{more}")
    return path


def reference_of(records: Sequence[SequenceRecord]) -> Path:
    """A FASTA file of the page's sequences, each a contig under its name."""
    text = "".join(f">{record.name}\n{record.sequence}\n" for record in records)
    path = upload.spool_folder() / f"reference-{signature(text)[:16]}" / "sequences.fa"
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, text.encode())
    return path


def _variants(example: bool) -> tuple[list[Variant | RejectedRecord], Path | None]:
    """The variants of a dropped file, else those that are typed, else those of the example."""
    from domains.genomics.readers import read_variants

    file = st.file_uploader(
        "VCF, or a table with chrom, pos, ref, alt",
        type=["vcf", "gz", "bgz", "csv", "tsv", "tab", "txt", "bcf"],
        key="variant-file",
    )
    taken, refused = upload.spool([file] if file else [], upload.spool_folder())
    for each in refused:
        st.error(f"{each.name}: {each.reason}.")
    if taken:
        return _first(read_variants(taken[0].path)), taken[0].path
    text = st.text_area(
        "Or type them: contig, position (from 1), reference, alternative",
        key="variant-text",
        placeholder="chr1 101 A G\nchr1:205:CT:C",
        height=110,
    )
    if text.strip():
        return typed_variants(text), None
    if example:
        st.caption("The example's own variants: half of them break a planted motif, half touch none.")
        path = example_folder() / "variants.vcf"
        return _first(read_variants(path)), path
    return [], None


def _first(variants: Iterator[Variant | RejectedRecord]) -> list[Variant | RejectedRecord]:
    """One more than are scored, so that the page knows that there are more."""
    return list(islice(variants, MOST_VARIANTS + 1))


def typed_variants(text: str) -> list[Variant | RejectedRecord]:
    """Typed lines such as ``chr1 101 A G``, ``chr1:101:A:G`` or ``chr1:101 A>G``; pasted VCF or a table as it is."""
    from domains.genomics.readers import read_variants

    lines = [line.strip() for line in text.splitlines()]
    first = next(line for line in lines if line)
    if first.startswith("#") or re.search(r"\b(pos|position)\b", first, re.IGNORECASE) or len(first.split()) >= 5:
        return list(read_variants(BytesIO(text.encode())))
    rows = []
    for line in lines:
        cells = [cell for cell in _SPACE.split(line) if cell]
        # Alternatives may be several, between commas, of which the splitting made cells.
        rows.append("\t".join([*cells[:3], ",".join(cells[3:])]) if len(cells) > 4 else "\t".join(cells))
    found = read_variants(BytesIO("\n".join([_HEADER, *rows]).encode()))
    # The header is ours: lines count from the first that was typed.
    return [
        replace(each, line=max(0, each.line - 1), source=None)
        if isinstance(each, RejectedRecord)
        else replace(each, source_line=each.source_line - 1)
        for each in found
    ]


def scored(model: Loaded, asked: Asked, size: int, boundaries: int, both: bool) -> Scored:
    """The scores of variants and the lines of those that have none, in their order."""
    from domains.genomics.readers.reference import Reference
    from domains.genomics.variants.effects import VariantWindows, score_variants

    windows = VariantWindows(size=size, boundaries=boundaries, strands="both" if both else "forward")
    with Reference(asked.reference) as genome:
        return list(
            score_variants(
                asked.variants,
                genome,
                model.comparer,
                tasks=model.model.scored,
                windows=windows,
                one_strand=model.asked.one_strand,
            )
        )


def _results(model: Loaded, asked: Asked, found: Scored, both: bool) -> None:
    scores = [each for each in found if not isinstance(each, RejectedRecord)]
    refused = [each for each in found if isinstance(each, RejectedRecord)]
    st.subheader("3. Effects")
    show_refused(refused)
    if not scores:
        st.info("No variant could be scored.")
        return
    _chart(model, scores)
    table(variant_rows(model, scores), f"{len(scores)} variants")
    alone = [task_title(task) for task in model.model.scored if not model.model.tasks[task].both_strands]
    strands = "The mean of both strands" if both else "The forward strand"
    st.caption(
        f"{strands}; ± is the standard deviation over the readings. Above zero, the model finds the alternative more "
        "likely than the reference. Of each task, the answer that changes most."
        + (f" {', '.join(alone)}: forward strand of the reference alone." if both and alone else "")
        + (" Probabilities are those before calibration." if model.calibrated else "")
    )
    with st.container(horizontal=True):
        for ending, words, mime in (("tsv", "Table (tsv)", "text/tab-separated-values"), ("vcf", "VCF", "text/plain")):
            st.download_button(
                words,
                data=lambda ending=ending: variant_file(model, asked, found, ending),
                file_name=f"variants.{ending}",
                mime=mime,
                on_click="ignore",
                key=f"get-variants-{ending}",
            )


def _chart(model: Loaded, scores: Sequence[VariantScore]) -> None:
    from domains.genomics.variants.files import shown_labels

    measures: dict[str, Any] = {RATIO: None}
    for task, place, label in shown_labels(model.labels):
        measures[f"{task_title(task)}: {label}"] = (task, place)
    chosen = str(st.selectbox("Shown", list(measures), key="variant-measure"))
    measure = measures[chosen]
    what = "log P(alternative) − log P(reference), nats" if measure is None else f"Change of P({chosen})"
    values = [each.log_ratio if measure is None else float(each.change(measure[0])[measure[1]]) for each in scores]
    order = sorted(range(len(scores)), key=lambda index: -abs(values[index]))[:MOST_BARS]
    names, drawn = [variant_name(scores[index]) for index in order], [values[index] for index in order]
    if len(scores) > MOST_BARS:
        st.caption(f"The {MOST_BARS} largest of {len(scores)}.")
    st.plotly_chart(
        variant_bars(names, drawn, what=what, ink=ink()),
        key="variant-bars",
        config={"displayModeBar": False},
        alt=f"{what}, largest first: {names[0]} {drawn[0]:+.3g}",
    )


def variant_name(score: VariantScore) -> str:
    """Contig, position from 1 and alleles; long alleles are cut."""
    variant = score.variant
    alleles = [
        allele if len(allele) <= 8 else f"{allele[:6]}… ({len(allele)})" for allele in (variant.ref, variant.alt)
    ]
    return f"{score.contig}:{variant.position + 1} {alleles[0]} → {alleles[1]}"


def variant_rows(model: Loaded, scores: Sequence[VariantScore]) -> list[dict[str, Any]]:
    """A row for each variant: its ratio, its spread, and for each task the label whose probability changes most."""
    rows = []
    for score in scores:
        place, _, alleles = variant_name(score).partition(" ")
        row: dict[str, Any] = {"Place": place, "Change": alleles, "ID": score.variant.id}
        row["Ratio (nats)"] = f"{score.log_ratio:+.3f} ± {score.spread:.3f}"
        for task in score.reference:
            most = int(np.abs(score.change(task)).argmax())
            before, after = score.reference[task][most], score.alternative[task][most]
            row[task_title(task)] = f"{model.labels[task][most]}: {before:.0%} → {after:.0%}"
        rows.append(row)
    return rows


def variant_file(model: Loaded, asked: Asked, found: Scored, ending: str) -> bytes:
    """The scores as `polyhead genomics variants` writes them: a table, or VCF with the source's own lines."""
    from domains.genomics.readers.reference import Reference
    from domains.genomics.variants.files import write_variant_table, write_variant_vcf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"variants.{ending}"
        if ending == "tsv":
            write_variant_table(found, path, model.labels)
        else:
            with Reference(asked.reference) as genome:
                source = asked.source if asked.source is not None and is_vcf(asked.source) else None
                write_variant_vcf(found, path, model.labels, source=source, contigs=genome.contigs)
        return path.read_bytes()


def is_vcf(path: Path) -> bool:
    """Whether a file is VCF and not a table."""
    from domains.genomics.readers.recognise import recognise
    from domains.genomics.readers.stream import Source, UnreadableSource

    try:
        with Source(path) as source:
            return recognise(source.head, path) == "vcf"
    except UnreadableSource:
        return False
