"""What torchrun or accelerate says, in the environment, of processes that train together. Needs no torch."""

from __future__ import annotations

import os


def process_count() -> int:
    """How many processes were started together; 1 where no launcher says anything."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def is_first_process() -> bool:
    """Whether this process is the one that writes and speaks."""
    return process_count() == 1 or int(os.environ.get("RANK") or 0) == 0
