"""The whole-set files of the FM_UIA challenge, gathered from the results of a batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from domains.medical.intake.masks import read_stored_mask
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.predicting.predictions import (
    FILES,
    SUBFOLDER,
    Answer,
    BoxAnswer,
    ClassAnswer,
    MaskAnswer,
    PointsAnswer,
    mask_file,
    write_predictions,
)
from domains.medical.ultrasound.predicting.write import RESULT_FILE
from polyhead.batch.case import Case


def write_challenge(out: Path, data: Path, cases: Iterable[Case], done: Iterable[str]) -> list[Row]:
    """Writes ``OUT/fm-uia/``: the three JSON files and ``Segmentation/...``, in the order of the tables.

    Args:
        out: the batch's folder.
        data: the FM_UIA data root whose rows were asked.
        cases: the cases of the batch.
        done: ids of the cases that are done.

    Returns:
        The rows that have no answer, because their case failed or the model lacks their task.
    """
    rows = read_tables(data, labels=False).rows
    finished = set(done)
    # An image that is listed under several spellings of its path has several cases, each with tasks of its own.
    home = {(case.path, task): case.id for case in cases if case.id in finished for task in case.tasks}
    missing: list[Row] = []
    folder = out / SUBFOLDER
    written = set(write_predictions(folder, rows, _answers(out, rows, home, missing)))
    # Files of an earlier batch must not answer rows that this one left unanswered.
    stale: set[Path] = set()
    for row in missing:
        with suppress(ValueError):
            stale |= {folder / mask_file(row)} if row.kind == "segmentation" else set()
    for file in (stale | {folder / name for name in FILES.values()}) - written:
        file.unlink(missing_ok=True)
    return missing


def _answers(
    out: Path, rows: Sequence[Row], home: Mapping[tuple[Path, str], str], missing: list[Row]
) -> Iterator[Answer | None]:
    known: tuple[str, dict[str, Any]] = ("", {})
    for row in rows:
        case = home.get((row.image, row.task))
        if case is None:
            missing.append(row)
            yield None
            continue
        if known[0] != case:
            known = (case, json.loads((out / case / RESULT_FILE).read_text(encoding="utf-8")))
        result = known[1]
        entry = result["tasks"].get(row.task)
        if entry is None:
            missing.append(row)
            yield None
            continue
        yield _answer(entry, (result["width"], result["height"]), out / case)


def _answer(entry: Mapping[str, Any], size: tuple[int, int], folder: Path) -> Answer:
    if "mask" in entry:
        return MaskAnswer(read_stored_mask(folder / entry["mask"]).values)
    if "probabilities" in entry:
        return ClassAnswer(tuple(entry["probabilities"]), entry["class"])
    if "box" in entry:
        x_min, y_min, x_max, y_max = entry["box"]
        return BoxAnswer((x_min, y_min, x_max, y_max), size)
    return PointsAnswer(tuple((x, y) for x, y in entry["points"]), size)
