"""Data of one or all problems, made by the solvers: one file a problem in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from domains.pde.data.store import SUFFIX
from domains.pde.problems.catalogue import PROBLEMS, problem
from domains.pde.simulator.making import make


def sample(
    out: Path,
    *,
    problems: Sequence[str] = ("fisher",),
    preset: str = "tiny",
    samples: int | None = None,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Solves data sets into ``OUT/<problem>.h5``; what an interrupted call has solved is kept.

    Args:
        problems: names of the catalogue; ``"all"`` takes every one.
        preset: of the data, which each of the problems must have.
        samples: of each task; None takes the preset's.
        workers: processes that solve.
        progress: called with the number of samples solved and of all.

    Raises:
        ValueError: an unknown problem or preset, or other data in the way.
    """
    names = list(PROBLEMS) if "all" in problems else list(dict.fromkeys(problems))
    # All plans are made before the first is solved: a wrong name is told at once.
    plans = {name: problem(name).plan(preset, seed=seed, samples=samples) for name in names}
    total, before, written = sum(map(len, plans.values())), 0, []
    for name, plan in plans.items():

        def step(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        written.append(make(plan, out / f"{name}{SUFFIX}", processes=workers, overwrite=overwrite, progress=step))
        before += len(plan)
    return written
