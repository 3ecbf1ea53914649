"""Room for a batch: what will be written against what is free, before it starts and once the first cases are done."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyhead.batch.case import Case
from polyhead.batch.receipts import load_receipt
from polyhead.batch.writer import RECEIPT
from polyhead.system.disk import as_size, free_bytes, no_room

logger = logging.getLogger(__name__)

BytesOf = Callable[[Case], float]
"""About how many bytes the answer to a case takes on the disk."""

SAMPLED = 32
"""Cases that are looked at to estimate all."""

MEASURED = 8
"""Cases whose size on the disk decides whether the rest has room."""

BLOCK = 4096
"""What files take up at least, and in steps of, on most file systems."""

_CERTAIN = 0.7
"""Share of an estimate that will be needed at least."""

_REMEDIES = {
    errno.EDQUOT: "your quota is used up: make room there, or choose less with --save",
    errno.EROFS: "the file system is read-only: mount it for writing",
}


class TooLittleRoom(ValueError):
    """What will be written has clearly no room."""


@dataclass(frozen=True)
class Room:
    """What a batch will write to `place`, and what is free there, in bytes."""

    needed: float
    free: int
    place: Path

    @property
    def line(self) -> str:
        return f"about {as_size(self.needed)} will be written, {as_size(self.free)} are free in {self.place}"

    @property
    def is_clearly_too_little(self) -> bool:
        """Whether even the least that is to be expected has no room."""
        return _CERTAIN * self.needed > self.free

    def require(self) -> None:
        """A `TooLittleRoom` where there clearly is too little; where there may be, a warning."""
        if self.is_clearly_too_little:
            raise TooLittleRoom(f"{self.line}; choose less with --save, make room there, or choose another -o")
        if self.needed > self.free:
            logger.warning("%s: there may be too little room", self.line)


def room_for(cases: Sequence[Case], out: Path, bytes_of: BytesOf) -> Room:
    """What the cases that `out` has no receipt of will take, estimated by some of them, evenly spread."""
    ahead = _without_receipt(cases, out)
    sampled = ahead[:: max(1, len(ahead) // SAMPLED)]
    needed = sum(map(bytes_of, sampled)) / len(sampled) * len(ahead) if sampled else 0.0
    return Room(needed, free_bytes(out), out)


class FirstCases:
    """Measures the first cases that are done, and says once whether the others have room.

    Args:
        cases: all of them, of which some may have been done earlier.
        out: the folder of the results.
    """

    def __init__(self, cases: Sequence[Case], out: Path):
        self._cases, self._out = cases, out
        self._sizes: list[int] = []

    def take(self, case_id: str) -> None:
        """Takes in a case that was done just now; a `TooLittleRoom` where the others clearly have no room."""
        if len(self._sizes) >= MEASURED:
            return
        receipt = load_receipt(self._out / case_id)
        if receipt is None:
            return
        self._sizes.append(size_of(receipt.outputs))
        if len(self._sizes) == MEASURED:
            size, free = sum(self._sizes) / MEASURED, free_bytes(self._out)
            if Room(size * len(self._cases), free, self._out).is_clearly_too_little:
                Room(size * len(_without_receipt(self._cases, self._out)), free, self._out).require()


def stopped_by(error: BaseException, out: Path) -> str | None:
    """The line for a batch into `out` that `error` stops because there is no room; None for any other error."""
    if isinstance(error, TooLittleRoom):
        return f"{error}; the same command goes on where this one stopped"
    full = no_room(error)
    if full is None:
        return None
    remedy = _REMEDIES.get(full.errno or 0, "make room there, or choose less with --save")
    place = out if full.filename is None or Path(full.filename).is_relative_to(out) else full.filename
    return f"{place}: {full.strerror}: the batch stops; {remedy}, and run the same command again: it goes on from here"


def size_of(outputs: Mapping[str, Mapping[str, object]]) -> int:
    """What the outputs of a receipt, and the receipt, take up on the disk."""
    return on_disk(*(size for sums in outputs.values() if isinstance(size := sums.get("bytes"), int)), 0)


def on_disk(*sizes: float) -> int:
    """What files of these sizes take up: whole blocks, at least one each."""
    return sum(max(BLOCK, -int(-size // BLOCK) * BLOCK) for size in sizes)


def _without_receipt(cases: Sequence[Case], out: Path) -> list[Case]:
    return [case for case in cases if not (out / case.id / RECEIPT).exists()]
