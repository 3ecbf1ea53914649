"""Whether class probabilities are honest: before and after their temperature, on rows that had no part in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.predicting.predictions import ClassAnswer, Predictions
from domains.medical.ultrasound.uncertainty.trust import PRIOR_DEVIATION, digest
from polyhead.evaluation.evaluate import Interval
from polyhead.evaluation.intervals import mean_interval
from polyhead.evaluation.reliability_figure import reliability_figure
from polyhead.evaluation.report import number
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.uncertainty.reliability import Bin, brier, equal_mass, mass_error
from polyhead.uncertainty.temperature import apply_temperature, cross_fitted, read_calibrations

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Honesty:
    """How honest some probabilities are.

    Attributes:
        error: ECE of the predicted class over bins of equal numbers of rows.
        loss: mean -log p of the right class, nats.
        brier: mean Brier score, in [0, 2].
        bins: the reliability diagram.
    """

    error: float
    loss: Interval
    brier: Interval
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        loss, score = self.loss.to_json(), self.brier.to_json()
        return {"ECE": self.error, "NLL": loss, "Brier": score, "bins": [asdict(each) for each in self.bins]}


@dataclass(frozen=True)
class TaskReliability:
    """The probabilities of one classification task as they were told, and before their temperature.

    Attributes:
        rows: answered rows.
        temperature: of the run; None where it has none, and `before` is then `told`.
        fitted: how many of the rows the temperature was fitted on. For `told` each of these takes the temperature that
            the others of them give, so that no row measures a temperature that it had a part in.
    """

    task: str
    rows: int
    temperature: float | None
    fitted: int
    before: Honesty
    told: Honesty

    def to_json(self) -> dict[str, Any]:
        said = {"task": self.task, "rows": self.rows, "temperature": self.temperature, "fitted": self.fitted}
        return {**said, "before": self.before.to_json(), "told": self.told.to_json()}


def reliabilities(
    folder: Path, answers: Predictions, rows: Sequence[Row], *, resamples: int = 1000, seed: int = 0
) -> tuple[TaskReliability, ...]:
    """How honest the probabilities of the classification tasks of some rows are, of those that have any.

    Args:
        folder: the batch's folder, in which the run's temperatures lie where it has them.
    """
    temperatures, fitted_on = _calibrations(folder)
    found = []
    for task in dict.fromkeys(row.task for row in rows if row.kind == "classification"):
        members, shares = [], []
        for row in rows:
            answer = answers.answer(row)[0] if row.task == task and row.label is not None else None
            if isinstance(answer, ClassAnswer) and answer.probabilities:
                members.append(row)
                shares.append(answer.probabilities)
        if not members:
            continue
        told, label = np.array(shares, dtype=np.float64), np.array([row.label for row in members], dtype=np.intp)
        temperature = temperatures.get(task)
        mine = np.array([digest(row.image_path) in fitted_on.get(task, ()) for row in members])
        before = told if temperature is None else apply_temperature(told, 1 / temperature)
        if mine.any():
            told = told.copy()
            told[mine] = cross_fitted(before[mine], label[mine], deviation=PRIOR_DEVIATION)
        groups = [row.image_path for row in members]
        options = {"groups": groups, "resamples": resamples, "seed": seed}
        measured = [_honesty(each, label, options) for each in (before, told)]
        found.append(TaskReliability(task, len(members), temperature, int(mine.sum()), *measured))
    return tuple(found)


def reliability_part(found: Sequence[TaskReliability]) -> str:
    """The part of the page; empty where there is nothing to say."""
    if not found:
        return ""
    head = "<tr><th>task<th class=n>n<th class=n>temperature<th class=n>ECE<th class=n>NLL<th class=n>Brier"
    lines, figures = [], []
    for each in found:
        pair = [("before", each.before), ("told", each.told)] if each.temperature else [("told", each.told)]
        for name, honesty in pair:
            cells = (honesty.error, honesty.loss, honesty.brier)
            numbers = "".join(f"<td class=n>{_words(value)}" for value in cells)
            temperature = number(each.temperature) if each.temperature and name == "told" else ""
            title = f"{each.task}, {name}" if each.temperature else each.task
            lines.append(f"<tr><td>{escape(title)}<td class=n>{each.rows}<td class=n>{temperature}{numbers}")
            figures.append(reliability_figure(title, honesty.bins))
    notes = [
        f"{each.task}: {each.fitted} of {each.rows} rows fitted its temperature; each of them is measured with the "
        "temperature that the other folds of them give."
        for each in found
        if each.fitted
    ]
    said = (
        "Told probabilities are p^(1/T), normalised, and nearer to equal for images unlike the training; before is "
        "with T taken back. ECE is of the predicted class, over bins of equal numbers of rows."
    )
    return (
        f"<h2>Reliability of probabilities</h2><p class=key>{said}</p>"
        f"<div class=wide><table>{head}{''.join(lines)}</table></div>"
        f"<div class=plots>{''.join(figures)}</div>" + "".join(f"<p>{escape(line)}</p>" for line in notes)
    )


def _honesty(shares: NDArray, label: NDArray, options: Mapping[str, Any]) -> Honesty:
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == label
    loss = -np.log(np.maximum(shares[np.arange(len(label)), label], _SMALLEST))
    return Honesty(
        mass_error(sure, right),
        mean_interval(loss, **options),
        mean_interval(brier(shares, label), (0, 2), **options),
        equal_mass(sure, right),
    )


def _words(value: float | Interval) -> str:
    if isinstance(value, Interval):
        known = f" ({number(value.low)} to {number(value.high)})" if math.isfinite(value.low) else ""
        return number(value.value) + known
    return number(value)


def _calibrations(folder: Path) -> tuple[dict[str, float], dict[str, frozenset[str]]]:
    """The temperature of each task, and the images that it was fitted on; none where the folder has no such file."""
    try:
        known = {task: each.temperature for task, each in read_calibrations(folder).items()}
        said = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
        return known, {task: frozenset(names) for task, names in said["images"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Predictions of others may have a file of this name for purposes of their own.
        return {}, {}
