"""Predictors whose inputs say what should happen to them; imported by the worker."""

from __future__ import annotations

import base64
import ctypes
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyhead.batch.case import Case, InvalidInput, Record, Writer
from polyhead.batch.monitor import current_monitor

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Toy:
    """Answers with the length of the text; a word in the text makes trouble in read, predict or write."""

    def __init__(self, journal: str | None, factor: int, delay: float):
        self.journal, self.factor, self.delay = journal, factor, delay
        self.note("load")

    def note(self, line: str) -> None:
        if self.journal:
            with Path(self.journal).open("a", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(line + "\n")

    def trouble(self, stage: str, text: str) -> None:
        kind = next((word.partition(":")[2] for word in text.split() if word.startswith(f"{stage}:")), None)
        if kind == "raise":
            raise RuntimeError("told\nto raise")
        if kind == "exit":
            sys.exit(5)
        if kind == "memory":
            raise MemoryError
        if kind == "die":
            os._exit(7)
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full" and self.journal and Path(self.journal).with_name("full").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        if kind == "sleep":
            time.sleep(60)
        if kind == "parts":
            self.parts(stage, count=600, seconds=0.1)
        if kind == "few_parts":
            self.parts(stage, count=8, seconds=0.2)
        if kind == "park" and self.journal:
            parked = Path(self.journal).with_name("parked")
            if not parked.exists():
                parked.write_text(str(os.getpid()))
                time.sleep(60)

    def parts(self, stage: str, count: int, seconds: float) -> None:
        monitor = current_monitor()
        for done in range(count):
            monitor.part(done, count, "slabs")
            self.note(f"part {stage} {done}")
            time.sleep(seconds)

    def read(self, case: Case) -> str:
        text = case.path.read_text(encoding="utf-8")
        if "invalid" in text:
            raise InvalidInput("not_an_image", "this is no image", "send an image")
        self.trouble("read", text)
        return text

    def predict(self, items: Sequence[str]) -> list[int]:
        self.note(f"predict {len(items)}")
        for text in items:
            self.trouble("predict", text)
        time.sleep(self.delay * len(items))
        if len(items) > 1 and any("crowd" in text for text in items):
            os._exit(9)
        return [len(text) * self.factor for text in items]

    def write(self, case: Case, result: int, out: Writer) -> Record:
        text = case.path.read_text(encoding="utf-8")
        out.write_bytes("answer.txt", str(result).encode())
        self.trouble("write", text)
        out.write_json("more/answer.json", {"value": float("nan") if "nan" in text else result})
        if out.saves("thumbnails"):
            out.write_bytes("thumb.png", PNG)
        if out.saves("maps"):
            out.write_bytes("map.bin", bytes(5_000))
        self.note(f"write {case.id}")
        return {"value": result, "deep": {"twice": 2 * result}, "list": [1, 2], "thumbnail": "thumb.png"}


def toy(journal: str | None = None, factor: int = 1, delay: float = 0.0) -> Toy:
    return Toy(journal, factor, delay)


def no_start(how: str) -> Any:
    if how == "raise":
        raise ValueError("no such run:\nnowhere")
    if how == "key":
        raise KeyError("width")
    os._exit(3)


class Large:
    """Counts the cases that it holds, and notes the most at every write."""

    def __init__(self, journal: str, in_flight: int | None):
        self.journal, self.held, self.most = Path(journal), 0, 0
        self.lock = threading.Lock()
        if in_flight is not None:
            self.in_flight = in_flight

    def read(self, case: Case) -> str:
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        return case.id

    def predict(self, items: Sequence[str]) -> list[str]:
        time.sleep(0.005)
        return list(items)

    def write(self, case: Case, result: str, out: Writer) -> Record:
        with out.file("answer.txt") as path:
            path.write_text(result)
        with self.lock, self.journal.open("a") as stream:
            stream.write(f"most {self.most}\n")
            self.held -= 1
        return {}


def large(journal: str, in_flight: int | None = None) -> Large:
    return Large(journal, in_flight)
