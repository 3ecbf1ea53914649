"""Labelled sequences on disk: tables of sequence, task and label, and folders with a table a split."""

from __future__ import annotations

import hashlib
import math
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from domains.genomics.data.facts import TASKS_FILE, TaskFacts, read_facts
from domains.genomics.data.tables import labelled_tables, split_of, table_rows
from domains.genomics.sequences.alphabet import InvalidSequence, clean
from polyhead.evaluation.report import Problem

MOST_CLASSES = 100


@dataclass(frozen=True)
class LabelledData:
    """Labelled sequences, a row each: all parts have the same length.

    Attributes:
        sequences: upper-case bases; letters other than ACGT only as N, where the policy keeps them.
        task: (rows,) names of tasks.
        label: (rows,) labels as written.
        split: (rows,) ``train``, ``validation``, ``test``, or empty where the data do not say.
        group: (rows,) what must stay on one side of a split; empty where the data do not say.
        facts: for each task what is known of it.
        problems: rows that were left out, a line each.
        lost: tasks that the data name but that have no row here, since each was left out, and their first problem.
        folder: where the tables lie; None of rows that were made here.
    """

    sequences: list[str]
    task: np.ndarray
    label: np.ndarray
    split: np.ndarray
    group: np.ndarray
    facts: Mapping[str, TaskFacts] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    lost: Mapping[str, Problem] = field(default_factory=dict)
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks in order of first appearance."""
        return tuple(dict.fromkeys(self.task.tolist()))

    def rows(self, *, task: str | None = None, split: str | None = None) -> np.ndarray:
        """Indices, ascending, of the rows of a task and a split."""
        chosen = np.ones(len(self), dtype=bool)
        if task is not None:
            chosen &= self.task == task
        if split is not None:
            chosen &= self.split == split
        return np.flatnonzero(chosen)

    def take(self, rows: np.ndarray | Sequence[int]) -> LabelledData:
        """The named rows."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            sequences=[self.sequences[row] for row in index],
            task=self.task[index],
            label=self.label[index],
            split=self.split[index],
            group=self.group[index],
        )

    def with_split(self, split: np.ndarray) -> LabelledData:
        """The same rows on other sides: (rows,) strings."""
        if len(split) != len(self):
            raise ValueError(f"{len(split)} sides for {len(self)} rows")
        return replace(self, split=np.asarray(split, dtype=object))

    def fingerprint(self) -> str:
        """A hash of rows and sides, whatever their order."""
        each = (
            hashlib.sha256("\t".join(map(str, row)).encode()).digest()
            for row in zip(self.task, self.label, self.split, self.sequences, strict=True)
        )
        return hashlib.sha256(b"".join(sorted(each))).hexdigest()


def read_labelled(
    path: str | Path, *, tasks: Sequence[str] | None = None, policy: str = "mask", seed: int = 0
) -> LabelledData:
    """Reads the labelled sequences of a table or a folder.

    A table (CSV or TSV, also gz; parquet) has a row a sequence and label, with the columns ``sequence`` and ``label``,
    and if it likes ``task``, ``split`` and ``group``. Without these two a task and a split are those of the name:
    ``TASK/dev.csv`` (the layout of GUE), ``TASK.dev.csv.gz``, or ``train.csv`` beside others. Labelled tables of a
    folder are found at any depth; other files there are left alone. ``tasks.json`` in the folder may say of each task
    its kind and more; see `TaskFacts`. What it does not say is taken from the labels; see `facts_of`.

    Args:
        path: a folder or one table.
        tasks: only rows of these tasks.
        policy: what is done with letters other than ACGT: ``mask`` keeps them as N, ``resolve`` draws a base,
            ``error`` leaves the row out.
        seed: of the policy ``resolve``.

    Raises:
        ValueError: no labelled table, a table without the columns, an unknown task or policy, or no row that can be
            used.
    """
    if policy not in ("mask", "resolve", "error"):
        raise ValueError(f"labelled sequences stay whole: policy is mask, resolve or error, got {policy!r}")
    path = Path(path)
    files = list(labelled_tables(path))
    if not files:
        raise ValueError(f"{path}: no table (.csv, .tsv, .parquet, also .gz) with columns sequence and label")
    wanted = None if tasks is None else set(tasks)
    sequences: list[str] = []
    columns: dict[str, list[str]] = {"task": [], "label": [], "split": [], "group": []}
    problems: list[Problem] = []
    cleaned: dict[str, str] = {}
    seen: set[str] = set()
    first_of: dict[str, Problem] = {}

    def leave_out(task: str, problem: Problem) -> None:
        problems.append(problem)
        first_of.setdefault(task, problem)

    for file, task_name, split_name in files:
        for line, row in table_rows(file):
            task, where = row.get("task") or task_name, f"{file.name}, line {line}"
            seen.add(task)
            if wanted is not None and task not in wanted:
                continue
            raw, label = row.get("sequence", ""), row.get("label", "")
            try:
                split = split_of(row["split"]) if row.get("split") else split_name
            except ValueError as unknown:
                leave_out(task, Problem("unknown-split", where, str(unknown), "mend it or drop the row"))
                continue
            if not raw or not label:
                what = "sequence" if not raw else "label"
                leave_out(task, Problem(f"empty-{what}", where, f"the row has no {what}", "give one or drop the row"))
                continue
            if raw not in cleaned:
                try:
                    cleaned[raw] = _whole(raw, policy, seed)
                except InvalidSequence as bad:
                    leave_out(task, Problem(bad.code, where, bad.reason, bad.remedy))
                    continue
            sequences.append(cleaned[raw])
            for name, value in (("task", task), ("label", label), ("split", split), ("group", row.get("group", ""))):
                columns[name].append(sys.intern(value))
    unknown = sorted((wanted or set()) - seen)
    if unknown:
        raise ValueError(f"{path} has no task {', '.join(unknown)}; it has {', '.join(sorted(seen))}")
    if not sequences:
        first = f"; first problem: {problems[0]}" if problems else ""
        raise ValueError(f"{path}: no row can be used{first}")
    arrays = {name: np.array(values, dtype=object) for name, values in columns.items()}
    data = LabelledData(sequences, arrays["task"], arrays["label"], arrays["split"], arrays["group"])
    folder = path if path.is_dir() else path.parent
    facts = facts_of(data, read_facts(folder))
    kept, wrong = _labels_that_fit(data, facts)
    for task, problem in wrong:
        leave_out(task, problem)
    good = data.take(kept)
    named = seen if wanted is None else seen & wanted
    lost = {task: first_of[task] for task in sorted(named - set(good.tasks))}
    facts = {task: known for task, known in facts.items() if task not in lost}
    return replace(good, facts=facts, problems=tuple(problems), lost=lost, folder=folder)


def facts_of(data: LabelledData, written: Mapping[str, TaskFacts] | None = None) -> dict[str, TaskFacts]:
    """The facts of each task: those written, or else what its labels show.

    Lists of equally many whole numbers are images, in a square grid where their number is a square. At most
    `MOST_CLASSES` labels, each of four rows on average, are classes, whole numbers in their order and others by the
    alphabet. Other labels that are all numbers are numbers; the rest is text.
    """
    written = written or {}
    found: dict[str, TaskFacts] = {}
    for task in data.tasks:
        labels = [str(label) for label in data.label[data.rows(task=task)]]
        facts = written.get(task)
        if facts is None:
            facts = _shown(labels)
        elif facts.kind == "classification" and not facts.labels:
            facts = replace(facts, labels=_in_order(set(labels)))
        found[task] = facts
    return found


def _shown(labels: Sequence[str]) -> TaskFacts:
    distinct = set(labels)
    numbers = all(_is_number(label) for label in distinct)
    whole = numbers and all("." not in label and "e" not in label.lower() for label in distinct)
    few = len(distinct) <= MOST_CLASSES and 4 * len(distinct) <= max(len(labels), 8)
    grid = _grid(distinct)
    if grid is not None:
        codes = max(int(word) for label in distinct for word in label.split()) + 1
        return TaskFacts("image", options={"codes": max(codes, 2), "grid": list(grid)})
    if few and (whole or not numbers):
        return TaskFacts("classification", _in_order(distinct))
    if numbers:
        return TaskFacts("number")
    return TaskFacts("text")


def _grid(labels: Iterable[str]) -> tuple[int, int] | None:
    """Rows and columns where every label lists equally many codes, at least two."""
    words = [label.split() for label in labels]
    count = len(words[0])
    same = all(len(each) == count and all(word.isascii() and word.isdigit() for word in each) for each in words)
    if count < 2 or not same:
        return None
    side = math.isqrt(count)
    return (side, side) if side * side == count else (1, count)


def _in_order(labels: Iterable[str]) -> tuple[str, ...]:
    values = list(labels)
    if all(_is_number(value) for value in values):
        return tuple(sorted(values, key=lambda value: (float(value), value)))
    return tuple(sorted(values))


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _labels_that_fit(
    data: LabelledData, facts: Mapping[str, TaskFacts]
) -> tuple[np.ndarray, list[tuple[str, Problem]]]:
    """Rows whose labels are of their task's kind, and task and problem of each of the others."""
    kept, wrong = np.ones(len(data), dtype=bool), []
    for row, (task, label) in enumerate(zip(data.task, data.label, strict=True)):
        known = facts[task]
        if known.kind == "classification" and label not in known.labels:
            reason = f"task {task!r} has no class {label!r}; it has {', '.join(known.labels[:10])}"
        elif known.kind == "number" and not _is_number(label):
            reason = f"task {task!r} asks for a number, got {label!r}"
        else:
            continue
        kept[row] = False
        wrong.append(
            (task, Problem("invalid-label", f"row {row + 1} of the data", reason, f"mend it, or {TASKS_FILE}"))
        )
    return np.flatnonzero(kept), wrong


def _whole(raw: str, policy: str, seed: int) -> str:
    # Records of equal draws would share their bases; the text itself names the record.
    return clean(raw, policy, seed=seed ^ zlib.crc32(raw.encode("utf-8", "replace"))).pieces[0].sequence
