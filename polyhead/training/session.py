"""How a training is carried out, apart from what is learned: given through from the verb `train` to `fit`. Light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from polyhead.runs.run import Run, RunInfo

if TYPE_CHECKING:
    from pydantic import BaseModel

    from polyhead.system.ranks import Ranks
    from polyhead.training.progress import Mode


def _silent(line: str) -> None:
    pass


@dataclass(frozen=True)
class Session:
    """One call of a training; the default begins a new run and says nothing.

    Attributes:
        resume: go on where an interrupted training stopped.
        overwrite: replace a run that is there.
        say: takes lines for people.
        on_step: called after each step with the number of steps done.
        progress: how `polyhead.train.fit` shows its progress.
        ranks: the processes that train together, where that is settled.
    """

    resume: bool = False
    overwrite: bool = False
    say: Callable[[str], None] = _silent
    on_step: Callable[[int], None] | None = None
    progress: Mode = "quiet"
    ranks: Ranks | None = None

    def among(self, ranks: Ranks) -> Session:
        """The same in one of several processes, of which the first alone speaks."""
        return replace(self, say=ranks.only_first(self.say), ranks=ranks)

    def begin(self, path: str | Path, info: RunInfo, configuration: type[BaseModel] | None = None) -> Run:
        """The run folder, new or opened to go on with it, and locked; see `polyhead.runs.run.Run.begin`."""
        return Run.begin(
            path,
            info,
            resume=self.resume,
            overwrite=self.overwrite,
            configuration=configuration,
            ranks=self.ranks,
        )
