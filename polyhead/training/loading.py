"""Loading the batches of steps: a batch is a function of its rows and seeds, so workers may run ahead."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from polyhead.training.sampling import Step, TaskBatch, batch_name


class TaskData(Protocol):
    """The rows of one task, or of several that share them, given one by one; the rows of a batch are stacked.

    Rows that do not stack (images of several shapes, sequences of several lengths) have keys: an attribute
    ``batch_keys``, one hashable value a row; a batch then holds rows of one key.
    """

    def __len__(self) -> int: ...

    def sample(self, row: int, seed: int | None) -> tuple[Any, Any]:
        """Inputs and targets of a row: tensors, or dicts and tuples of them, of the same shapes for every row.

        Tasks that share their rows have a dict of targets, one a task. All randomness (augmentation) comes from `seed`;
        None asks for none.
        """
        ...


@runtime_checkable
class BatchedTaskData(Protocol):
    """The rows of one task, or of several that share them, given batch by batch: for rows that share something, or that
    arrays index at once. They may have ``batch_keys`` as well."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[Any, Any]:
        """Inputs and targets of a batch: tensors, or dicts and tuples of them; targets as in `TaskData`.

        All randomness comes from `seeds`, one a row.
        """
        ...


Data = Mapping[str, TaskData | BatchedTaskData] | Mapping[Any, TaskData | BatchedTaskData]
"""For each task, or tuple of tasks that share their rows, the rows."""


def batch_keys(data: Data) -> dict[Any, Sequence[Hashable]]:
    """The keys of the rows of those data that have them."""
    found = {tasks: getattr(each, "batch_keys", None) for tasks, each in data.items()}
    return {tasks: keys for tasks, keys in found.items() if keys is not None}


class LoadedBatch(NamedTuple):
    """A batch, or a part of one: what was asked for, and its inputs and targets."""

    of: TaskBatch
    inputs: Any
    targets: Any


@dataclass(frozen=True)
class _Unreadable:
    """An error of a loader process as a value: one that is raised there comes with the process's whole traceback."""

    reason: str


class _Steps(Dataset):
    """Maps the parts of a step to the loaded batches of each; data that offer both give whole batches."""

    def __init__(self, data: Data):
        self.data = {batch_name(tasks): each for tasks, each in data.items()}
        # Asked once: to hold a value against a protocol costs more than to load a small batch.
        self._whole = {name for name, each in self.data.items() if isinstance(each, BatchedTaskData)}

    def __getitem__(self, parts: Sequence[Step]) -> list[list[LoadedBatch]] | _Unreadable:
        try:
            return [[self._load(batch) for batch in part.batches] for part in parts]
        except _BadRow as bad:
            return _Unreadable(str(bad))

    def _load(self, batch: TaskBatch) -> LoadedBatch:
        data: Any = self.data[batch.name]
        if batch.name in self._whole:
            rows = ", ".join(map(str, batch.rows))
            with _Naming(f"task {batch.name!r}, rows {rows}"):
                inputs, targets = data.batch(batch.rows, batch.seeds)
        else:
            pairs = [_sample(data, batch.name, *each) for each in zip(batch.rows, batch.seeds, strict=True)]
            with _Naming(f"task {batch.name!r}, rows {', '.join(map(str, batch.rows))}"):
                inputs, targets = default_collate(pairs)
        if len(batch.tasks) > 1 and not (isinstance(targets, Mapping) and set(targets) == set(batch.tasks)):
            raise _BadRow(f"tasks {batch.name!r} share their rows, so their targets must be a dict with one a task")
        return LoadedBatch(batch, inputs, targets)


class _BadRow(Exception):
    pass


class _Naming:
    """Turns any error within into a `_BadRow` of one line that says where it was."""

    def __init__(self, where: str):
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            reason = " ".join(str(error).split())
            raise _BadRow(f"{self._where}: {type(error).__name__}: {reason}") from error


def _sample(data: TaskData, name: str, row: int, seed: int) -> tuple[Any, Any]:
    with _Naming(f"task {name!r}, row {row}"):
        inputs, targets = data.sample(row, seed)
        return inputs, targets


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when to stop, and stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def load_steps(
    data: Data, steps: Iterable[Sequence[Step]], *, workers: int, pin_memory: bool
) -> Generator[list[list[LoadedBatch]], None, None]:
    """Loads steps in order, `workers` processes ahead; draws nothing from the global random generators.

    Args:
        data: see `Data`.
        steps: each as the parts in which it is worked on.

    Yields:
        for each part of a step its batches.

    Raises:
        ValueError: rows that cannot be loaded, in one line that names them.
    """
    # A forked worker notices when the training process is killed; one of a fork server would wait for ever. Apple's
    # frameworks do not survive a fork.
    forked = workers > 0 and sys.platform != "darwin" and "fork" in torch.multiprocessing.get_all_start_methods()
    loader = DataLoader(
        _Steps(data),
        batch_size=None,
        sampler=steps,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        multiprocessing_context="fork" if forked else None,
    )
    batches = iter(loader)
    try:
        for loaded in batches:
            if isinstance(loaded, _Unreadable):
                raise ValueError(loaded.reason)
            yield loaded
    finally:
        del batches  # with it end the processes, which must not outlive a generator that is closed
