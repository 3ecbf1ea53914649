"""Temperatures that make a run's probabilities honest: one a task, fitted on validation rows, saved with the run."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from domains.genomics.data.labelled import read_labelled
from domains.genomics.uncertainty.reliability import Bin, calibration_error, reliability
from polyhead.application import RESEARCH_USE
from polyhead.batch.writer import dump_json
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.system.files import write_whole

FEWEST = 20
"""Validation rows below which no temperature is fitted."""

_LOWEST, _HIGHEST = 0.05, 20.0
_SMALLEST = 1e-12


class Answering(Protocol):
    """The part of `domains.genomics.predicting.asked_run.AskedRun` that is needed here."""

    @property
    def path(self) -> Path: ...

    @property
    def labels(self) -> Mapping[str, Sequence[str]]: ...

    def strands(self, task: str, both: bool) -> str: ...

    def probabilities(
        self, sequences: Sequence[str], tasks: Sequence[str], *, both: bool = True, calibrated: bool = True
    ) -> list[dict[str, np.ndarray]]: ...


@dataclass(frozen=True)
class Temperature:
    """What one task's probabilities p become: p^(1/T), normalised.

    Attributes:
        temperature: T; above 1 the model was too sure of itself.
        rows: validation rows that it was fitted on.
        loss_before, loss_after: mean -log p of the right class on these rows, nats.
        error_before, error_after: expected calibration error on these rows.
        bins_before, bins_after: the reliability diagrams of these rows.
    """

    task: str
    temperature: float
    rows: int
    loss_before: float
    loss_after: float
    error_before: float
    error_after: float
    bins_before: tuple[Bin, ...] = ()
    bins_after: tuple[Bin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Temperature:
        bins = {name: tuple(Bin(**each) for each in data.get(name, ())) for name in ("bins_before", "bins_after")}
        return cls(**{**data, **bins})


def apply_temperature(probabilities: NDArray, temperature: float) -> NDArray[np.float64]:
    """p^(1/T), normalised, of probabilities (..., C); the order of the classes stays as it is."""
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, got {temperature}")
    logs = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST)) / temperature
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def fit_temperature(task: str, probabilities: NDArray, label: NDArray) -> Temperature:
    """The temperature of least mean -log p of the right class (Guo et al., "On calibration", ICML 2017).

    Args:
        probabilities: shape (n, C).
        label: int, shape (n,).

    Raises:
        ValueError: fewer than `FEWEST` rows, or shapes that do not fit.
    """
    from scipy.optimize import minimize_scalar

    probabilities, label = np.asarray(probabilities, dtype=np.float64), np.asarray(label, dtype=np.intp)
    if probabilities.ndim != 2 or len(probabilities) != len(label):
        raise ValueError(f"{task}: probabilities {probabilities.shape} for labels {label.shape}")
    if len(label) < FEWEST:
        raise ValueError(f"{task}: a temperature needs at least {FEWEST} validation rows, got {len(label)}")

    def loss(log_temperature: float) -> float:
        known = apply_temperature(probabilities, math.exp(log_temperature))[np.arange(len(label)), label]
        return float(-np.log(np.maximum(known, _SMALLEST)).mean())

    best: Any = minimize_scalar(loss, bounds=(math.log(_LOWEST), math.log(_HIGHEST)), method="bounded")
    # The search stops near the minimum; leaving the probabilities alone must never be better.
    chosen = float(best.x) if loss(float(best.x)) < loss(0.0) else 0.0
    after = apply_temperature(probabilities, math.exp(chosen))
    right = probabilities.argmax(axis=1) == label
    return Temperature(
        task,
        math.exp(chosen),
        len(label),
        loss(0.0),
        loss(chosen),
        float(calibration_error(probabilities.max(axis=1), right)),
        float(calibration_error(after.max(axis=1), right)),
        reliability(probabilities.max(axis=1), right),
        reliability(after.max(axis=1), right),
    )


def calibrate_run(
    asked: Answering,
    data: Path,
    *,
    split: str = "validation",
    tasks: Sequence[str] | None = None,
    reverse_complement: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Fits a temperature to every classification task of a run that `data` has rows of, into RUN/calibration.json.

    Validation rows chose the weights that were kept, which makes the model look a little surer of them than it may be;
    rows that the training never saw are fairer, where there are any.

    The run is asked as `predict` asks it: a task whose answer the other strand changes is fitted on the given strand.

    Args:
        asked: the run.
        split: the rows to fit on; "train" is refused.
        tasks: only these.
        reverse_complement: fit to the mean over both strands, for the tasks that allow it; predictions must then be
            made in the same way.

    Returns:
        what the file says.

    Raises:
        ValueError: training rows, an unknown task, or no task with enough rows.
    """
    if split not in ("validation", "test"):
        raise ValueError(f"calibration needs rows that were not trained on: validation or test, got {split!r}")
    rows = read_labelled(data, tasks=tasks)
    found: dict[str, Temperature] = {}
    for task, labels in asked.labels.items():
        if task not in rows.tasks:
            continue
        chosen = rows.take(rows.rows(task=task, split=split))
        place = {label: index for index, label in enumerate(labels)}
        unknown = sorted({label for label in chosen.label.tolist() if label not in place})
        if unknown:
            say(f"{task}: not calibrated: the run has no class {', '.join(unknown)}")
            continue
        target = np.array([place[label] for label in chosen.label.tolist()], dtype=np.intp)
        shares = np.empty((len(chosen), len(labels)))
        if len(chosen):
            scored = asked.probabilities(chosen.sequences, [task], both=reverse_complement, calibrated=False)
            shares = np.stack([each[task] for each in scored])
        try:
            found[task] = fit_temperature(task, shares, target)
        except ValueError as refused:
            say(f"not calibrated: {refused}")
    if not found:
        raise ValueError(f"nothing was calibrated: {data} has too few {split} rows of the run's classification tasks")
    strands = {task: asked.strands(task, reverse_complement) for task in found}
    return write_calibrations(
        asked.path, found, data=str(data), split=split, reverse_complement=reverse_complement, strands=strands
    )


def write_calibrations(run: Path, found: Mapping[str, Temperature], **more: Any) -> dict[str, Any]:
    """Writes RUN/calibration.json and returns what it says."""
    contents = {
        "research_use": RESEARCH_USE,
        **more,
        "tasks": {task: temperature.to_json() for task, temperature in found.items()},
    }
    write_whole(run / CALIBRATION_FILE, dump_json(contents, indent=1) + b"\n")
    return contents


def calibrated_strands(run: Path, both_strands: Collection[str]) -> dict[str, str]:
    """For each temperature of a calibrated run "both" or "forward", the strands that it was fitted for.

    Args:
        both_strands: tasks of which the other strand has the same answer, for files that do not say it by task.
    """
    said = json.loads((run / CALIBRATION_FILE).read_text(encoding="utf-8"))
    whole = bool(said.get("reverse_complement"))
    told = said.get("strands", {})
    return {
        task: told.get(task, "both" if whole and task in both_strands else "forward") for task in said.get("tasks", {})
    }


def read_calibrations(path: Path) -> dict[str, Temperature]:
    """The temperatures of a run folder, or of its calibration file, by task; none where it was never calibrated.

    Raises:
        ValueError: a damaged file.
    """
    file = path / CALIBRATION_FILE if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {task: Temperature.from_json(values) for task, values in found["tasks"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise ValueError(f"{file} is damaged: {failure}; calibrate the run again") from None
