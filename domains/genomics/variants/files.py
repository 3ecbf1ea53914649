"""Scored variants as a table and as VCF: the source's own lines with the model's values in INFO."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from domains.genomics.sequences.records import RejectedRecord
from domains.genomics.variants.effects import VariantScore
from polyhead.application import RESEARCH_USE
from polyhead.system.files import replacing
from polyhead.system.spreadsheet import TableWriter

Scored = VariantScore | RejectedRecord
Labels = Mapping[str, Sequence[str]]

_OURS = "POLYHEAD_"
_FIXED = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")


def shown_labels(labels: Labels) -> list[tuple[str, int, str]]:
    """Task, place and name of the labels that have columns: of two labels the second, else all."""
    return [
        (task, place, name)
        for task, names in labels.items()
        for place, name in enumerate(names)
        if len(names) != 2 or place == 1
    ]


def write_variant_table(rows: Iterable[Scored], path: Path, labels: Labels) -> dict[str, int]:
    """Writes a row for every variant and for everything rejected; ``.csv`` has commas, any other name tabs, ``.gz`` is
    packed.

    Positions count from 1. ``log_ratio`` is in nats; for every task ``TASK:LABEL.ref``, ``.alt`` and ``.change`` are
    probabilities. A rejected row has its code and reason in the last two columns and nothing between.

    Returns:
        how many were ``scored`` and how many ``rejected``.
    """
    columns = shown_labels(labels)
    names = ["line", "name", "chrom", "pos", "id", "ref", "alt"]
    names += ["log_ratio", "log_ratio_forward", "log_ratio_reverse", "spread", "readings", "ambiguous"]
    names += [f"{task}:{label}.{what}" for task, _, label in columns for what in ("ref", "alt", "change")]
    counts = {"scored": 0, "rejected": 0}
    with replacing(path) as temporary, _text(temporary, path.name) as stream:
        plain = path.name.removesuffix(".gz").removesuffix(".bgz")
        table = TableWriter(stream, delimiter="," if plain.endswith(".csv") else "\t")
        table.writerow([*names, "rejected", "reason"])
        for row in rows:
            if isinstance(row, RejectedRecord):
                counts["rejected"] += 1
                reason = row.reason + (f"; {row.remedy}" if row.remedy else "")
                table.writerow([row.line, row.name, *[""] * (len(names) - 2), row.code, reason])
                continue
            counts["scored"] += 1
            variant = row.variant
            cells = [variant.source_line, variant.name, row.contig, variant.position + 1]
            cells += [variant.id, variant.ref, variant.alt, _number(row.log_ratio)]
            cells += [_number(row.by_strand.get(strand)) for strand in "+-"]
            cells += [_number(row.spread), row.readings, _number(row.ambiguous)]
            for task, place, _ in columns:
                values = row.reference[task][place], row.alternative[task][place], row.change(task)[place]
                cells += [_number(float(value)) for value in values]
            table.writerow([*cells, "", ""])
    return counts


def write_variant_vcf(
    rows: Iterable[Scored],
    path: Path,
    labels: Labels,
    *,
    source: Path | None = None,
    contigs: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Writes VCF with the model's values in INFO, packed with bgzip where `path` ends in ``.gz`` or ``.bgz``.

    With `source`, a VCF file, its header and lines are kept as they are, in their order, and the values are added, one
    for each alternative (``.`` for one that was rejected). Without, every variant gets a line of its own, in the order
    of `rows`, and rejected rows have none: there is no allele to write.

    Args:
        source: the file that `rows` come from, which is read a second time; not the standard input.
        contigs: lengths for a header that has none.

    Returns:
        how many were ``scored`` and how many ``rejected``.
    """
    columns = _columns(labels)
    counts = {"scored": 0, "rejected": 0}

    def counted() -> Iterator[Scored]:
        for row in rows:
            counts["rejected" if isinstance(row, RejectedRecord) else "scored"] += 1
            yield row

    with replacing(path) as temporary, _text(temporary, path.name) as stream:
        if source is not None:
            lines = _annotated(source, counted(), columns, contigs or {})
        else:
            lines = _own(counted(), columns, contigs or {})
        for line in lines:
            stream.write(line + "\n")
    return counts


Column = tuple[str, str, int, str]
"""INFO key, task, place of the label, and "ref" or "change"."""


def _columns(labels: Labels) -> list[Column]:
    found: list[Column] = []
    taken: set[str] = set()
    for task, place, label in shown_labels(labels):
        names = [task] if len(labels[task]) == 2 else [task, label]
        key = re.sub("[^0-9A-Za-z]+", "_", "_".join(["POLYHEAD", *names]))
        while key in taken:
            key += "_"
        taken.add(key)
        found += [(f"{key}_{what.upper()}", task, place, what) for what in ("ref", "change")]
    return found


def _header(columns: Sequence[Column]) -> list[str]:
    def info(key: str, number: str, kind: str, words: str) -> str:
        return f'##INFO=<ID={key},Number={number},Type={kind},Description="{words}">'

    lines = [f"##polyhead={RESEARCH_USE}"]
    lines.append(info("POLYHEAD_LLR", "A", "Float", "log P(ALT) - log P(REF) in nats, mean of all readings"))
    lines.append(
        info("POLYHEAD_LLR_SD", "A", "Float", "Standard deviation of POLYHEAD_LLR over strands and token boundaries")
    )
    lines.append(info("POLYHEAD_REJECTED", ".", "String", "Why an allele of the line was not scored"))
    for key, task, place, what in columns:
        said = "Probability with REF" if what == "ref" else "Probability with ALT less that with REF"
        words = f"{said}: task {task}, label number {place + 1}".replace('"', "'").replace("\\", "/")
        lines.append(info(key, "A", "Float", words))
    return lines


def _values(items: Sequence[Scored], columns: Sequence[Column], alternatives: int) -> str:
    """The INFO entries of one line, one value for each of its alternatives."""
    scores = [item if isinstance(item, VariantScore) else None for item in items]
    parts = []
    # A line that was rejected as a whole has one item, whatever it holds.
    if any(scores) and len(items) == alternatives:
        values = {
            "POLYHEAD_LLR": [None if score is None else score.log_ratio for score in scores],
            "POLYHEAD_LLR_SD": [None if score is None else score.spread for score in scores],
        }
        for key, task, place, what in columns:
            values[key] = [
                None
                if score is None
                else float((score.reference[task] if what == "ref" else score.change(task))[place])
                for score in scores
            ]
        parts += [f"{key}={','.join(_number(value) or '.' for value in line)}" for key, line in values.items()]
    codes = dict.fromkeys(item.code for item in items if isinstance(item, RejectedRecord))
    if codes:
        parts.append("POLYHEAD_REJECTED=" + ",".join(codes))
    return ";".join(parts)


def _own(rows: Iterable[Scored], columns: Sequence[Column], contigs: Mapping[str, int]) -> Iterator[str]:
    yield "##fileformat=VCFv4.3"
    yield from (f"##contig=<ID={name},length={length}>" for name, length in contigs.items())
    yield from _header(columns)
    yield "#" + "\t".join(_FIXED)
    for row in rows:
        if isinstance(row, VariantScore):
            variant = row.variant
            fixed = [row.contig, str(variant.position + 1), variant.id or ".", variant.ref, variant.alt, ".", "."]
            yield "\t".join([*fixed, _values([row], columns, 1)])


def _annotated(
    source: Path, rows: Iterable[Scored], columns: Sequence[Column], contigs: Mapping[str, int]
) -> Iterator[str]:
    """The lines of a VCF file; `rows` come in its order, each with the number of its line."""
    from domains.genomics.readers.stream import Lines, Source

    groups = groupby(rows, key=lambda row: row.line if isinstance(row, RejectedRecord) else row.variant.source_line)
    line_items: tuple[int, list[Scored]] | None = None
    headed = False
    meta: list[str] = []
    with Source(source) as opened:
        lines = Lines(opened.text())
        for line in lines:
            if not line.strip():
                continue
            if line.startswith("##") and not headed:
                meta.append(line)
                continue
            if not headed:
                headed = True
                yield from _completed(meta, columns, contigs)
                if not line.startswith("#"):
                    width = len(_cells(line))
                    names = [f"SAMPLE{index + 1}" for index in range(max(0, width - 9))]
                    yield "#" + "\t".join([*_FIXED, *(["FORMAT", *names] if width > 8 else [])])
            if line.startswith("#"):
                yield line
                continue
            if line_items is None or line_items[0] < lines.number:
                line_items = next(((number, list(items)) for number, items in groups), None)
            items = line_items[1] if line_items is not None and line_items[0] == lines.number else []
            cells = _cells(line)
            if len(cells) < 5:
                # A row that is no VCF would make the file unreadable; `rows` say that it was rejected.
                continue
            cells += ["."] * (8 - len(cells))
            kept = [entry for entry in cells[7].split(";") if entry not in ("", ".") and not entry.startswith(_OURS)]
            cells[7] = ";".join(kept)
            if added := _values(items, columns, len(cells[4].split(","))):
                cells[7] = f"{cells[7]};{added}" if cells[7] else added
            cells[7] = cells[7] or "."
            yield "\t".join(cells)
    if not headed:
        yield from _completed(meta, columns, contigs)
        yield "#" + "\t".join(_FIXED)


def _completed(meta: Sequence[str], columns: Sequence[Column], contigs: Mapping[str, int]) -> Iterator[str]:
    """The header's lines before the columns' names, ours behind the source's; those of an earlier run are replaced."""
    if not meta or not meta[0].startswith("##fileformat"):
        yield "##fileformat=VCFv4.3"
    yield from (line for line in meta if not line.startswith(("##polyhead=", f"##INFO=<ID={_OURS}")))
    if not any(line.startswith("##contig") for line in meta):
        yield from (f"##contig=<ID={name},length={length}>" for name, length in contigs.items())
    yield from _header(columns)


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


@contextmanager
def _text(path: Path, name: str) -> Iterator[TextIO]:
    """A text stream into `path`, packed with bgzip where `name` says so."""
    if not name.endswith((".gz", ".bgz")):
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    import pysam

    with pysam.BGZFile(str(path), "wb", None) as packed:
        buffered = io.BufferedWriter(_Packing(packed), 1 << 16)
        with io.TextIOWrapper(buffered, "utf-8", newline="") as stream:
            yield stream


class _Packing(io.RawIOBase):
    """What a text stream needs of a bgzip file."""

    def __init__(self, packed: Any):
        self._packed = packed

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._packed.write(bytes(data))
        return len(data)
