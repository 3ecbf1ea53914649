"""Scores that are means over images: masks, boxes and points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.medical.intake.masks import read_grey_mask
from domains.medical.ultrasound.data.geometry import nearest
from domains.medical.ultrasound.data.masks import Interpreted, outside, read_class_mask
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.metrics import (
    METRICS,
    box_iou,
    mask_scores,
    mean_radial_error,
    missing_mask_scores,
)
from domains.medical.ultrasound.evaluation.scored import Scored, Scoring
from domains.medical.ultrasound.predicting.predictions import BoxAnswer, MaskAnswer, PointsAnswer, image_size, place
from polyhead.batch.case import InvalidInput
from polyhead.evaluation.intervals import mean_replicates
from polyhead.evaluation.report import Problem


@dataclass(frozen=True)
class _RowScore:
    """Of one row, each (metrics, classes): the prediction's values, and those of each baseline by its name."""

    values: NDArray[np.float64]
    baselines: dict[str, NDArray[np.float64]]
    answered: bool


def score_by_row(rows: Sequence[Row], scoring: Scoring) -> Scored:
    """Metrics of the rows of one task that is no classification; classes are those of masks, else there is one.

    A row whose label cannot be read is listed and left out.
    """
    kind = rows[0].kind
    names = [metric.name for metric in METRICS[kind]]
    interpreted = Interpreted()
    found: list[_RowScore] = []
    kept: list[Row] = []
    for row in rows:
        try:
            found.append(_SCORE_ROW[kind](row, scoring, interpreted))
        except (ValueError, InvalidInput) as error:
            reason = error.reason if isinstance(error, InvalidInput) else str(error)
            remedy = "left out of the scores; mend the data"
            scoring.problems.append(Problem("row-unscorable", place(row), reason, remedy))
        else:
            kept.append(row)
    notes = [note.reason for note in interpreted.notes()]
    if not kept:
        nothing = dict.fromkeys(names, math.nan)
        return Scored(0, 0, 0, nothing, nothing, nothing, {}, notes=[*notes, "no row of this task can be scored"])

    table, answered = np.stack([each.values for each in found]), np.array([each.answered for each in found])
    chosen = answered if scoring.official else np.ones(len(kept), dtype=bool)
    images = [row.image_path for row, keep in zip(kept, chosen, strict=True) if keep]
    per_image = table[chosen].mean(axis=2)
    replicates = {}
    if images:
        for index, metric in enumerate(METRICS[kind]):
            replicates[metric.name] = mean_replicates(
                per_image[:, index], metric.bounds, groups=images, resamples=scoring.resamples, seed=scoring.seed
            )
    per_class = {}
    if kind == "segmentation" and images:
        per_class = {name: tuple(table[chosen, i].mean(axis=0).tolist()) for i, name in enumerate(names)}
    name, base = _better_baseline(found, higher_is_better=METRICS[kind][0].higher_is_better)
    if not np.isfinite(base).all():
        notes.append("the baseline leaves out rows whose image cannot be read, or has nothing to be fitted on")
    return Scored(
        rows=len(kept),
        missing=int((~answered).sum()),
        units=len(set(images)),
        penalised=_column_means(names, table),
        answered=_column_means(names, table[answered]),
        baseline=_column_means(names, base[np.isfinite(base).all(axis=(1, 2))]),
        replicates=replicates,
        baseline_name=name,
        per_class=per_class,
        notes=notes,
    )


def _better_baseline(found: Sequence[_RowScore], *, higher_is_better: bool) -> tuple[str, NDArray[np.float64]]:
    """Name and values (rows, metrics, classes) of the baseline that is the better by the first metric."""
    tables = {name: np.stack([each.baselines[name] for each in found]) for name in found[0].baselines}
    worst = -math.inf if higher_is_better else math.inf

    def merit(name: str) -> float:
        first = tables[name][:, 0]
        value = float(first[np.isfinite(first)].mean()) if np.isfinite(first).any() else worst
        return value if higher_is_better else -value

    best = max(tables, key=merit)
    return best, tables[best]


def _score_mask(row: Row, scoring: Scoring, interpreted: Interpreted) -> _RowScore:
    label = _label_mask(row, scoring, interpreted)
    shape = (label.shape[0], label.shape[1])
    baselines = {
        name: _three(mask_scores(trivial, label, row.outputs)) for name, trivial in scoring.baselines.masks(row, shape)
    }
    answer, found = scoring.answers.answer(row)
    scoring.problems.extend(found)
    if not isinstance(answer, MaskAnswer):
        scoring.miss(row)
        return _RowScore(_three(missing_mask_scores(shape, row.outputs)), baselines, answered=False)
    mask = answer.mask
    if mask.shape != shape:
        reason = f"a mask of {mask.shape[1]} x {mask.shape[0]} for a label of {shape[1]} x {shape[0]}"
        remedy = "write the image's size"
        scoring.problems.append(Problem("mask-size", place(row), f"{reason}; resized to it, nearest", remedy))
        mask = nearest(mask, shape)
    return _RowScore(_three(mask_scores(mask, label, row.outputs)), baselines, answered=True)


def _label_mask(row: Row, scoring: Scoring, interpreted: Interpreted) -> NDArray[np.integer]:
    assert row.mask is not None
    if not scoring.official:
        size = image_size(row.image)
        found = read_class_mask(row, None if size is None else (size[1], size[0]))
        interpreted.add(row, found)
        return found.ids
    label = read_grey_mask(row.mask)
    if label.size and int(label.max()) >= row.outputs:
        reason = f"the label has {outside(label, row.outputs)} as the public scorer reads it"
        scoring.problems.append(Problem("label-values", place(row), reason, "they count as no class; mend the mask"))
    return label


def _three(scores) -> NDArray[np.float64]:
    return np.stack([scores.dsc, scores.hd, scores.hd95])


def _score_box(row: Row, scoring: Scoring, interpreted: Interpreted) -> _RowScore:
    assert row.box is not None
    trivial = scoring.baselines.answer(row)
    baseline = float(box_iou(trivial.box, row.box)) if isinstance(trivial, BoxAnswer) else math.nan
    answer, _ = scoring.answers.answer(row)
    if isinstance(answer, BoxAnswer):
        return _one(float(box_iou(answer.box, row.box)), baseline, "mean box", answered=True)
    scoring.miss(row)
    return _one(0.0, baseline, "mean box", answered=False)


def _score_points(row: Row, scoring: Scoring, interpreted: Interpreted) -> _RowScore:
    assert row.points is not None
    trivial = scoring.baselines.answer(row)
    baseline = float(mean_radial_error(trivial.points, row.points)) if isinstance(trivial, PointsAnswer) else math.nan
    answer, _ = scoring.answers.answer(row)
    if isinstance(answer, PointsAnswer):
        return _one(float(mean_radial_error(answer.points, row.points)), baseline, "mean points", answered=True)
    scoring.miss(row)
    size = image_size(row.image)
    if size is None:
        raise ValueError(f"no prediction, and the size of the image {row.image} cannot be read for the worst score")
    return _one(math.hypot(*size), baseline, "mean points", answered=False)


def _one(value: float, baseline: float, name: str, *, answered: bool) -> _RowScore:
    return _RowScore(np.array([[value]]), {name: np.array([[baseline]])}, answered)


_SCORE_ROW: dict[str, Callable[[Row, Scoring, Interpreted], _RowScore]] = {
    "segmentation": _score_mask,
    "detection": _score_box,
    "keypoints": _score_points,
}


def _column_means(names: list[str], table: NDArray) -> dict[str, float]:
    """Means over images, then over classes, of (rows, metrics, classes)."""
    if len(table) == 0:
        return dict.fromkeys(names, math.nan)
    return dict(zip(names, table.mean(axis=0).mean(axis=1).tolist(), strict=True))
