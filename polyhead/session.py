"""How a training is carried out, apart from what is learned: given through from the verb `train` to `fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from polyhead.progress import Mode
from polyhead.runs import Run, RunInfo


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Session:
    """One call of a training.

    Attributes:
        resume: go on where an interrupted training stopped.
        overwrite: replace a run that is there.
        say: takes lines for people.
        progress: how `polyhead.train.fit` shows its progress.
        on_step: called after each step with the number of steps done.
    """

    resume: bool = False
    overwrite: bool = False
    say: Callable[[str], None] = _silent
    progress: Mode = "quiet"
    on_step: Callable[[int], None] | None = None

    def begin(self, path: Path, info: RunInfo, configuration: type[BaseModel] | None = None) -> Run:
        """The run folder, new or opened to go on with it, and locked; see `polyhead.runs.Run.begin`."""
        return Run.begin(path, info, resume=self.resume, overwrite=self.overwrite, configuration=configuration)
