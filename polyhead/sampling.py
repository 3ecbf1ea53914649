"""Which tasks meet in a training step, and which of their rows: a function of seed and position, so resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Policy = Literal["uniform", "proportional", "temperature", "round_robin"]


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**63) that is the same on every machine for the same parts, and unrelated for others."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _generator(*parts: object) -> np.random.Generator:
    return np.random.default_rng(derive_seed(*parts))


@dataclass(frozen=True)
class TaskBatch:
    """Rows of one task that are trained on together.

    Attributes:
        task: name of the task.
        rows: row numbers in the task's data, (B,).
        seeds: one seed a row for its augmentation, (B,); a function of seed, task, row and pass.
        share: factor of this batch's mean loss such that the mean over ranks is the mean over all rows; 1 on one rank.
    """

    task: str
    rows: tuple[int, ...]
    seeds: tuple[int, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Step:
    """One optimiser step: batches of distinct tasks."""

    index: int
    batches: tuple[TaskBatch, ...]


def batches_per_pass(rows: int, batch_size: int) -> int:
    """Number of batches that hold `rows` rows once, at most `batch_size` in each."""
    return -(-rows // batch_size)


class TaskSampler(Iterator[Step]):
    """An endless iterator of steps.

    Each task has its own passes over its rows: a permutation drawn from (seed, task, pass), cut into
    ceil(n / batch_size) nearly equal batches (21 rows at 20 give 11 and 10). So a task shows every row before it
    repeats one, whichever policy draws it, across epochs and resumes. A batch of one row occurs only for a task of one
    row, a batch size of one, or an odd number of rows at a batch size of two.

    Policies:
        uniform: the tasks of a step are drawn with equal chance, without replacement within the step.
        temperature: likewise, with chances p proportional to n^(1 / temperature) for the first draw of a step.
        round_robin: the tasks in their order, `tasks_per_step` at a time.
        proportional: a deck; each epoch of `steps_per_epoch` steps holds every batch of every task once, shuffled.

    Args:
        sizes: rows of each task, in the order of the tasks.
        batch_size: most rows of one task in a step.
        tasks_per_step: how many distinct tasks meet in a step; `proportional` may put fewer into some steps.
        policy: see above.
        temperature: T >= 1 of the policy `temperature`; 1 is proportional to size, large values approach uniform.
        seed: everything drawn is a function of it.

    Raises:
        ValueError: for a task without rows, or settings out of range.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        batch_size: int,
        tasks_per_step: int = 1,
        policy: Policy = "uniform",
        temperature: float = 2.0,
        seed: int = 0,
    ):
        empty = [task for task, rows in sizes.items() if rows < 1]
        if not sizes or empty:
            raise ValueError(f"tasks without rows: {', '.join(empty)}" if empty else "no tasks to sample from")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not 1 <= tasks_per_step <= len(sizes):
            raise ValueError(f"tasks_per_step must be in 1..{len(sizes)} (the number of tasks), got {tasks_per_step}")
        if policy not in get_args(Policy):
            raise ValueError(f"unknown sampling policy {policy!r}; known: {', '.join(get_args(Policy))}")
        if not temperature >= 1:
            raise ValueError(f"temperature must be at least 1, got {temperature}")
        self.sizes = dict(sizes)
        self.batch_size, self.tasks_per_step, self.policy = batch_size, tasks_per_step, policy
        self.temperature, self.seed = temperature, seed
        self._batches = {task: batches_per_pass(rows, batch_size) for task, rows in self.sizes.items()}
        weights = np.asarray(list(self.sizes.values()), dtype=float) ** (1 / temperature)
        self._chances = weights / weights.sum() if policy == "temperature" else None
        self._step = 0
        self._cursors = {task: [0, 0] for task in self.sizes}
        self._cuts: dict[str, tuple[int, list[np.ndarray]]] = {}
        self._deck: tuple[int, list[list[str]]] = (-1, [])

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

    def _next_batch(self, task: str) -> TaskBatch:
        number, cursor = self._cursors[task]
        if task not in self._cuts or self._cuts[task][0] != number:
            order = _generator(self.seed, "rows", task, number).permutation(self.sizes[task])
            self._cuts[task] = (number, np.array_split(order, self._batches[task]))
        rows = tuple(int(row) for row in self._cuts[task][1][cursor])
        seeds = tuple(derive_seed(self.seed, "augment", task, row, number) for row in rows)
        last = cursor + 1 == self._batches[task]
        self._cursors[task] = [number + 1, 0] if last else [number, cursor + 1]
        return TaskBatch(task, rows, seeds)

    def _settings(self) -> dict[str, Any]:
        return {
            "sizes": self.sizes,
            "batch_size": self.batch_size,
            "tasks_per_step": self.tasks_per_step,
            "policy": self.policy,
            "temperature": float(self.temperature),
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, Any]:
        """Position as JSON values: the step, and each task's [pass, batch]. The deck follows from the step."""
        cursors = {task: list(cursor) for task, cursor in self._cursors.items()}
        return {"step": self._step, "cursors": cursors, "settings": self._settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a position that `state_dict` gave; one of other tasks, sizes or settings is a `ValueError`."""
        mine = self._settings()
        other = sorted(key for key in mine if state["settings"].get(key) != mine[key])
        if other:
            raise ValueError(f"the sampler's state was made with other settings: {', '.join(other)}")
        self._step = int(state["step"])
        self._cursors = {task: [int(number) for number in state["cursors"][task]] for task in self.sizes}


def shard(step: Step, rank: int, world: int) -> Step:
    """The part of a step that one of `world` ranks works on.

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
        return TaskBatch(batch.task, batch.rows[first:last], batch.seeds[first:last], share)
    row = rank % count
    copies = len(range(row, world, count))
    return TaskBatch(batch.task, (batch.rows[row],), (batch.seeds[row],), world / (count * copies))
