"""A worker in this process: what it says, and what it makes of its predictor's errors."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from polyhead.batch.case import Case, Writer
from polyhead.batch.worker import Worker, WorkerSettings, case_from_json, case_to_json, in_flight_of


class Narrow:
    """Bears at most `most` items at once, as a device with little memory."""

    def __init__(self, most: int):
        self.most, self.sizes = most, []

    def read(self, case: Case) -> str:
        return case.id

    def predict(self, items: Sequence[str]) -> list[str]:
        self.sizes.append(len(items))
        if len(items) > self.most:
            raise MemoryError
        return list(items)

    def write(self, case: Case, result: str, out: Writer) -> dict[str, Any]:
        out.write_bytes("answer", result.encode())
        return {}


def served(predictor: Any, cases: Sequence[Case], out: Path, batch_size: int) -> list[dict[str, Any]]:
    """What a worker said until all cases had an outcome."""
    said: list[dict[str, Any]] = []
    all_done = threading.Semaphore(0)

    def emit(message: dict[str, Any]) -> None:
        said.append(message)
        if message["event"] == "outcome":
            all_done.release()

    worker = Worker(emit, predictor, WorkerSettings(str(out), "m", {}, batch_size, 1))
    for case in cases:
        worker.take(case)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    for _ in cases:
        assert all_done.acquire(timeout=20)
    worker.stop()
    thread.join(20)
    assert not thread.is_alive()
    return said


def many(folder: Path, count: int) -> list[Case]:
    for index in range(count):
        (folder / str(index)).write_bytes(b"x")
    return [Case(f"c{index}", folder / str(index)) for index in range(count)]


def test_memory_that_runs_out_halves_the_batch_for_good(tmp_path):
    predictor = Narrow(2)
    said = served(predictor, many(tmp_path, 40), tmp_path / "out", 8)
    assert {message["outcome"]["status"] for message in said if message["event"] == "outcome"} == {"ok"}
    full = [size for size in predictor.sizes if size > 2]
    assert full == [8, 4], "each size that is too much is tried once"
    assert max(predictor.sizes[predictor.sizes.index(4) + 1 :]) == 2


class Held:
    """What a predictor reads; it may be large."""


class Failing(Narrow):
    """Fails at every item, and knows which of them anybody still holds."""

    def __init__(self) -> None:
        super().__init__(0)
        self.items: list[weakref.ref[Held]] = []

    def read(self, case: Case) -> Any:
        item = Held()
        self.items.append(weakref.ref(item))
        return item

    def predict(self, items: Sequence[Any]) -> list[str]:
        raise ValueError(f"{len(items)} items")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_failed_is_let_go_at_once(tmp_path, batch_size):
    predictor = Failing()
    gc.disable()
    try:
        said = served(predictor, many(tmp_path, 3), tmp_path / "out", batch_size)
        assert [ref() for ref in predictor.items] == [None] * 3
    finally:
        gc.enable()
    assert [each["outcome"]["status"] for each in said if each["event"] == "outcome"] == ["failed"] * 3


def test_every_stage_is_told_of_and_so_is_what_lies_between(tmp_path):
    (case,) = many(tmp_path, 1)
    said = served(Narrow(1), [case], tmp_path / "out", 1)
    words = [message.get("stage", message["event"]) for message in said]
    assert words == ["read", None, "predict", None, "write", "outcome"]
    assert all(message["ids"] == ["c0"] for message in said[:-1])
    times = [message["time"] for message in said]
    assert times == sorted(times)


def test_cases_travel_as_json(tmp_path):
    case = Case("a/b", tmp_path / "x", ("t", "u"), {"frame": 3}, (tmp_path / "x", tmp_path / "y"))
    assert case_from_json(case_to_json(case)) == case
    assert case_from_json(case_to_json(Case("a", tmp_path))) == Case("a", tmp_path)


def test_a_predictor_says_how_many_cases_it_bears():
    predictor = Narrow(1)
    assert in_flight_of(predictor) == 0
    predictor.in_flight = 3  # type: ignore[attr-defined]
    assert in_flight_of(predictor) == 3
    predictor.in_flight = -1  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="in_flight is -1"):
        in_flight_of(predictor)
