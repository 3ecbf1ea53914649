"""OUT: who works in it, the parts that shards leave, and their merger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from polyhead.batch.case import Case
from polyhead.batch.outcome import Outcome
from polyhead.batch.parts import Part, PartWriter, read_part
from polyhead.batch.request import REQUEST_FILE, Request
from polyhead.batch.writer import RECEIPT, safe_relative
from polyhead.runs.identity import RUN_FILE
from polyhead.system.files import sweep_temporaries, write_whole
from polyhead.system.folders import BATCH_FILE, BATCH_STATE
from polyhead.system.locks import take_lock

RESULTS, CSV, HTML, FAILED, LOGS = "results.jsonl", "summary.csv", "summary.html", "failed.txt", "logs"
OF_VERBS = ("calibration.json", *(f"answers.{ending}" for ending in ("tsv", "csv", "parquet")))
OF_REPORTS = tuple(f"report.{ending}" for ending in ("html", "json", "csv"))
RESERVED = {BATCH_STATE, BATCH_FILE, RUN_FILE, RESULTS, CSV, HTML, FAILED, LOGS, *OF_VERBS, *OF_REPORTS}
"""Names in OUT that no case may have: of a batch's own files, and of what verbs and reports lay beside them."""
_SHARD_LOCK = re.compile(r"shard-(\d+)-of-(\d+)\.lock")


class FolderInUse(ValueError):
    """Another run works in the folder."""


def refused_id(case: Case) -> Outcome | None:
    """The outcome of a case whose id cannot be a folder of OUT; None where it can."""
    parts = case.id.split("/")
    if safe_relative(case.id) and parts[0] not in RESERVED and RECEIPT not in parts:
        return None
    reason = f"the case id {case.id!r} cannot be a folder of the results"
    remedy = "give the file a relative name below the input folder, other than those of the results' own files"
    return Outcome(case.id, str(case.path), "invalid_input", "unsafe-id", reason, remedy)


class OutputFolder:
    """One shard's hold on OUT. Several shards of one run share a folder; two runs do not."""

    def __init__(self, out: Path, shard: tuple[int, int]):
        self.out, self.state = out, out / BATCH_STATE
        self.index, self.of = shard
        self._made: list[Path] = []
        self._former_request: bytes | None = None

    @property
    def worker_log(self) -> Path:
        return self.state / f"worker-{self.index}-of-{self.of}.log"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the shard's lock; `FolderInUse` where this shard, or a run with other shards, is at work."""
        self._made = [place for place in (self.state, *self.state.parents) if not place.exists()]
        self.state.mkdir(parents=True, exist_ok=True)
        with self._shard_lock(self.index, self.of).open("ab") as own:
            with self.merging():
                self._retire_other_runs()
                if not take_lock(own, wait=False):
                    shard = f" as shard {self.index}/{self.of}" if self.of > 1 else ""
                    raise FolderInUse(f"another run is writing to {self.out}{shard}; wait for it, or choose another -o")
                self.worker_log.unlink(missing_ok=True)
            yield

    @contextmanager
    def merging(self) -> Iterator[None]:
        """Holds what all shards share: the merged files and the locks themselves."""
        with (self.state / "merge.lock").open("ab") as stream:
            take_lock(stream, wait=True)
            sweep_temporaries(self.out)
            sweep_temporaries(self.state)
            yield

    def _shard_lock(self, index: int, of: int) -> Path:
        return self.state / f"shard-{index}-of-{of}.lock"

    def _part(self, index: int, of: int) -> Path:
        return self.state / f"part-{index}-of-{of}.jsonl"

    def _retire_other_runs(self) -> None:
        for path in self.state.glob("shard-*.lock"):
            match = _SHARD_LOCK.fullmatch(path.name)
            if match is None or int(match[2]) == self.of:
                continue
            index, of = int(match[1]), int(match[2])
            with path.open("ab") as stream:
                if not take_lock(stream, wait=False):
                    raise FolderInUse(f"a run with {of} shards is writing to {self.out}; use /{of}, or another -o")
                self._part(index, of).unlink(missing_ok=True)
                path.unlink()

    def take_request(self, request: Request, *, replaces: bool) -> None:
        """Makes `request` what the answers here are to.

        Raises:
            ValueError: they are to another one, and `replaces` is not set, or a shard works on that (`FolderInUse`).
        """
        with self.merging():
            there = Request.load(self.out)
            if not replaces:
                request.refuse_other(self.out)
            if there is not None and there.is_other(request):
                self._refuse_other_shards()
            file = self.state / REQUEST_FILE
            self._former_request = file.read_bytes() if file.is_file() else None
            request.save(self.out)

    def _refuse_other_shards(self) -> None:
        for path in self.state.glob("shard-*.lock"):
            if path == self._shard_lock(self.index, self.of):
                continue
            with path.open("ab") as stream:
                if not take_lock(stream, wait=False):
                    raise FolderInUse(
                        f"a shard of another command is writing to {self.out}; wait for it, or another -o"
                    )

    def begin_part(self, key: Sequence[str]) -> PartWriter:
        """The part of this shard, begun anew; `key` says of which run its rows are."""
        part = self._part(self.index, self.of)
        if part.is_file():
            part.replace(self._former(part))
        return PartWriter(part, key)

    def drop_former_part(self) -> None:
        """Forgets the part that the begun one took the place of."""
        self._former(self._part(self.index, self.of)).unlink(missing_ok=True)

    def _former(self, part: Path) -> Path:
        return part.with_name(f"former-{part.name}")

    def undo(self) -> None:
        """Leaves the folder as `hold` found it; the part is closed, and no case was begun."""
        with self.merging():
            part = self._part(self.index, self.of)
            part.unlink(missing_ok=True)
            if self._former(part).is_file():
                self._former(part).replace(part)
            request = self.state / REQUEST_FILE
            if self._former_request is not None:
                write_whole(request, self._former_request)
            others = [path for path in self.state.glob("shard-*.lock") if path != self._shard_lock(self.index, self.of)]
            if self._former_request is None and not others:
                for path in (
                    request,
                    self.worker_log,
                    self._shard_lock(self.index, self.of),
                    self.state / "merge.lock",
                ):
                    path.unlink(missing_ok=True)
            for place in self._made:
                with suppress(OSError):  # something lies there by now: another shard is at work
                    place.rmdir()

    def ended_parts(self, key: Sequence[str]) -> list[Part]:
        """The parts of all shards of this run (those with its `key`) that have ended."""
        found = (read_part(self._part(index, self.of)) for index in range(self.of))
        return [part for part in found if part is not None and part.key == list(key)]
