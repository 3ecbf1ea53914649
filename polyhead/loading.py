"""Loading the batches of steps: a sample is a function of its row and seed, so workers may run ahead."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from polyhead.sampling import Step


class TaskData(Protocol):
    """The rows of one task."""

    def __len__(self) -> int: ...

    def sample(self, row: int, seed: int | None) -> tuple[Any, Any]:
        """Inputs and targets of a row: tensors, or dicts and tuples of them, of the same shapes for every row.

        All randomness (augmentation) comes from `seed`; None asks for none.
        """
        ...


class _Steps(Dataset):
    """Maps a step to ``{task: (inputs, targets)}``, each stacked over the rows of the task's batch."""

    def __init__(self, data: Mapping[str, TaskData]):
        self.data = data

    def __getitem__(self, step: Step) -> dict[str, Any]:
        return {
            batch.task: default_collate(
                [self._sample(batch.task, row, seed) for row, seed in zip(batch.rows, batch.seeds, strict=True)]
            )
            for batch in step.batches
        }

    def _sample(self, task: str, row: int, seed: int) -> tuple[Any, Any]:
        try:
            inputs, targets = self.data[task].sample(row, seed)
        except Exception as error:
            raise ValueError(f"task {task!r}, row {row}: {type(error).__name__}: {error}") from error
        return inputs, targets


def _start_worker(_: int) -> None:
    # Ctrl-C reaches the whole process group; the training process decides when to stop, and stops its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def step_loader(
    data: Mapping[str, TaskData], steps: Iterable[Step], *, workers: int, pin_memory: bool
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
