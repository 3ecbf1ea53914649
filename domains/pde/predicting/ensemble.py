"""Several runs of one training with different seeds as one operator: their mean, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.predicting.members import is_ensemble, member_runs
from domains.pde.predicting.operator import Operator
from domains.pde.saved import load_run
from domains.pde.uncertainty.bands import Ensemble
from polyhead.runs.run import Run


def load_operator(run: Path, device: str = "cpu") -> Operator:
    """The operator of a run folder, or of all members of an ensemble's; anything else is a `ValueError`."""
    if is_ensemble(Path(run)):
        return EnsembleOperator([load_operator(member, device) for member in member_runs(Path(run))])
    model, config, descriptions = load_run(Path(run))
    return Operator(model.to(device), config, descriptions, Run.open(run).info)


class EnsembleOperator(Operator):
    """The members of an ensemble; in all but its answers it is its first member.

    Args:
        members: at least two operators of the same tasks, trained on the same data.
    """

    def __init__(self, members: Sequence[Operator]):
        self._ensemble = Ensemble([member.answer for member in members])
        first = members[0]
        for number, member in enumerate(members):
            same = member.info.tasks == first.info.tasks
            if not same or member.info.data.get("fingerprint") != first.info.data.get("fingerprint"):
                raise ValueError(f"member-{number} of the ensemble has other tasks or other data than member-0")
        super().__init__(first.model, first.config, first.descriptions, first.info)

    def answer(self, *question: Any, **geometry: Any) -> np.ndarray:
        """The mean of the members' answers; arguments and errors are those of `Operator.answer`."""
        return self._ensemble(*question, **geometry)[0].astype(np.float32)

    def answer_and_spread(self, *question: Any, **geometry: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Mean and standard deviation (n - 1) of the members' answers, each (B, n) float64."""
        return self._ensemble(*question, **geometry)
