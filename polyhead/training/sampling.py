"""Which tasks meet in a training step, and which of their rows: a function of seed and position, so resumable."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from polyhead.seeds import derive_seed
from polyhead.training.settings import Policy

Group = tuple[str, ...]
"""Tasks that share their rows."""


def _generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(derive_seed(*parts))


@dataclass(frozen=True)
class TaskBatch:
    """Rows that are trained on together, for one task or for several that share them.

    Attributes:
        tasks: names of the tasks, (K,).
        rows: row numbers in the data of these tasks, (B,).
        seeds: one seed a row for its augmentation, (B,); a function of seed, tasks, row and pass.
        share: factor of this batch's mean loss such that the mean over parts is the mean over all rows; 1 for a whole
            batch.
    """

    tasks: Group
    rows: tuple[int, ...]
    seeds: tuple[int, ...]
    share: float = 1.0

    @property
    def name(self) -> str:
        return batch_name(self.tasks)


@dataclass(frozen=True)
class Step:
    """One optimiser step: batches of distinct tasks."""

    index: int
    batches: tuple[TaskBatch, ...]


def batch_name(tasks: str | Group) -> str:
    """The name of what a batch is of: the task, or those that share their rows."""
    return tasks if isinstance(tasks, str) else " + ".join(tasks)


def batches_per_pass(rows: int, batch_size: int) -> int:
    """Number of batches that hold `rows` rows once, at most `batch_size` in each."""
    return -(-rows // batch_size)


class TaskSampler(Iterator[Step]):
    """An endless iterator of steps.

    What is drawn are tasks, or groups of tasks that share their rows (below, a task may be such a group). Each has its
    own passes over its rows: a permutation drawn from (seed, task, pass), cut into ceil(n / batch_size) nearly equal
    batches (21 rows at 20 give 11 and 10). So a task shows every row before it repeats one, whichever policy draws it,
    across epochs and resumes. A batch of one row occurs only for a task of one row, a batch size of one, or an odd
    number of rows at a batch size of two. Where rows have keys (shapes, say), the permutation is cut key by key, and
    the batches of a pass come in an order of their own.

    Policies:
        uniform: the tasks of a step are drawn with equal chance, without replacement within the step.
        temperature: likewise, with chances p proportional to n^(1 / temperature) for the first draw of a step.
        round_robin: the tasks in their order, `tasks_per_step` at a time.
        proportional: a deck; each epoch of `steps_per_epoch` steps holds every batch of every task once, shuffled.

    Args:
        sizes: rows of each task or group, in the order of the tasks.
        batch_size: most rows in a batch; one number, or one a task (of a group, that of its first task).
        tasks_per_step: how many distinct tasks meet in a step; `proportional` may put fewer into some steps.
        policy: see above.
        temperature: T >= 1 of the policy `temperature`; 1 is proportional to size, large values approach uniform.
        seed: everything drawn is a function of it.
        keys: for tasks whose rows do not fit together in any batch, one key a row; a batch holds rows of one key.

    Raises:
        ValueError: for a task without rows, or settings out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int] | Mapping[str | Group, int],
        *,
        batch_size: int | Mapping[str, int],
        tasks_per_step: int = 1,
        policy: Policy = "uniform",
        temperature: float = 2.0,
        seed: int = 0,
        keys: Mapping[Any, Sequence[Hashable]] | None = None,
    ):
        groups = [(tasks,) if isinstance(tasks, str) else tuple(tasks) for tasks in sizes]
        names = [batch_name(group) for group in groups]
        empty = [name for name, rows in zip(names, sizes.values(), strict=True) if rows < 1]
        if not sizes or empty:
            raise ValueError(f"tasks without rows: {', '.join(empty)}" if empty else "no tasks to sample from")
        all_tasks = [task for group in groups for task in group]
        if len(set(all_tasks)) < len(all_tasks) or len(set(names)) < len(names):
            raise ValueError(f"a task stands in two batches: {', '.join(names)}")
        if not 1 <= tasks_per_step <= len(sizes):
            raise ValueError(f"tasks_per_step must be in 1..{len(sizes)} (the number of tasks), got {tasks_per_step}")
        if policy not in get_args(Policy):
            raise ValueError(f"unknown sampling policy {policy!r}; known: {', '.join(get_args(Policy))}")
        if not temperature >= 1:
            raise ValueError(f"temperature must be at least 1, got {temperature}")
        self.groups = dict(zip(names, groups, strict=True))
        self.sizes = dict(zip(names, sizes.values(), strict=True))
        self.batch_sizes = _batch_sizes(batch_size, self.groups)
        self.tasks_per_step, self.policy = tasks_per_step, policy
        self.temperature, self.seed = temperature, seed
        self._keyed = {batch_name(tasks): _rows_by_key(each) for tasks, each in (keys or {}).items()}
        self._check_keys(keys or {})
        self._keys_digest = _digest_of_rows(self._keyed)
        self._batches = {name: self._count(name) for name in self.sizes}
        weights = np.asarray(list(self.sizes.values()), dtype=float) ** (1 / temperature)
        self._chances = weights / weights.sum() if policy == "temperature" else None
        self._step = 0
        self._cursors = {name: [0, 0] for name in self.sizes}
        self._passes: dict[str, tuple[int, _Pass]] = {}
        self._deck: tuple[int, list[list[str]]] = (-1, [])

    def _check_keys(self, keys: Mapping[Any, Sequence[Hashable]]) -> None:
        for tasks, each in keys.items():
            name = batch_name(tasks)
            if len(each) != self.sizes.get(name):
                raise ValueError(f"{len(each)} keys for the {self.sizes.get(name, 0)} rows of {name}")

    def _count(self, name: str) -> int:
        rows = [len(each) for each in self._keyed[name]] if name in self._keyed else [self.sizes[name]]
        return sum(batches_per_pass(each, self.batch_sizes[name]) for each in rows)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that hold as many batches as one pass over every task does; exactly that pass for `proportional`."""
        total = sum(self._batches.values())
        fewest = batches_per_pass(total, self.tasks_per_step)
        # Tasks of one step are distinct, so a deck is no shorter than the pass of its largest task.
        return max(fewest, *self._batches.values()) if self.policy == "proportional" else fewest

    def __next__(self) -> Step:
        tasks = self._draw_tasks(self._step)
        step = Step(self._step, tuple(self._next_batch(task) for task in tasks))
        self._step += 1
        return step

    def _draw_tasks(self, index: int) -> list[str]:
        names = list(self.sizes)
        if self.policy == "round_robin":
            first = index * self.tasks_per_step
            return [names[(first + offset) % len(names)] for offset in range(self.tasks_per_step)]
        if self.policy == "proportional":
            epoch, position = divmod(index, self.steps_per_epoch)
            if self._deck[0] != epoch:
                self._deck = (epoch, self._shuffle_deck(epoch))
            return self._deck[1][position]
        generator = _generator(self.seed, "tasks", index)
        return [names[i] for i in generator.choice(len(names), self.tasks_per_step, replace=False, p=self._chances)]

    def _shuffle_deck(self, epoch: int) -> list[list[str]]:
        """Deals the batches, task by task, round the steps: no step meets a task twice, none exceeds tasks_per_step."""
        generator = _generator(self.seed, "deck", epoch)
        names = list(self.sizes)
        order = [names[i] for i in generator.permutation(len(names))]
        deal = [task for task in order for _ in range(self._batches[task])]
        count = self.steps_per_epoch
        steps = [deal[start::count] for start in range(count)]
        return [steps[i] for i in generator.permutation(count)]

    def _next_batch(self, name: str) -> TaskBatch:
        number, cursor = self._cursors[name]
        if name not in self._passes or self._passes[name][0] != number:
            self._passes[name] = (number, self._shuffle_rows(name, number))
        rows = tuple(self._passes[name][1].batch(cursor))
        seeds = tuple(derive_seed(self.seed, "augment", name, row, number) for row in rows)
        last = cursor + 1 == self._batches[name]
        self._cursors[name] = [number + 1, 0] if last else [number, cursor + 1]
        return TaskBatch(self.groups[name], rows, seeds)

    def _shuffle_rows(self, name: str, number: int) -> _Pass:
        generator = _generator(self.seed, "rows", name, number)
        if name not in self._keyed:
            return _Pass(generator.permutation(self.sizes[name]), _cuts(self.sizes[name], self._batches[name]))
        parts = [generator.permutation(each) for each in self._keyed[name]]
        lengths = [
            len(cut)
            for part in parts
            for cut in np.array_split(part, batches_per_pass(len(part), self.batch_sizes[name]))
        ]
        cuts = np.concatenate([[0], np.cumsum(lengths)])
        return _Pass(np.concatenate(parts), cuts, generator.permutation(len(lengths)))

    def _settings(self) -> dict[str, Any]:
        sizes = set(self.batch_sizes.values())
        return {
            "sizes": self.sizes,
            "batch_size": sizes.pop() if len(sizes) == 1 else self.batch_sizes,
            "tasks_per_step": self.tasks_per_step,
            "policy": self.policy,
            "temperature": float(self.temperature),
            "seed": self.seed,
            **({"keys": self._keys_digest} if self._keyed else {}),
        }

    def position(self) -> dict[str, Any]:
        """The step, and each task's [pass, batch]; the deck follows from the step."""
        return {"step": self._step, "cursors": {name: list(cursor) for name, cursor in self._cursors.items()}}

    def state_dict(self) -> dict[str, Any]:
        """Position and settings as JSON values."""
        return {**self.position(), "settings": self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a position that `state_dict` gave; one of other tasks, sizes or settings is a `ValueError`."""
        mine, theirs = self._settings(), state["settings"]
        other = sorted(key for key in {*mine, *theirs} if theirs.get(key) != mine.get(key))
        if other:
            raise ValueError(f"the sampler's state was made with other settings: {', '.join(other)}")
        self._step = int(state["step"])
        self._cursors = {name: [int(number) for number in state["cursors"][name]] for name in self.sizes}


@dataclass(frozen=True)
class _Pass:
    """One pass over rows: their order (n,), where batches begin and end (b + 1,), and the batches' order (b,)."""

    rows: np.ndarray
    cuts: np.ndarray
    order: np.ndarray | None = None

    def batch(self, number: int) -> list[int]:
        index = number if self.order is None else self.order[number]
        return self.rows[self.cuts[index] : self.cuts[index + 1]].tolist()


def _cuts(rows: int, batches: int) -> np.ndarray:
    """Where nearly equal batches begin and end, the longer ones first (`np.array_split`); (batches + 1,)."""
    length, longer = divmod(rows, batches)
    index = np.arange(batches + 1)
    return index * length + np.minimum(index, longer)


def _rows_by_key(keys: Sequence[Hashable]) -> list[np.ndarray]:
    """The rows of each key, keys in order of appearance."""
    found: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _digest_of_rows(keyed: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Of which rows go together, whatever their keys are called."""
    digest = hashlib.blake2b(digest_size=16)
    for name, parts in sorted(keyed.items()):
        digest.update(f"{name} {[len(rows) for rows in parts]}\n".encode())
        for rows in parts:
            digest.update(rows.astype("<i8").tobytes())
    return digest.hexdigest()


def _batch_sizes(batch_size: int | Mapping[str, int], groups: Mapping[str, Group]) -> dict[str, int]:
    if isinstance(batch_size, Mapping):
        missing = [group[0] for group in groups.values() if group[0] not in batch_size]
        strange = sorted(set(batch_size) - {task for group in groups.values() for task in group})
        if missing or strange:
            wrong = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(strange)}, which is no task"
            raise ValueError(f"batch_size {wrong}; give one number, or one for each task")
        sizes = {name: batch_size[group[0]] for name, group in groups.items()}
    else:
        sizes = dict.fromkeys(groups, batch_size)
    small = next((size for size in sizes.values() if size < 1), None)
    if small is not None:
        raise ValueError(f"batch_size must be at least 1, got {small}")
    return sizes


class StepsAhead:
    """The next `count` steps of a sampler, drawn ahead of the training, and where the training stands among them."""

    def __init__(self, sampler: TaskSampler, count: int):
        self._sampler, self._count = sampler, count
        self._drawn: deque[tuple[Step, dict[str, Any]]] = deque()
        self._state = sampler.state_dict()

    def __iter__(self) -> Iterator[Step]:
        for step in itertools.islice(self._sampler, self._count):
            self._drawn.append((step, self._sampler.position()))
            yield step

    def take(self) -> Step:
        """The first step that has been drawn and not taken."""
        step, position = self._drawn.popleft()
        self._state |= position
        return step

    def state_dict(self) -> dict[str, Any]:
        """`TaskSampler.state_dict` after the steps that were taken."""
        return dict(self._state)


def shard(step: Step, rank: int, world: int) -> Step:
    """The part of a step that one of `world` ranks works on, or one of so many parts worked on in sequence.

    Rows are split into nearly equal runs. A batch with fewer rows than ranks is dealt round instead, so that every rank
    has a row and no rank waits for others in vain: rank r takes row r mod n. `share` makes up for unequal parts and for
    rows that several ranks hold: the mean over ranks of share times the local mean loss is the mean over the step's
    rows.
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank must be in 0..{world - 1}, got {rank}")
    if world == 1:
        return step
    return Step(step.index, tuple(_shard_batch(batch, rank, world) for batch in step.batches))


def _shard_batch(batch: TaskBatch, rank: int, world: int) -> TaskBatch:
    count = len(batch.rows)
    if count >= world:
        first, last = rank * count // world, (rank + 1) * count // world
        share = (last - first) * world / count
        return replace(batch, rows=batch.rows[first:last], seeds=batch.seeds[first:last], share=share)
    row = rank % count
    copies = len(range(row, world, count))
    return replace(batch, rows=(batch.rows[row],), seeds=(batch.seeds[row],), share=world / (count * copies))
