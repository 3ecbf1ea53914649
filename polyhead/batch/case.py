"""The words of batch prediction: a case, what is wrong with it, who answers it, and where its files go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Record = dict[str, Any]
"""What `Predictor.write` says of a case: JSON values only, the row of the case in results and summary."""


@dataclass(frozen=True)
class Finding:
    """What looking for inputs found out about one, so that it is not read.

    Attributes:
        status: ``invalid_input``, or ``passed_over`` for what turned out to be no input and is no failure.
        code, reason, remedy: as of an `InvalidInput`.
    """

    status: Literal["invalid_input", "passed_over"]
    code: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Case:
    """One input and what is asked of it.

    Attributes:
        id: relative POSIX path without suffix, unique in a batch; the case's folder under OUT.
        path: the file, or the folder, that is read.
        tasks: names of the tasks that are asked; empty asks for all that the model knows.
        options: JSON values that the application needs to read or write the case.
        files: all files and folders that decide the answer, `path` and its companions; empty means `path` alone.
        finding: what is known of it before it is read; such a case is not read.
    """

    id: str
    path: Path
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    finding: Finding | None = None


class InvalidInput(Exception):
    """An input that cannot be processed: a stable code, what is wrong, and what to do about it."""

    def __init__(self, code: str, reason: str, remedy: str = ""):
        super().__init__(code, reason, remedy)
        self.code, self.reason, self.remedy = code, reason, remedy

    def __str__(self) -> str:
        return f"[{self.code}] {self.reason}" + (f"; {self.remedy}" if self.remedy else "")


class Writer(Protocol):
    """Writes the files of one case: each under a temporary name, synced, renamed, hashed."""

    def saves(self, product: str) -> bool:
        """Whether the user wants this product of the application; see `polyhead.batch.products`."""
        ...

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes one file under the case's folder; `name` is a relative POSIX path."""
        ...

    def write_json(self, name: str, value: Any) -> None:
        """Writes JSON; non-finite numbers are a `ValueError`."""
        ...

    def file(self, name: str) -> AbstractContextManager[Path]:
        """A temporary path, with the suffix of `name`, for a library that writes the file itself within the block."""
        ...


class Predictor(Protocol[Item, Result]):
    """Loads its run once and lives in a worker. `read`, `predict` and `write` of different cases overlap.

    A predictor of large cases may have an attribute ``in_flight: int``: how many cases may be held at once, from the
    begin of `read` to the end of `write`; 0, or no such attribute, lets the runner choose. In a case that takes
    minutes, `polyhead.batch.monitor.current_monitor` tells how far it is, and where it may be stopped.
    """

    def read(self, case: Case) -> Item:
        """Reads one case on the CPU; bad input raises `InvalidInput`."""
        ...

    def predict(self, items: Sequence[Item]) -> list[Result]:
        """Answers a batch that may mix tasks; the shared part runs once."""
        ...

    def write(self, case: Case, result: Result, out: Writer) -> Record:
        """Writes the files of one case through `out` and returns its record."""
        ...
