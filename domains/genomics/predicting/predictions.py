"""Answers to sequences on disk: a table of sequence, task, answer and, of classes, the probabilities."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from polyhead.batch.folder import RESULTS
from polyhead.evaluation.report import Problem
from polyhead.system.spreadsheet import TableWriter, genuine

PREDICTIONS = "predictions.csv"
_ROUNDING = 1e-3
COLUMNS = ("sequence", "task", "answer", "probabilities")


@dataclass(frozen=True)
class Prediction:
    """One answer as it is written: a class, a number, a text or the codes of an image.

    Attributes:
        sequence: upper-case bases that were asked.
        task: what was asked.
        answer: None where the model had none.
        probabilities: of classes, by label; empty where none were given.
    """

    sequence: str
    task: str
    answer: str | None
    probabilities: Mapping[str, float]


def prediction_table(rows: Iterable[Prediction]) -> str:
    """The rows as CSV with the columns `COLUMNS`; probabilities are a JSON object, in six figures."""
    text = io.StringIO(newline="")
    writer = TableWriter(text)
    writer.writerow(COLUMNS)
    for row in rows:
        shares = {label: float(f"{value:.6g}") for label, value in row.probabilities.items()}
        told = json.dumps(shares, allow_nan=False, ensure_ascii=False) if shares else ""
        writer.writerow([row.sequence, row.task, "" if row.answer is None else row.answer, told])
    return text.getvalue()


def read_predictions(path: Path, problems: list[Problem] | None = None) -> dict[tuple[str, str], Prediction]:
    """The predictions of a table, or of all tables ``predictions.csv`` (also .gz) below a folder.

    Other columns are left alone, and so are rows whose sequence is empty because it was too long to be written. Where
    a sequence was answered twice, in batches of different sizes, its first row stands.

    Args:
        path: a table or a folder.
        problems: takes a line for each row that is broken, and for each question that has two different answers, which
            then has none; without it such a row is an error.

    Returns:
        by (sequence in upper case, task).

    Raises:
        ValueError: no table, missing columns, broken probabilities, or two different answers to one question.
    """
    files = [path] if path.is_file() else _tables(path)
    if not files:
        raise ValueError(f"{path} holds no {PREDICTIONS}: it is not the OUT of `polyhead genomics predict`")
    found: dict[tuple[str, str], Prediction] = {}
    contradicted: set[tuple[str, str]] = set()
    for file in files:
        for line, row in _rows(file):
            try:
                each = _prediction(row)
                if not each.sequence:
                    continue
                question = (each.sequence, each.task)
                known = found.setdefault(question, each)
                if known.answer != each.answer and not _near(known, each):
                    contradicted.add(question)
                    raise ValueError(
                        f"the task {each.task!r} has two answers to one sequence, {known.answer!r} and "
                        f"{each.answer!r}; give the results of one run"
                    )
            except ValueError as fault:
                where = f"{file}, line {line}"
                if problems is None:
                    raise ValueError(f"{where}: {fault}") from None
                problems.append(Problem("prediction-invalid", where, str(fault), "counts as no answer"))
    return {question: each for question, each in found.items() if question not in contradicted}


def _tables(folder: Path) -> list[Path]:
    """The tables of the cases that a batch was last asked for: others may be another model's. All, where it is none."""
    names = (PREDICTIONS, f"{PREDICTIONS}.gz")
    if not (folder / RESULTS).is_file():
        return sorted(file for name in names for file in folder.rglob(name))
    with (folder / RESULTS).open(encoding="utf-8") as rows:
        asked = [folder / json.loads(row)["id"] / name for row in rows for name in names]
    return sorted(file for file in asked if file.is_file())


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]
        if missing:
            columns = ", ".join(reader.fieldnames or ()) or "none"
            raise ValueError(f"{file} has no column {', '.join(missing)}; its columns: {columns}")
        for row in reader:
            yield (
                reader.line_num,
                {name: genuine(cell) if isinstance(cell, str) else cell for name, cell in row.items()},
            )


def _prediction(row: Mapping[str, str | None]) -> Prediction:
    sequence, task = row["sequence"], row["task"]
    if sequence is None or task is None:
        raise ValueError("the row has fewer fields than the table has columns")
    return Prediction(sequence.upper(), task, row["answer"] or None, _probabilities(row.get("probabilities") or ""))


def _near(first: Prediction, second: Prediction) -> bool:
    """Whether two answers are one but for rounding, which decides between classes that are as good as even."""
    labels = {*first.probabilities, *second.probabilities}
    return bool(labels) and all(
        math.isclose(first.probabilities.get(label, 0), second.probabilities.get(label, 0), abs_tol=_ROUNDING)
        for label in labels
    )


def _probabilities(text: str) -> dict[str, float]:
    if not text:
        return {}
    try:
        shares = {str(label): float(value) for label, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"probabilities are a JSON object of label and number, got {text[:60]!r}") from None
    if not all(math.isfinite(value) and value >= 0 for value in shares.values()) or not sum(shares.values()) > 0:
        raise ValueError("probabilities must be finite, not negative, and not all zero")
    return shares
