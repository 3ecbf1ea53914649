"""A trained operator at work: questions in, fields out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.pde.asking.cases import Asker
from domains.pde.asking.outlines import unfamiliar
from domains.pde.asking.questions import Question
from domains.pde.asking.reference import solve
from domains.pde.networks.description import Description
from domains.pde.predicting.write import Answer, write_answer
from domains.pde.uncertainty.bands import Calibration
from domains.pde.uncertainty.calibrate import CALIBRATION_FILE, read_calibrations
from polyhead.batch.case import Case, Record, Writer

logger = logging.getLogger(__name__)


class PDEPredictor:
    """Answers questions by one run.

    Args:
        run: the run folder, or the folder of an ensemble.
        tasks: tasks that may answer; None allows all.
        device: auto, cpu, cuda, cuda:N or mps.
        points: CSV file of points for every case that names none of its own.
        resolution: lengths of a grid instead, in the order of the axes' names.
        field: input function of masks, meshes and requests that have none: "default" or an array file.
        solver: whether our own solver answers too.

    Raises:
        ValueError: no such run, or a task that it does not have.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        tasks: Sequence[str] | None = None,
        device: str = "auto",
        points: str | None = None,
        resolution: Sequence[int] | None = None,
        field: str | None = None,
        solver: bool = False,
    ):
        from domains.pde.predicting.ensemble import load_operator
        from polyhead.system.devices import choose_device

        self.run = Path(run)
        self.operator = load_operator(self.run, device=str(choose_device(device, mps=False)))
        self.problems: dict[str, Description] = {task: self.operator.description(task) for task in self.operator.tasks}
        unknown = [task for task in tasks or () if task not in self.problems]
        if unknown:
            raise ValueError(f"the run has no task {unknown[0]!r}; it has: {', '.join(self.problems)}")
        self.asker = Asker(self.problems, asked=tasks, points=points, resolution=resolution, field=field)
        self.calibrations: Mapping[str, Calibration] = read_calibrations(self.run / CALIBRATION_FILE)
        self.solver = solver
        self._lock = threading.Lock()

    def read(self, case: Case) -> Question:
        """The question of a case; whatever is wrong with it is an `InvalidInput`."""
        return self.asker.question(case)

    def predict(self, items: Sequence[Question]) -> list[Answer]:
        """Answers a batch that may mix tasks and points, each question by itself.

        An answer is so the same, bit for bit, alone and in every batch, at about a millisecond a question.
        """
        with self._lock:
            return [self._answer(question) for question in items]

    def fields(self, questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray | None]:
        """Fields (B, n) float64 in physical units, 0 outside; the questions share their task, points and grids.

        Beside them the standard deviation of an ensemble's members, likewise, None for a single run.
        """
        first = questions[0]
        given: dict[str, Any] = {}
        for name in ("distance", "sensor_mask", "sensor_distance"):
            values = [getattr(question, name) for question in questions]
            given[name] = None if values[0] is None else np.stack(values)
        field, deviation = self.operator.answer_and_spread(first.task, *_inputs(questions), first.points, **given)
        mask = np.stack([q.mask for q in questions])
        field = np.where(mask, field, 0).astype(np.float64)
        return field, None if deviation is None else np.where(mask, deviation, 0)

    def _answer(self, question: Question) -> Answer:
        about, calibration = self.problems[question.task], self.calibrations.get(question.task)
        start = time.perf_counter()
        fields, deviations = self.fields([question])
        taken = {"operator": round(time.perf_counter() - start, 6)}
        (outside,) = self.operator.out_of_range(question.task, *_inputs([question]))
        warnings = [*question.warnings, *outside]
        width = None
        if calibration is not None:
            half_width = calibration.half_width(question.points, deviations)
            width = np.where(question.mask, np.broadcast_to(half_width, fields.shape)[0], 0)
        if (remark := unfamiliar(question.task, question.geometry, about)) is not None:
            warnings.append(remark)
        solved = None
        if self.solver:
            start = time.perf_counter()
            solved, why = _solve(question, about)
            taken["solver"] = round(time.perf_counter() - start, 6)
            warnings += why
        return Answer(
            question,
            about,
            fields[0],
            width,
            None if calibration is None else 1 - calibration.alpha,
            solved,
            taken,
            tuple(warnings),
            None if deviations is None else deviations[0],
        )

    def write(self, case: Case, result: Answer, out: Writer) -> Record:
        """Writes the files of one case; see `domains.pde.predicting.write`."""
        return write_answer(result, out, title=case.id)


def _inputs(questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
    """(B, m) parameters and (B, c, *grid) input functions."""
    return np.stack([each.parameters for each in questions]), np.stack([each.functions for each in questions])


def _solve(question: Question, about: Description) -> tuple[np.ndarray | None, list[str]]:
    """The solver's answer, or why there is none."""
    try:
        solved = solve(question, about)
    except ValueError as refused:
        return None, [f"the solver refuses this input: {' '.join(str(refused).split())}"]
    return solved, [] if solved is not None else [f"no solver is known for {question.task} with this geometry"]


def load_predictor(**arguments: object) -> PDEPredictor:
    """Builds a predictor from JSON values: what a worker process calls."""
    return PDEPredictor(**arguments)  # pyright: ignore[reportArgumentType]
