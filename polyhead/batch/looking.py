"""Looking for inputs: nothing seen makes it wait for ever, and what cannot be looked at is said of the case itself."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from polyhead.batch.case import Case, Finding, InvalidInput
from polyhead.batch.monitor import Monitor, current_monitor, monitored
from polyhead.batch.outcome import Outcome
from polyhead.system.regular import Hollow, NotRegular, require_regular

LOOK_SECONDS = 60.0
"""How long a file or folder, or a part of it that is told of, may take, as long as all before it answered."""
IMPATIENT_SECONDS = 2.0
"""The same after one that did not answer: a dead share must not cost a minute a file."""

_CHUNK = 64

Item = TypeVar("Item")
Found = TypeVar("Found")


class NoInputInside(Exception):
    """A source looked into a file and found that it is none of its inputs, whatever its name says.

    In a folder the file is passed over by name and reason; one that the user names himself fails.
    """

    def __init__(self, code: str, reason: str, remedy: str = ""):
        super().__init__(reason)
        self.code, self.reason, self.remedy = code, reason, remedy


class Looker:
    """Calls functions in a thread of its own, which is left to itself where a call does not come back in time.

    What takes long tells its parts to the current monitor, and its time begins anew.
    """

    def __init__(self, seconds: float = LOOK_SECONDS):
        self.seconds = self._patience = seconds
        self._calls: queue.SimpleQueue[_Call | None] | None = None

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._calls is not None:
            self._calls.put(None)

    def __call__(self, function: Callable[..., Found], *arguments: Any) -> Found:
        """What the function returns or raises; `TimeoutError` (an `OSError`) where it does neither in time."""
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._calls,), name="look", daemon=True).start()
        call = _Call(function, arguments)
        self._calls.put(call)
        while True:
            left = call.moved + self._patience - time.monotonic()
            try:
                result, error = call.answers.get(timeout=max(0.0, left))
                break
            except queue.Empty:
                if time.monotonic() < call.moved + self._patience:
                    continue
                self._calls.put(None)  # for the thread to end, should it ever come back
                self._calls = None
                told, self._patience = self._patience, min(self.seconds, IMPATIENT_SECONDS)
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {told:g} s") from None
        self._patience = self.seconds
        if error is not None:
            raise error
        return result

    def each(
        self, function: Callable[[Item], Found], items: Sequence[Item]
    ) -> Iterator[tuple[Item, Found | None, Exception | None]]:
        """Each item with what the function returns of it, or raises; one that does not answer stops no other.

        Many are done by one call: to hand each of them over would take longer than to look at it.
        """
        place = 0
        while place < len(items):
            done: list[tuple[Found | None, Exception | None]] = []
            late: list[tuple[None, Exception]] = []
            try:
                self(_do_each, function, items[place : place + _CHUNK], done)
            except TimeoutError as error:
                late.append((None, error))
            told = [*done, *late][:_CHUNK]
            for item, (result, error) in zip(items[place:], told, strict=False):
                yield item, result, error
            place += len(told)


def at_once(function: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[tuple[Item, Any, Exception | None]]:
    """As `Looker.each`, in this thread and without a limit of time."""
    done: list[tuple[Found | None, Exception | None]] = []
    for item in items:
        _do_each(function, [item], done)
        yield item, *done.pop()


def _do_each(
    function: Callable[[Item], Found], items: Sequence[Item], done: list[tuple[Found | None, Exception | None]]
) -> None:
    monitor = current_monitor()
    for number, item in enumerate(items, 1):
        try:
            done.append((function(item), None))
        except Exception as error:
            done.append((None, error))
        monitor.part(number, len(items) + 1, "files")


class _Call:
    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]):
        self.function, self.arguments = function, arguments
        self.answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self.moved = time.monotonic()

    def moves(self, *_: object) -> None:
        self.moved = time.monotonic()


def _serve(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.moves()
        try:
            with monitored(Monitor(call.moves)):
                call.answers.put((call.function(*call.arguments), None))
        except BaseException as error:
            call.answers.put((None, error))
        del call


def refusal(path: Path, error: OSError, named: str | None = None) -> InvalidInput:
    """What the file system refused, in the words of an input that is invalid.

    Args:
        named: what the file is called; its name, if None.
    """
    name = path.name if named is None else named
    # `Path` raises what it is asked about here.
    why = error.strerror or str(error) or type(error).__name__
    if isinstance(error, NotRegular):
        return InvalidInput("not-a-file", f"{name} is {why}", "copy what it gives to a regular file")
    if isinstance(error, Hollow):
        return InvalidInput("hollow-file", f"{name} is full of holes: {why}", "copy it again")
    if isinstance(error, FileNotFoundError):
        reason = f"{name} is a link that leads nowhere" if os.path.islink(path) else f"there is no such file: {name}"  # noqa: PTH114
        return InvalidInput("missing-file", reason, "check the path or the list of inputs")
    if isinstance(error, PermissionError):
        what = "the folder cannot be entered" if os.path.isdir(path) else "cannot be read"  # noqa: PTH112
        return InvalidInput("no-permission", f"{name}: {what} ({why})", "change its permissions, or run as its owner")
    if isinstance(error, TimeoutError):
        return InvalidInput("no-answer", f"{name}: {why}", "check the disk or the network behind it, or its size")
    return InvalidInput("unreadable-file", f"{name} cannot be read: {why}", "check the path, the disk and links")


def found_wrong(path: Path, error: OSError, named: str | None = None) -> Finding:
    """`refusal` as a finding."""
    wrong = refusal(path, error, named)
    return Finding("invalid_input", wrong.code, wrong.reason, wrong.remedy)


def irregular(path: Path) -> Finding | None:
    """What is wrong with a file before it is opened; None also for what is missing, which reading it says."""
    try:
        require_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return found_wrong(path, error)
    return None


def found_outcome(case: Case) -> Outcome | None:
    """The outcome of a case that looking for inputs has settled; None where it is to be read."""
    found = case.finding
    if found is None:
        return None
    return Outcome(case.id, str(case.path), found.status, found.code, found.reason, found.remedy)
