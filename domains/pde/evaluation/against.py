"""What learning several tasks at once gains or costs: errors beside those of single-task models, and their Δm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domains.pde.evaluation.metrics import MAIN_METRIC
from polyhead.evaluation.evaluate import delta_m


@dataclass(frozen=True)
class Single:
    """Mean relative L2 of one task by the model that learned it alone, and the folder that says so."""

    value: float
    folder: str


@dataclass(frozen=True)
class Against:
    """The errors of an evaluation beside those of single-task models.

    Attributes:
        multi: mean relative L2 of each task that is compared, by the model that was evaluated.
        single: the same by the single-task models.
        missing: tasks of the evaluation that no single-task model answers.
    """

    multi: Mapping[str, float]
    single: Mapping[str, Single]
    missing: tuple[str, ...] = ()

    @property
    def delta_m(self) -> float:
        """Mean over the tasks, in percent; see `polyhead.evaluation.evaluate.delta_m`."""
        alone = [self.single[task].value for task in self.multi]
        return delta_m(list(self.multi.values()), alone, [False] * len(alone))

    def of(self, task: str) -> float:
        """Δm of one task, in percent: negative where learning the tasks together has the smaller error."""
        return delta_m([self.multi[task]], [self.single[task].value], [False])

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "metric": MAIN_METRIC,
            "delta_m": self.delta_m,
            "unit": "percent, lower is better",
            "tasks": {
                task: {
                    "multi": self.multi[task],
                    "single": single.value,
                    "delta_m": self.of(task),
                    "against": single.folder,
                }
                for task, single in self.single.items()
            },
            "missing": list(self.missing),
        }

    def lines(self) -> list[str]:
        """A line a task and one of the mean."""
        found = [
            f"{task}: {100 * self.multi[task]:.2f} % with the others, {100 * self.single[task].value:.2f} % alone "
            f"({self.single[task].folder}): Δm {self.of(task):+.1f} %"
            for task in self.multi
        ]
        found.append(f"mean of {len(self.multi)} tasks: Δm {self.delta_m:+.1f} % of relative L2; below 0 is a gain")
        if self.missing:
            found.append(f"not compared, no single-task model answers them: {', '.join(self.missing)}")
        return found
