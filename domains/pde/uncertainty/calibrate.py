"""Bands for a run: split conformal calibration on samples that it was not trained on, kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.pde.asking.sources import cases_from
from domains.pde.data.samples import SPLITS
from domains.pde.uncertainty.bands import Calibration, Coverage, calibrate, coverage
from polyhead.application import RESEARCH_USE
from polyhead.batch.writer import dump_json
from polyhead.files import write_whole
from polyhead.identity import CALIBRATION_FILE

if TYPE_CHECKING:
    from domains.pde.predicting.predict import PDEPredictor

BATCH = 64


def calibrate_run(
    run: Path,
    data: Path,
    *,
    alpha: float = 0.1,
    points: float = 1.0,
    split: str = "validation",
    tasks: list[str] | None = None,
    device: str = "auto",
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Calibrates every task of a run that `data` has rows of, and writes RUN/calibration.json.

    The rows must be exchangeable with those that are predicted later. Validation rows chose the epoch that was kept,
    which makes their residuals a little small; rows that the training never saw are fairer, where there are any.

    Args:
        alpha: share of fields that may leave their band.
        points: share of a field's points that its band must cover.
        split: the rows that calibrate; those that are scored later must be others.
        tasks: only these.

    Returns:
        what the file says, and under ``"test"`` the coverage of the test rows, where these did not calibrate.

    Raises:
        ValueError: training rows, or too few rows of a task for `alpha`.
    """
    from domains.pde.predicting.predict import PDEPredictor

    if split not in SPLITS or split == "train":
        raise ValueError(f"calibration needs samples that were not trained on: validation or test, got {split!r}")
    predictor = PDEPredictor(run, tasks=tasks, device=device)
    found: dict[str, Calibration] = {}
    tested: dict[str, Coverage] = {}
    problems: list[str] = []
    for task in predictor.asker.asked:
        try:
            held = residuals(predictor, data, task, split)
            found[task] = calibrate(
                task,
                held.error,
                held.mask,
                held.points,
                alpha=alpha,
                points=points,
                deviation=held.deviation,
                seed=seed,
            )
        except LookupError:
            continue
        except ValueError as refused:
            problems.append(str(refused))
            continue
        if split != "test":
            try:
                held = residuals(predictor, data, task, "test")
                tested[task] = coverage(found[task], held.error, held.mask, held.points, deviation=held.deviation)
            except LookupError:
                say(f"{task}: no test sample to count the coverage on")
    if not found:
        reason = "; ".join(problems) or f"{data} has no {split} sample of {', '.join(predictor.asker.asked)}"
        raise ValueError(f"nothing was calibrated: {reason}")
    for line in problems:
        say(line)
    contents = {
        "research_use": RESEARCH_USE,
        "data": str(data),
        "split": split,
        "tasks": {task: calibration.to_json() for task, calibration in found.items()},
    }
    write_whole(run / CALIBRATION_FILE, dump_json(contents, indent=1) + b"\n")
    return contents | {"test": {task: each.to_json() for task, each in tested.items()}, "problems": problems}


def read_calibrations(path: Path) -> dict[str, Calibration]:
    """The calibrations of a run by task, none where the run was never calibrated.

    Raises:
        ValueError: a damaged file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {task: Calibration.from_json(values) for task, values in found["tasks"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise ValueError(f"{path} is damaged: {failure}; calibrate the run again") from None


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


def residuals(predictor: PDEPredictor, data: Path, task: str, split: str) -> Residuals:
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
