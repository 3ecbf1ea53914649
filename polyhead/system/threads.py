"""Pieces of work on a CPU side by side, in threads of one core each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Job = TypeVar("Job")
Done = TypeVar("Done")

_making = Lock()


def side_by_side(work: Callable[[Job], Done], jobs: Sequence[Job]) -> list[Done]:
    """What `work` makes of each job, in order, in inference mode: as many at once as torch has threads, one core each.

    Many small operations are so quicker than one after the other on all cores, where each waits for all of them; and
    what a job gives does not depend on how many there are. All callers share the threads; a job may call it again.
    """

    def inferred(job: Job) -> Done:
        with torch.inference_mode():
            return work(job)

    count = torch.get_num_threads()
    if count == 1:  # as within a job: one that waited for a thread of its own pool might wait for itself
        return [inferred(job) for job in jobs]
    with _making:
        threads = _one_core_threads(count)
    return list(threads.map(inferred, jobs))


@cache
def _one_core_threads(count: int) -> ThreadPoolExecutor:
    threads = ThreadPoolExecutor(count, "one-core", initializer=_take_one_core)
    started = Barrier(count + 1)
    for _ in range(count):
        threads.submit(started.wait)
    started.wait()
    # What a thread sets is its own, but new threads would take it over.
    torch.set_num_threads(count)
    return threads


def _take_one_core() -> None:
    # Asked first: torch gives a thread the number of all at its first question or work, whatever was set before.
    torch.get_num_threads()
    torch.set_num_threads(1)


def _forget() -> None:
    """A forked child has none of these threads, and would wait for them for ever; nor for who was making them."""
    global _making
    _making = Lock()
    _one_core_threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
