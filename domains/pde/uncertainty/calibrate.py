"""Bands for a run: split conformal calibration on samples that it was not trained on, kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domains.pde.data.samples import SPLITS
from domains.pde.uncertainty.bands import Calibration, Coverage, calibrate, coverage
from domains.pde.uncertainty.residuals import Answering, residuals
from polyhead.application import RESEARCH_USE
from polyhead.batch.writer import dump_json
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.system.files import write_whole


def calibrate_run(
    predictor: Answering,
    data: Path,
    *,
    alpha: float = 0.1,
    points: float = 1.0,
    split: str = "validation",
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Calibrates every task of a run that `data` has rows of, and writes RUN/calibration.json.

    The rows must be exchangeable with those that are predicted later. Validation rows chose the epoch that was kept,
    which makes their residuals a little small; rows that the training never saw are fairer, where there are any.

    Args:
        predictor: the run, and the tasks of it that are calibrated.
        alpha: share of fields that may leave their band.
        points: share of a field's points that its band must cover.
        split: the rows that calibrate; those that are scored later must be others.

    Returns:
        what the file says, and under ``"test"`` the coverage of the test rows, where these did not calibrate.

    Raises:
        ValueError: training rows, or too few rows of a task for `alpha`.
    """
    if split not in SPLITS or split == "train":
        raise ValueError(f"calibration needs samples that were not trained on: validation or test, got {split!r}")
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
    write_whole(predictor.run / CALIBRATION_FILE, dump_json(contents, indent=1) + b"\n")
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
