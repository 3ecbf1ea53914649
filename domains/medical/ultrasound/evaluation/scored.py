"""What the scoring of one task gives, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass, field

from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.evaluation.baselines import Baselines
from domains.medical.ultrasound.predicting.predictions import Predictions, place
from polyhead.evaluation.intervals import Replicates
from polyhead.evaluation.report import Problem


@dataclass
class Scored:
    """The scores of one task: all rows with missing predictions at their worst, and the answered rows alone.

    `penalised`, `answered` and `baseline` map metrics to values; `replicates` holds those of the headline's draws.
    """

    rows: int
    missing: int
    units: int
    penalised: dict[str, float]
    answered: dict[str, float]
    baseline: dict[str, float]
    replicates: dict[str, Replicates]
    baseline_name: str = ""
    per_class: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """How the rows of a task are scored.

    Attributes:
        answers: the predictions.
        baselines: the trivial answers.
        official: as the challenge's public scorer.
        resamples, seed: of the intervals; the seed is the task's own.
        problems: is added to.
    """

    answers: Predictions
    baselines: Baselines
    official: bool
    resamples: int
    seed: int
    problems: list[Problem]

    def miss(self, row: Row) -> None:
        """Lists a row without a usable prediction."""
        self.problems.append(Problem("prediction-missing", place(row), "no usable prediction", _WORST))


_WORST = "counts as the worst score"
