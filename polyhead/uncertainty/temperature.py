"""Temperatures that make a run's probabilities honest: one a task, fitted on rows held out, saved with the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyhead.application import RESEARCH_USE
from polyhead.batch.writer import dump_json
from polyhead.runs.identity import CALIBRATION_FILE
from polyhead.system.files import write_whole
from polyhead.uncertainty.reliability import Bin, calibration_error, reliability

FEWEST = 20
"""Rows below which no temperature is fitted, unless another number is asked for."""

_LOWEST, _HIGHEST = 0.05, 20.0
_SMALLEST = 1e-12


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


def fit_temperature(
    task: str, probabilities: NDArray, label: NDArray, *, fewest: int = FEWEST, deviation: float | None = None
) -> Temperature:
    """The temperature of least mean -log p of the right class (Guo et al., "On calibration", ICML 2017).

    Args:
        probabilities: shape (n, C).
        label: int, shape (n,).
        fewest: rows that are needed.
        deviation: s of a prior log T ~ N(0, s²), which draws T towards 1 where rows are few: what is least is then
            Σ -log p + (log T)² / 2 s². None has no prior.

    Raises:
        ValueError: fewer than `fewest` rows, or shapes that do not fit.
    """
    from scipy.optimize import minimize_scalar

    probabilities, label = np.asarray(probabilities, dtype=np.float64), np.asarray(label, dtype=np.intp)
    if probabilities.ndim != 2 or len(probabilities) != len(label):
        raise ValueError(f"{task}: probabilities {probabilities.shape} for labels {label.shape}")
    if len(label) < fewest:
        raise ValueError(f"{task}: a temperature needs at least {fewest} validation rows, got {len(label)}")

    def loss(log_temperature: float) -> float:
        known = apply_temperature(probabilities, math.exp(log_temperature))[np.arange(len(label)), label]
        return float(-np.log(np.maximum(known, _SMALLEST)).mean())

    def objective(log_temperature: float) -> float:
        prior = 0.0 if deviation is None else (log_temperature / deviation) ** 2 / (2 * len(label))
        return loss(log_temperature) + prior

    best: Any = minimize_scalar(objective, bounds=(math.log(_LOWEST), math.log(_HIGHEST)), method="bounded")
    # The search stops near the minimum; leaving the probabilities alone must never be better.
    chosen = float(best.x) if objective(float(best.x)) < objective(0.0) else 0.0
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


def cross_fitted(
    probabilities: NDArray, label: NDArray, *, folds: int = 5, deviation: float | None = None
) -> NDArray[np.float64]:
    """Probabilities (n, C), those of every fold with the temperature that the rows of the other folds give.

    A row's label then has no part in the temperature of its own answer, so the result may be measured on these rows.
    """
    p, known = np.asarray(probabilities, dtype=np.float64), np.asarray(label, dtype=np.intp)
    found = p.copy()
    fold = np.arange(len(p)) % folds
    for number in range(min(folds, len(p)) if len(p) > 1 else 0):
        mine = fold == number
        fitted = fit_temperature("", p[~mine], known[~mine], fewest=1, deviation=deviation)
        found[mine] = apply_temperature(p[mine], fitted.temperature)
    return found


def write_calibrations(run: Path, found: Mapping[str, Temperature], **more: Any) -> dict[str, Any]:
    """Writes RUN/calibration.json and returns what it says."""
    contents = {
        "research_use": RESEARCH_USE,
        **more,
        "tasks": {task: temperature.to_json() for task, temperature in found.items()},
    }
    write_whole(run / CALIBRATION_FILE, dump_json(contents, indent=1) + b"\n")
    return contents


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
