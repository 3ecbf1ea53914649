"""What runs the cases of a batch: this machine (`polyhead.batch.supervisor`), or others by a runner of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from polyhead.batch.case import Case
from polyhead.batch.outcome import Outcome
from polyhead.batch.worker import PredictorFactory, WorkerSettings

Progress = Callable[[Mapping[str, Any]], None]


class WorkerCannotStart(RuntimeError):
    """The worker cannot load its predictor: no case can be processed; `mendable` where it is for the user to mend."""

    def __init__(self, reason: str, *, mendable: bool = False):
        super().__init__(reason)
        self.mendable = mendable


class Runner(Protocol):
    """Runs cases through workers that may die at any of them; one case that brings its worker down stops no other."""

    def run(self, cases: Iterator[Case], *, stopping: Callable[[], bool], notify: Progress) -> Iterator[Outcome]:
        """Yields an outcome for every case, in the order in which they end; takes cases as it has room for them.

        After `stopping` turns true no case is begun, what is predicted is written, and the rest has no outcome.
        `notify` is called with events (``loading``, ``ready``, ``worker_ended``, ``part``).

        Raises:
            WorkerCannotStart: the predictor does not load.
            OSError: the place of the results takes no more (`polyhead.system.disk.no_room`); what was in work then has
                no outcome.
        """
        ...


class MakeRunner(Protocol):
    """Makes the runner of one batch; `LocalRunner` is one."""

    def __call__(
        self, factory: PredictorFactory, settings: WorkerSettings, *, log: Path, timeout: float | None
    ) -> Runner:
        """`log` is where the output of workers goes; `timeout` is seconds that a stage, or a part of it, may take."""
        ...
