"""How a run answers samples of which the answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from domains.pde.asking.cases import Asker
from domains.pde.asking.questions import Question
from domains.pde.asking.sources import cases_from
from polyhead.batch.case import Case

BATCH = 64


class Answering(Protocol):
    """The part of `domains.pde.predicting.predict.PDEPredictor` that is needed here."""

    run: Path
    asker: Asker

    def read(self, case: Case) -> Question: ...

    def fields(self, questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray | None]: ...


@dataclass(frozen=True)
class Residuals:
    """How a run answers n samples of a task at the P points of their data.

    Attributes:
        error: (n, P) answers minus references.
        true: (n, P) references.
        mask: (n, P) where they count.
        points: (P, d).
        deviation: (n, P) of the members of an ensemble; None for a single run.
    """

    error: np.ndarray
    true: np.ndarray
    mask: np.ndarray
    points: np.ndarray
    deviation: np.ndarray | None


def residuals(predictor: Answering, data: Path, task: str, split: str) -> Residuals:
    """The residuals of the samples of a split; without samples a `LookupError`."""
    try:
        cases = cases_from(data, split=split, tasks=[task])
    except ValueError as nothing:
        if str(nothing).startswith("nothing to do"):
            raise LookupError(task) from None
        raise
    fields, deviations, true, masks = [], [], [], []
    questions = []
    for start in range(0, len(cases), BATCH):
        questions = [predictor.read(case) for case in cases[start : start + BATCH]]
        field, deviation = predictor.fields(questions)
        fields.append(field)
        deviations += [] if deviation is None else [deviation]
        true.append(np.array([question.reference for question in questions]))
        masks.append(np.stack([question.mask for question in questions]))
    known = np.concatenate(true)
    return Residuals(
        np.concatenate(fields) - known,
        known,
        np.concatenate(masks),
        questions[0].points,
        np.concatenate(deviations) if deviations else None,
    )
