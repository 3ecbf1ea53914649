"""Scores of classification, of all rows of a task together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.metrics import METRICS, absent_classes, confusion_scores, official_auc
from domains.medical.ultrasound.evaluation.scored import Scored, Scoring
from domains.medical.ultrasound.predicting.predictions import ClassAnswer
from polyhead.evaluation.confusion import confusion
from polyhead.evaluation.intervals import Replicates, statistic_replicates
from polyhead.evaluation.ranking import auroc

_NAMES = [metric.name for metric in METRICS["classification"]]


@dataclass(frozen=True)
class _Rows:
    """Labels and answers of rows.

    Attributes:
        label: (n,) classes; those from C on are none of the task's, which the public scorer counts nevertheless.
        predicted: (n,) likewise.
        probabilities: (n, C), two classes at least.
        classes: how many different classes there are in all.
    """

    label: NDArray[np.intp]
    predicted: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    classes: int

    def take(self, chosen: NDArray) -> _Rows:
        return _Rows(self.label[chosen], self.predicted[chosen], self.probabilities[chosen], self.classes)

    def answered_with(self, predicted: NDArray[np.intp]) -> _Rows:
        """The same rows with other answers, of probability 1."""
        return _Rows(self.label, predicted, _certain(predicted, self.probabilities.shape[1]), self.classes)

    def beside(self, other: _Rows) -> _Rows:
        return _Rows(
            np.concatenate([self.label, other.label]),
            np.concatenate([self.predicted, other.predicted]),
            np.concatenate([self.probabilities, other.probabilities]),
            self.classes,
        )

    def scores(self, weights: NDArray) -> dict[str, NDArray]:
        """Metrics under weights (..., n)."""
        counts = confusion(self.label, self.predicted, self.classes, weights)
        return {**confusion_scores(counts), "AUC": auroc(self.label, self.probabilities, weights)}


def score_classes(rows: Sequence[Row], scoring: Scoring) -> Scored:
    """Metrics of the rows of a classification task, whose labels are all classes of it unless it is `official`."""
    outputs = rows[0].outputs
    size = max(outputs, 2)
    wanted = [row.label if row.label is not None else 0 for row in rows]
    # A missing answer is the next class with probability 1: wrong, and last in every ranking.
    chosen = [(label + 1) % size for label in wanted]
    answered, given = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    probabilities = _certain(np.array(chosen), size)
    for index, row in enumerate(rows):
        answer, _ = scoring.answers.answer(row)
        if not isinstance(answer, ClassAnswer):
            scoring.miss(row)
            continue
        answered[index], chosen[index] = True, answer.predicted
        given[index] = bool(answer.probabilities)
        if answer.probabilities:
            probabilities[index] = np.pad(answer.probabilities, (0, size - outputs))
        else:
            probabilities[index] = _certain(np.array([answer.predicted]), size)[0]
    # What is no class of the task is a class of its own behind them.
    strange = sorted({value for value in (*wanted, *chosen) if not 0 <= value < size})
    place = {value: size + index for index, value in enumerate(strange)}
    label, predicted = (np.array([place.get(each, each) for each in side]) for side in (wanted, chosen))
    every = _Rows(label, predicted, probabilities, size + len(strange))

    counted = every.take(answered) if scoring.official else every
    images = [row.image_path for row, keep in zip(rows, answered, strict=True) if keep or not scoring.official]
    skipping = _official_scores(every.take(answered), outputs, bool(given[answered].all()))
    replicates = _replicates(counted, images, scoring, size) if images else {}
    if scoring.official and skipping["AUC"] == 0 and "AUC" in replicates:
        replicates["AUC"] = Replicates.constant(0.0, scoring.resamples)
    notes = []
    absent = absent_classes(label[label < outputs], outputs)
    if absent:
        notes.append(f"no row of class {', '.join(map(str, absent))}: left out of AUC; the public scorer gives AUC 0")
    return Scored(
        rows=len(rows),
        missing=int((~answered).sum()),
        units=len(set(images)),
        penalised={name: float(value) for name, value in every.scores(np.ones(len(rows))).items()},
        answered=skipping,
        baseline=_baseline(every, scoring, rows[0].task, size),
        replicates=replicates,
        baseline_name="most frequent class",
        notes=notes,
    )


def _certain(predicted: NDArray, size: int) -> NDArray[np.float64]:
    """(n, size): probability 1 for the predicted class, nothing for one that is none."""
    shares = np.zeros((len(predicted), size))
    known = (predicted >= 0) & (predicted < size)
    shares[known, predicted[known]] = 1.0
    return shares


def _official_scores(rows: _Rows, outputs: int, given: bool) -> dict[str, float]:
    if not len(rows.label):
        return dict.fromkeys(_NAMES, math.nan)
    within = given and bool((rows.label < outputs).all())
    area = official_auc(rows.label, rows.probabilities[:, :outputs]) if within else 0.0
    return {name: float(value) for name, value in rows.scores(np.ones(len(rows.label))).items()} | {"AUC": area}


def _replicates(rows: _Rows, images: Sequence[str], scoring: Scoring, size: int) -> dict[str, Replicates]:
    wrong, right = rows.answered_with((rows.label + 1) % size), rows.answered_with(rows.label)
    scores = rows.beside(wrong).beside(right).scores
    n = len(rows.label)
    return statistic_replicates(scores, n, groups=images, resamples=scoring.resamples, seed=scoring.seed)


def _baseline(rows: _Rows, scoring: Scoring, task: str, size: int) -> dict[str, float]:
    values = scoring.baselines.values.get(task)
    if values is None:
        return dict.fromkeys(_NAMES, math.nan)
    trivial = ClassAnswer(values)
    constant = np.full(len(rows.label), trivial.predicted)
    base = confusion_scores(confusion(rows.label, constant, rows.classes))
    tied = np.tile(np.pad(trivial.probabilities, (0, size - len(values))), (len(rows.label), 1))
    return {name: float(value) for name, value in base.items()} | {"AUC": float(auroc(rows.label, tied))}
