"""What a test set gives away: sequences and 31-mers that training has seen, and a predictor that looks at no DNA."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domains.genomics.data.splits import TEST, TRAIN, sequence_groups
from domains.genomics.evaluation.metrics import mcc
from domains.genomics.sequences.kmers import LONGEST, sequence_kmers

_FEW = 10


@dataclass(frozen=True)
class TaskLeakage:
    """What one task's test rows share with training.

    Attributes:
        train, test: rows of the task.
        same_task: share of test rows whose sequence, or its reverse complement, training has under this task.
        any_task: the same under any task.
        kmers: share of the distinct canonical k-mers of the test sequences that training has, under any task.
        overlapping: share of test rows with at least a fifth of their k-mers in training.
        label_only: MCC, over the test rows that training labels under another task, of a predictor that sees these
            other labels and no DNA; NaN where there are too few such rows or classes.
        label_only_rows: how many these are.
        label_only_all: its MCC over all test rows, where it only knows what is missing from the others.
    """

    task: str
    train: int
    test: int
    same_task: float
    any_task: float
    kmers: float
    overlapping: float
    label_only: float
    label_only_rows: int
    label_only_all: float

    def to_json(self) -> dict[str, Any]:
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class LeakageReport:
    """What the test side of a split shares with its training side, task by task, and the k that was counted."""

    tasks: tuple[TaskLeakage, ...]
    k: int = LONGEST
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether test and training share no sequence and no k-mer."""
        return all(task.any_task == 0 and not task.kmers > 0 for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "clean": self.clean,
            "settings": self.settings,
            "tasks": [task.to_json() for task in self.tasks],
        }

    def lines(self) -> list[str]:
        """One sentence a task."""
        return [
            f"{task.task}: {task.any_task:.1%} of {task.test} test sequences stand in training under some task "
            f"({task.same_task:.1%} under this one), {task.kmers:.1%} of their {self.k}-mers do; "
            + (
                "no other task's labels tell about them"
                if math.isnan(task.label_only)
                else f"MCC {task.label_only:.3f} on {task.label_only_rows} of them without DNA, from labels alone"
            )
            for task in self.tasks
        ]


def leakage_report(
    sequences: Sequence[str],
    tasks: Sequence[str],
    labels: Sequence[str],
    side: ArrayLike,
    *,
    k: int = LONGEST,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
) -> LeakageReport:
    """Counts what the test rows of each task share with the training rows of all tasks.

    The predictor without DNA is a logistic regression on the labels that training gives the same sequence under the
    other tasks, one indicator a label; it is fitted on the task's own training rows and the labels that their
    sequences have in training. Whatever it scores, a multi-task model can score without having understood any DNA.

    Args:
        sequences, tasks, labels: of every row, shape (n,).
        side: "train", "test" or anything else (left out) of every row, shape (n,); see `Split.side`.

    Raises:
        ValueError: lengths that differ, or no test or no training rows.
    """
    side = np.asarray(side)
    names, answers = np.array(list(tasks)), np.array([str(label) for label in labels])
    if not len(sequences) == len(names) == len(answers) == len(side):
        raise ValueError(
            f"sequences, tasks, labels and sides are of the same rows, got {len(sequences)}, {len(names)}, "
            f"{len(answers)} and {len(side)}"
        )
    train, test = side == TRAIN, side == TEST
    if not train.any() or not test.any():
        raise ValueError(f"leakage is between training and test rows; there are {train.sum()} and {test.sum()}")
    group = sequence_groups(sequences)
    seen = np.zeros(int(group.max()) + 1, dtype=bool)
    seen[group[train]] = True
    share, distinct, found = _kmer_shares(sequences, group, train, test, names, k)
    reports = []
    for task in dict.fromkeys(names[test].tolist()):
        mine = names == task
        rows = np.flatnonzero(mine & test)
        own = np.isin(group[rows], group[mine & train])
        label_only, known, everywhere = _label_only(group, names, answers, train, task, rows, seed)
        counted = share[rows][np.isfinite(share[rows])]
        reports.append(
            TaskLeakage(
                task=task,
                train=int((mine & train).sum()),
                test=len(rows),
                same_task=float(own.mean()),
                any_task=float(seen[group[rows]].mean()),
                kmers=found[task] / distinct[task] if distinct[task] else math.nan,
                overlapping=float((counted >= 0.2).mean()) if len(counted) else math.nan,
                label_only=label_only,
                label_only_rows=known,
                label_only_all=everywhere,
            )
        )
    return LeakageReport(tuple(reports), k, dict(settings or {}))


def _kmer_shares(
    sequences: Sequence[str], group: NDArray, train: NDArray, test: NDArray, names: NDArray, k: int
) -> tuple[NDArray[np.float64], dict[str, int], dict[str, int]]:
    """Share (n,) of each test row's k-mers that training has, NaN elsewhere; distinct and seen k-mers of each task."""
    known = _distinct(
        codes for codes, _ in sequence_kmers([sequences[int(row)] for row in _first_rows(group, train)], k)
    )
    share = np.full(len(sequences), np.nan)
    distinct, found = {}, {}
    for task in dict.fromkeys(names[test].tolist()):
        rows = np.flatnonzero(test & (names == task))
        total, hits = np.zeros(len(rows)), np.zeros(len(rows))
        every = []
        for codes, owner in sequence_kmers([sequences[int(row)] for row in rows], k):
            total += np.bincount(owner, minlength=len(rows))
            hits += np.bincount(owner[_contains(known, codes)], minlength=len(rows))
            every.append(codes)
        share[rows] = np.divide(hits, total, out=np.full(len(rows), np.nan), where=total > 0)
        every = _distinct(every)
        distinct[task], found[task] = len(every), int(_contains(known, every).sum())
    return share, distinct, found


def _distinct(blocks: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The distinct codes of all blocks, rising."""
    codes = np.concatenate([np.empty(0, dtype=np.uint64), *blocks])
    codes.sort()  # np.unique hashes, which is many times slower here
    return codes[np.r_[True, codes[1:] != codes[:-1]]] if len(codes) else codes


def _contains(known: NDArray[np.uint64], codes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which codes are in `known`, sorted."""
    found = np.zeros(len(codes), dtype=bool)
    if len(known):
        order = np.argsort(codes)  # looked up in order, the search stays in the cache
        place = np.minimum(np.searchsorted(known, codes[order]), len(known) - 1)
        found[order] = known[place] == codes[order]
    return found


def _first_rows(group: NDArray, chosen: NDArray) -> NDArray[np.intp]:
    rows = np.flatnonzero(chosen)
    return rows[np.unique(group[rows], return_index=True)[1]]


def _label_only(
    group: NDArray, names: NDArray, answers: NDArray, train: NDArray, task: str, rows: NDArray, seed: int
) -> tuple[float, int, float]:
    others = train & (names != task)
    pairs = np.array([f"{name}\t{label}" for name, label in zip(names[others], answers[others], strict=True)])
    columns, column = np.unique(pairs, return_inverse=True)
    fitting = np.flatnonzero(train & (names == task))
    classes, target = np.unique(answers[fitting], return_inverse=True)
    if not len(columns) or len(classes) < 2:
        return math.nan, 0, math.nan
    from scipy.sparse import csr_matrix

    table: Any = csr_matrix((np.ones(len(column)), (group[others], column)), shape=(int(group.max()) + 1, len(columns)))
    table.sum_duplicates()  # a label that stands twice counts once
    table.data[:] = 1.0
    told = np.asarray(table.sum(axis=1)).ravel() > 0
    known = told[group[rows]]
    if known.sum() < _FEW or not told[group[fitting]].any():
        return math.nan, int(known.sum()), math.nan
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000, random_state=seed)
    model.fit(table[group[fitting]], target)
    place = {name: index for index, name in enumerate(classes.tolist())}
    # A label that training never has is a class of its own, which cannot be hit.
    wanted = np.array([place.get(label, len(classes)) for label in answers[rows].tolist()])
    given = np.asarray(model.predict(table[group[rows]]))
    return mcc(wanted[known], given[known]), int(known.sum()), mcc(wanted, given)
