"""What of a data root can be learned from: good rows, what is wrong with the others, and tasks that would be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domains.medical.intake.images import image_size
from domains.medical.ultrasound.data.checks import check_rows
from domains.medical.ultrasound.data.fm_uia import read_tables
from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.data.masks import INTERPRETED
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.presets import NetworkConfig
from polyhead.batch.case import InvalidInput
from polyhead.evaluation.report import Problem


@dataclass(frozen=True)
class Labelled:
    """The rows of a data root.

    Attributes:
        rows: good to learn from.
        problems: of the rows that were left out, and what else was found.
        notes: how rows were read that needed a reading, a line each.
        labels: names of the outputs per task, where the data say them.
        of_tasks: by task, the problems of its rows.
    """

    rows: list[Row]
    problems: list[Problem]
    notes: list[Problem]
    labels: Mapping[str, tuple[str, ...]]
    of_tasks: Mapping[str, Sequence[Problem]]

    def with_others(self, other: Labelled) -> Labelled:
        """The same with the problems of a second root, by task."""
        tasks = {*self.of_tasks, *other.of_tasks}
        return replace(
            self, of_tasks={task: [*self.of_tasks.get(task, ()), *other.of_tasks.get(task, ())] for task in tasks}
        )

    def told(self, task: str) -> str:
        """How many rows of a task were left out and the first reason; empty where none was."""
        found = self.of_tasks.get(task, ())
        return f"{len(found)} rows of {task} cannot be used, first {found[0]}" if found else ""


def read_labelled(
    data: Path,
    network: NetworkConfig,
    *,
    tasks: Sequence[str] | None = None,
    allow_lost_tasks: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Labelled:
    """Reads and checks the rows of a data root; see `data.checks.check_rows`.

    Args:
        data: the data root.
        network: whose input the images must fit.
        tasks: only rows of these tasks.
        allow_lost_tasks: only say which tasks have no row that can be used.
        say: gets these lines.

    Raises:
        ValueError: no row can be used, a task of `tasks` is unknown, or a task is lost.
    """
    tables = read_tables(data)
    rows, lost_before = tables.rows, dict(tables.lost)
    if tasks:
        unknown = sorted(set(tasks) - {row.task for row in rows} - set(lost_before))
        if unknown:
            raise ValueError(f"{data} has no rows of {', '.join(unknown)}; it has {', '.join(tables.tasks())}")
        rows = [row for row in rows if row.task in set(tasks)]
        lost_before = {task: problem for task, problem in lost_before.items() if task in set(tasks)}
    checked = check_rows(rows)
    kept, extreme = _that_fit(checked.rows, network)
    found = [*checked.problems, *extreme]
    problems = [*tables.problems, *found]
    task_at = {f"{row.table}:{row.line}": row.task for row in rows}
    of_tasks: dict[str, list[Problem]] = {task: [problem] for task, problem in lost_before.items()}
    good = {f"{row.table}:{row.line}" for row in kept}
    for problem in found:
        if problem.where in task_at and problem.where not in good:
            of_tasks.setdefault(task_at[problem.where], []).append(problem)
    labelled = Labelled(kept, problems, checked.notes, tables.labels, of_tasks)
    if not kept:
        raise ValueError(f"{data}: no row can be used; {len(problems)} problems, first: {problems[0]}")
    for task in sorted({*lost_before, *(row.task for row in rows)} - {row.task for row in kept}):
        reason = f"{data}: the task {task} would be lost: {labelled.told(task)}"
        if not allow_lost_tasks:
            raise ValueError(f"{reason}; mend its rows, or give --allow-lost-tasks to train without it")
        say(f"{reason}; it is trained without it, as --allow-lost-tasks says")
    return labelled


def _that_fit(rows: Sequence[Row], network: NetworkConfig) -> tuple[list[Row], list[Problem]]:
    """The rows whose images keep both sides at the network's size, and a problem for each of the others."""
    kept, problems = [], []
    for row in rows:
        try:
            Frame.fit(*image_size(row.image), network.image_size, keep_aspect=network.keep_aspect)
        except InvalidInput as bad:
            problems.append(Problem(bad.code, f"{row.table}:{row.line}", bad.reason, bad.remedy))
        else:
            kept.append(row)
    return kept, problems


def summed_up(notes: Iterable[Problem]) -> list[str]:
    """Notes for a terminal: those on the masks of a task as they stand, of the others the first of each code."""
    notes = list(notes)
    of_tasks = [f"{note.where}: {note.reason}" for note in notes if note.code in INTERPRETED]
    of_rows = [note for note in notes if note.code not in INTERPRETED]
    counts = Counter(note.code for note in of_rows)
    first = {note.code: note for note in reversed(of_rows)}
    return [*of_tasks, *(f"{counts[code]} of [{code}], the first: {note}" for code, note in first.items())]
