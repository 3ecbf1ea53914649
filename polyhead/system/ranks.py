"""The processes of one training: which device each has, and how they agree on numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from polyhead.system.devices import choose_device

Value = TypeVar("Value")


class Ranks:
    """This process among those that train together, as `torchrun` or `accelerate launch` started them; else one.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``. Of several processes each has its own device, so there
            only ``auto`` (GPUs where there are any), ``cuda`` and ``cpu`` make sense.

    Raises:
        ValueError: for a device that this machine lacks.
    """

    def __init__(self, device: str = "auto"):
        from accelerate import PartialState

        on_cpu = device == "cpu" or not torch.cuda.is_available()
        # Other ranks wait while the first one validates, which may take longer than the usual ten minutes.
        state = PartialState(cpu=on_cpu, timeout=timedelta(hours=6))
        self.index, self.world = state.process_index, state.num_processes
        self.device = choose_device(device if self.world == 1 else str(state.device))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.index == 0

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over ranks; each gives one of the same shape."""
        if self.world == 1:
            return tensor
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total / self.world

    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its mean over ranks, through one flat buffer a dtype."""
        if self.world == 1:
            return
        groups: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            groups.setdefault(tensor.dtype, []).append(tensor)
        for group in groups.values():
            flat = self.mean(torch.cat([tensor.reshape(-1).to(self.device) for tensor in group]))
            for tensor, part in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Gives every rank the tensors of the first."""
        if self.world > 1:
            for tensor in tensors:
                shared = tensor.detach().contiguous()
                torch.distributed.broadcast(shared, 0)
                tensor.detach().copy_(shared)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return flag if self.world == 1 else bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def first_says(self, value: float) -> float:
        """The number that the first rank gives."""
        if self.world == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(told, 0)
        return told.item()

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def first_does(self, work: Callable[[], Value]) -> Value:
        """What `work`, done by the first rank alone, gives; the others wait for it.

        Args:
            work: what it gives must be a value that pickle carries.

        Raises:
            ValueError: on every rank, what `work` raised on the first; another error is a `RuntimeError` on the others.
        """
        if self.world == 1:
            return work()
        if not self.first:
            value, refused, failed = self.gather(None)[0]
            if refused is not None:
                raise ValueError(refused)
            if failed is not None:
                raise RuntimeError(f"the first process failed: {failed}")
            return value
        try:
            value = work()
        except ValueError as error:
            self.gather((None, str(error), None))
            raise
        except Exception as error:
            self.gather((None, None, f"{type(error).__name__}: {error}"))
            raise
        return self.gather((value, None, None))[0][0]

    def only_first(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say` on the first rank; on the others what says nothing."""
        return say if self.first else lambda line: None


def leave_ranks() -> None:
    """Ends the group of the processes that train together, where there is one.

    A process that ends with its group open may be aborted by a thread of it, long after its work was done.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
