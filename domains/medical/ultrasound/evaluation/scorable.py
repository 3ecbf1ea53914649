"""Which labelled rows are scored, by the true rule and by the public scorer's."""

from __future__ import annotations

from collections.abc import Sequence

from domains.medical.ultrasound.data.checks import OUTSIDE, label_problem
from domains.medical.ultrasound.data.masks import merge_masks
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.predicting.predictions import image_size, place
from polyhead.evaluation.report import Problem


def scorable(rows: Sequence[Row], *, official: bool) -> tuple[list[Row], list[Problem]]:
    """The rows that are scored, and a problem for each that is left out or whose label is odd.

    A row without a label is left out, as is one that training leaves out because its label cannot be right: a class
    that the task does not have, a box that is none, too few points. A box or point beyond the image is scored. Several
    masks of one image in a two-class task are one row. `official` leaves out rows without a label alone.
    """
    kept, problems = [], []
    for row in rows if official else merge_masks(rows):
        if not _has_label(row):
            problems.append(Problem("row-unlabelled", place(row), "no label to score against"))
            continue
        problem = None if official or row.kind == "segmentation" else label_problem(row, _size(row))
        if problem is None:
            kept.append(row)
        elif problem.code in OUTSIDE:
            kept.append(row)
            problems.append(Problem(problem.code, place(row), problem.reason, "scored as it stands; mend the table"))
        else:
            remedy = "left out of the scores; mend the table"
            problems.append(Problem(problem.code, place(row), problem.reason, remedy))
    return kept, problems


def _has_label(row: Row) -> bool:
    label = {"segmentation": row.mask, "classification": row.label, "detection": row.box, "keypoints": row.points}
    return label[row.kind] is not None


def _size(row: Row) -> tuple[int, int] | None:
    size = None if row.kind == "classification" else image_size(row.image)
    return None if size is None else (size[1], size[0])
