"""Which rows of a data set a prediction may honestly be scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.chosen_epoch import run_of
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import Split
from polyhead.evaluation.report import Problem
from polyhead.runs.run import RunInfo


@dataclass(frozen=True)
class ToScore:
    """What is scored of a data set.

    Attributes:
        rows: the rows.
        training: rows that the model was trained on, None where that is not known.
        left: how many rows of the data set are not scored.
        problems: what is wrong with its tables.
        words: all of this in a line.
        run: the run that answered, None where it is not known.
        on_validation: whether its validation rows are among `rows`.
    """

    rows: list[Row]
    training: list[Row] | None
    left: int
    problems: list[Problem]
    words: str
    run: RunInfo | None = None
    on_validation: bool = False


def rows_to_score(
    predictions: Path, data: Path, which: Literal["auto", "all", "held-out"], *, official: bool = False
) -> ToScore:
    """The rows to score, and those that the model was trained on if they are known.

    A batch names its run, and a run its split. Where the split is of this very data, "auto" scores the validation
    side only: scores on rows that were trained on say little.

    Args:
        official: read the tables as the public scorer does.

    Raises:
        ValueError: "held-out" is asked and the split is not known, or is of other data.
    """
    tables = read_tables(data, scorer=official)
    rows = tables.rows
    info = run_of(predictions)
    split, reason = _split(info, rows)
    validated = split is not None and bool(split.validation)
    if which == "all" or (split is None and which == "auto"):
        note = f"; {reason}" if split is None else f", {len(split.train)} of which the model was trained on"
        training = list(split.train) if split else None
        return ToScore(rows, training, 0, tables.problems, f"scoring all {len(rows)} rows{note}", info, validated)
    if split is None:
        raise ValueError(f"--rows held-out: {reason}")
    trained = {row.image_path for row in split.train}
    held = [row for row in rows if row.image_path not in trained]
    if not held:
        raise ValueError("the model was trained on every row of this data set; --rows all scores them nevertheless")
    words = f"scoring the {len(held)} rows that the model was not trained on (--rows all: all)"
    return ToScore(held, list(split.train), len(rows) - len(held), tables.problems, words, info, validated)


def _split(info: RunInfo | None, rows: list[Row]) -> tuple[Split | None, str]:
    if info is None:
        return None, "which rows the model was trained on is not known here"
    recorded = info.data.get("split")
    if not recorded:
        return None, "the run records no split"
    sides = {*recorded["train"], *recorded["validation"]}
    try:
        # Rows that the checks left out of the training stand on neither side.
        split = Split.from_json(recorded, [row for row in rows if row.image_path in sides])
    except ValueError:
        return None, "none of these rows is known to have been trained on: the run's split is of other data"
    return split, ""
