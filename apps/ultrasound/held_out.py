"""Which rows of a data set a prediction may honestly be scored on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import Split
from polyhead.runs.run import Run
from polyhead.system.folders import BATCH_FILE


def rows_to_score(
    predictions: Path, data: Path, which: Literal["auto", "all", "held-out"]
) -> tuple[list[Row], list[Row] | None, int, str]:
    """The rows to score, those that the model was trained on if they are known, how many there are in all, and a line.

    A batch names its run, and a run its split. Where the split is of this very data, "auto" scores the validation
    side only: scores on rows that were trained on say little.

    Raises:
        ValueError: "held-out" is asked and the split is not known, or is of other data.
    """
    rows = read_tables(data).rows
    split, reason = _split(predictions, rows)
    if which == "all" or (split is None and which == "auto"):
        note = f"; {reason}" if split is None else f", {len(split.train)} of which the model was trained on"
        return rows, list(split.train) if split else None, len(rows), f"scoring all {len(rows)} rows{note}"
    if split is None:
        raise ValueError(f"--rows held-out: {reason}")
    trained = {row.image_path for row in split.train}
    held = [row for row in rows if row.image_path not in trained]
    if not held:
        raise ValueError("the model was trained on every row of this data set; --rows all scores them nevertheless")
    words = f"scoring the {len(held)} rows that the model was not trained on (--rows all: all)"
    return held, list(split.train), len(rows), words


def _split(predictions: Path, rows: list[Row]) -> tuple[Split | None, str]:
    try:
        about = json.loads((predictions / BATCH_FILE).read_text(encoding="utf-8"))
        info = Run.open(about["info"]["run"]).info
    except (OSError, ValueError, KeyError, TypeError):
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
