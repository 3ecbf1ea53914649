"""Loading the batches of steps: a batch is a function of its rows and seeds, so workers may run ahead."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from polyhead.sampling import Step, TaskBatch


class TaskData(Protocol):
    """The rows of one task, given one by one; the rows of a batch are stacked."""

    def __len__(self) -> int: ...

    def sample(self, row: int, seed: int | None) -> tuple[Any, Any]:
        """Inputs and targets of a row: tensors, or dicts and tuples of them, of the same shapes for every row.

        All randomness (augmentation) comes from `seed`; None asks for none.
        """
        ...


@runtime_checkable
class BatchedTaskData(Protocol):
    """The rows of one task, given batch by batch: for rows that share something, or that arrays index at once."""

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int], seeds: Sequence[int]) -> tuple[Any, Any]:
        """Inputs and targets of a batch: tensors, or dicts and tuples of them.

        All randomness comes from `seeds`, one a row.
        """
        ...


class _Steps(Dataset):
    """Maps a step to ``{task: (inputs, targets)}`` of the task's batch; data that offer both give whole batches."""

    def __init__(self, data: Mapping[str, TaskData | BatchedTaskData]):
        self.data = data

    def __getitem__(self, step: Step) -> dict[str, Any]:
        return {batch.task: self._load(batch) for batch in step.batches}

    def _load(self, batch: TaskBatch) -> Any:
        data = self.data[batch.task]
        if isinstance(data, BatchedTaskData):
            try:
                inputs, targets = data.batch(batch.rows, batch.seeds)
            except Exception as error:
                rows = ", ".join(map(str, batch.rows))
                raise ValueError(f"task {batch.task!r}, rows {rows}: {type(error).__name__}: {error}") from error
            return inputs, targets
        pairs = zip(batch.rows, batch.seeds, strict=True)
        return default_collate([_sample(data, batch.task, row, seed) for row, seed in pairs])


def _sample(data: TaskData, task: str, row: int, seed: int) -> tuple[Any, Any]:
    try:
        inputs, targets = data.sample(row, seed)
    except Exception as error:
        raise ValueError(f"task {task!r}, row {row}: {type(error).__name__}: {error}") from error
    return inputs, targets


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when to stop, and stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def step_loader(
    data: Mapping[str, TaskData | BatchedTaskData], steps: Iterable[Step], *, workers: int, pin_memory: bool
) -> DataLoader[dict[str, Any]]:
    """Loads `steps` in order, `workers` processes ahead; draws nothing from the global random generators."""
    # A forked worker notices when the training process is killed; one of a fork server would wait for ever.
    forked = workers > 0 and "fork" in torch.multiprocessing.get_all_start_methods()
    return DataLoader(
        _Steps(data),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        multiprocessing_context="fork" if forked else None,
    )
