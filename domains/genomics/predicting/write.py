"""The files of answered sequences: a table a case, pictures, and one table of the whole batch."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.genomics.predicting.predictions import COLUMNS, PREDICTIONS
from polyhead.application import RESEARCH_USE
from polyhead.batch.case import Record, Writer
from polyhead.system.spreadsheet import TableWriter, genuine

if TYPE_CHECKING:
    from domains.genomics.answers.image import ImageAnswer
    from domains.genomics.answers.vqvae import VqVae

RESULT_FILE, THUMBNAIL_FILE = "result.json", "thumbnail.png"
FORMATS = ("tsv", "csv", "parquet")

PLACE = ("record", "contig", "start", "end", "strand", "windows", "kind", "probability")
"""Columns of a case's table besides those of `domains.genomics.predicting.predictions`."""

NO_CODEC = "the run keeps no codec, the pictures show the codes themselves"

_WHOLE_SEQUENCE = 20_000
_SIDE = 96


@dataclass(frozen=True)
class Row:
    """One answer to one task about one stretch.

    Attributes:
        start, end: 0-based and half-open, on the forward strand of `contig`.
        answer: the likeliest label, a number, a text, or the codes of an image.
        probability: of the answer.
        probabilities: of all labels of a class.
        windows: windows whose mean it is.
    """

    record: str
    contig: str
    start: int
    end: int
    strand: str
    sequence: str
    task: str
    kind: str
    answer: str
    probability: float
    probabilities: Mapping[str, float] = field(default_factory=dict)
    windows: int = 1


@dataclass(frozen=True)
class Answered:
    """The rows of a case, and what should be said of them."""

    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()


def write_answers(
    answered: Answered,
    out: Writer,
    *,
    images: Mapping[str, ImageAnswer],
    codecs: Mapping[str, VqVae],
) -> Record:
    """Writes ``predictions.csv``, ``result.json`` and, of what is saved, pictures of image answers and of the counts.

    The table has a row an answer; ``sequence`` is left empty above 20,000 bases, ``probabilities`` is a JSON object.

    Args:
        images: the image answers of the run.
        codecs: what draws them, by task; those of the others are drawn as codes, which the record's warnings say.

    Returns:
        the record of the case.
    """
    out.write_bytes(PREDICTIONS, _table(answered.rows).encode())
    counts: dict[str, Counter[str]] = {}
    for row in answered.rows:
        counts.setdefault(row.task, Counter())[row.answer if row.kind == "classes" else row.kind] += 1
    drawn, bare = 0, dict[str, None]()
    if out.saves("pictures"):
        for number, row in enumerate(answered.rows, 1):
            if row.task in images:
                out.write_bytes(f"images/{number:05d}.png", picture(row.answer, images[row.task], codecs.get(row.task)))
                drawn += 1
                bare |= {} if row.task in codecs else {row.task: None}
    facts = {
        "records": len({row.record for row in answered.rows}),
        "rows": len(answered.rows),
        "bases": sum({(row.record, row.start, row.end): row.end - row.start for row in answered.rows}.values()),
        "windows": sum({(row.record, row.start, row.end): row.windows for row in answered.rows}.values()),
        "answers": {task: dict(found.most_common()) for task, found in counts.items()},
        "mean_probability": {
            task: round(float(np.mean([row.probability for row in answered.rows if row.task == task])), 6)
            for task in counts
        },
        "pictures": drawn,
        "warnings": [*answered.warnings, *(f"{task}: {NO_CODEC}" for task in bare)],
    }
    out.write_json(RESULT_FILE, {"research_use": RESEARCH_USE, **facts})
    shown = {name: facts[name] for name in facts if name not in ("answers", "mean_probability")}
    by_task = {
        task: {"answer": _counted(found), "mean probability": facts["mean_probability"][task]}
        for task, found in counts.items()
    }
    record: Record = {"answer": _words(counts), **shown, "tasks": by_task}
    if out.saves("thumbnails"):
        out.write_bytes(THUMBNAIL_FILE, counts_picture(counts))
        record["thumbnail"] = THUMBNAIL_FILE
    return record


def _words(counts: Mapping[str, Counter[str]], most: int = 4) -> str:
    """The answers of a case in a few words."""
    said = []
    for task, found in list(counts.items())[:most]:
        said.append(f"{task}: {_counted(found)}")
    rest = len(counts) - most
    return "; ".join(said) + (f"; {rest} more tasks" if rest > 0 else "")


def _counted(found: Counter[str]) -> str:
    """The two commonest answers to a task with their counts, and how many others there are."""
    said = ", ".join(f"{label} {count}" for label, count in found.most_common(2))
    rest = sum(found.values()) - sum(count for _, count in found.most_common(2))
    return said + (f", other {rest}" if rest else "")


def _table(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    table = TableWriter(text)
    table.writerow([*COLUMNS, *PLACE])
    for row in rows:
        shares = {label: _short(value) for label, value in row.probabilities.items()}
        told = json.dumps(shares, allow_nan=False, ensure_ascii=False) if shares else ""
        sequence = row.sequence if len(row.sequence) <= _WHOLE_SEQUENCE else ""
        place = (row.record, row.contig, row.start, row.end, row.strand, row.windows, row.kind, _short(row.probability))
        table.writerow([sequence, row.task, row.answer, told, *place])
    return text.getvalue()


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def picture(codes: str, answer: ImageAnswer, codec: VqVae | None) -> bytes:
    """A PNG of an image answer: drawn by its codec where there is one, else its codes as grey squares."""
    from PIL import Image

    grid = np.array([int(word) for word in codes.split()]).reshape(answer.grid)
    pixels = grid / max(answer.codes - 1, 1) if codec is None else np.asarray(codec.decode(grid[None]))[0]
    image = Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8))
    scale = max(1, _SIDE // max(image.size))
    return _png(image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST))


def counts_picture(counts: Mapping[str, Counter[str]], most: int = 8) -> bytes:
    """A small PNG: for each task a bar of its labels' shares."""
    from PIL import Image, ImageDraw

    shown = list(counts.items())[:most]
    width, line = 240, 22
    image = Image.new("RGB", (width, max(1, len(shown)) * line + 4), "white")
    draw = ImageDraw.Draw(image)
    for number, (task, found) in enumerate(shown):
        top, left, total = 2 + number * line, 0.0, sum(found.values())
        for place, (_, count) in enumerate(sorted(found.items())):
            right = left + width * count / total
            draw.rectangle((left, top + 12, right, top + 19), fill=_COLOURS[place % len(_COLOURS)])
            left = right
        draw.text((1, top), task[:38].encode("latin-1", "replace").decode("latin-1"), fill="black")
    return _png(image)


_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")


def _png(image: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def merge(out: Path, rows: Iterable[Mapping[str, Any]], labels: Mapping[str, Sequence[str]], ending: str) -> Path:
    """Writes ``answers.tsv`` (or .csv, .parquet) of all cases that were answered, in their order, in constant memory.

    Columns: record, contig, start, end (0-based, half-open), strand, windows, task, kind, answer, probability, and
    ``p:LABEL`` for every label of any task, empty where a task does not have it.

    Args:
        rows: of ``results.jsonl``.
        labels: for each classification task its labels.
        ending: one of `FORMATS`.
    """
    if ending not in FORMATS:
        raise ValueError(f"answers are written as {', '.join(FORMATS)}, not as {ending!r}")
    names = list(dict.fromkeys(label for each in labels.values() for label in each))
    columns = ["record", "contig", "start", "end", "strand", "windows", "task", "kind", "answer", "probability"]
    path = out / f"answers.{ending}"
    done = (out / str(row["id"]) for row in rows if row["status"] in ("ok", "skipped"))
    lines = (
        ([row[name] for name in columns], json.loads(row["probabilities"] or "{}"))
        for folder in done
        for row in _rows_of(folder / PREDICTIONS)
    )
    for other in FORMATS:
        if other != ending:
            (out / f"answers.{other}").unlink(missing_ok=True)
    from polyhead.system.files import replacing

    with replacing(path) as temporary:
        if ending == "parquet":
            _write_parquet(temporary, columns, names, lines)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                table = TableWriter(stream, delimiter="\t" if ending == "tsv" else ",")
                table.writerow([*columns, *(f"p:{name}" for name in names)])
                table.writerows([*cells, *(shares.get(name, "") for name in names)] for cells, shares in lines)
    return path


def _rows_of(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {name: genuine(cell) for name, cell in row.items()}


def _write_parquet(
    path: Path, columns: Sequence[str], names: Sequence[str], lines: Iterator[tuple[list[str], dict[str, float]]]
) -> None:
    from itertools import islice

    import pyarrow as arrow
    from pyarrow import parquet

    numbers = {"start": arrow.int64(), "end": arrow.int64(), "windows": arrow.int64(), "probability": arrow.float64()}
    fields = [(name, numbers.get(name, arrow.string())) for name in columns]
    fields += [(f"p:{name}", arrow.float64()) for name in names]
    schema = arrow.schema(fields, metadata={"use": RESEARCH_USE})
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(lines, 10_000)):
            whole = ("start", "end", "windows")
            cells: list[list[Any]] = [[row[place] for row, _ in batch] for place in range(len(columns))]
            for place, name in enumerate(columns):
                if name in numbers:
                    cells[place] = [int(cell) if name in whole else float(cell) for cell in cells[place]]
            cells += [[shares.get(name) for _, shares in batch] for name in names]
            writer.write_table(
                arrow.Table.from_arrays(
                    [arrow.array(c, t) for c, t in zip(cells, schema.types, strict=True)], schema=schema
                )
            )
