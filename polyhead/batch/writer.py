"""The files of one case, which take their names together."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from polyhead.batch.products import Saved, saves
from polyhead.batch.states import settled_state
from polyhead.system.disk import at_place
from polyhead.system.files import TEMPORARY, hash_file, sync_file, sync_folder, temporary_beside

RECEIPT = "receipt.json"


def _write_synced(path: Path, data: bytes) -> None:
    with at_place(path), path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def safe_relative(name: str) -> bool:
    """Whether `name` is a relative POSIX path that stays below its folder."""
    if not name or "\0" in name or "\\" in name or name.startswith("/"):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def dump_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as bytes; a non-finite number or a value that is not JSON is a `ValueError`."""
    try:
        return json.dumps(value, allow_nan=False, indent=indent).encode()
    except TypeError as error:
        raise ValueError(f"not a JSON value: {error}") from error


class CaseWriter:
    """Writes the files of one case. They take their names together at `commit`, so a killed write leaves no output.

    Names are relative POSIX paths below the case's folder, each written once; anything else is a `ValueError`.

    Args:
        saved: the products that are wanted.
    """

    def __init__(self, folder: Path, saved: Saved = None):
        self.folder, self.saved = folder, saved
        self._staged: dict[str, Path] = {}
        self._sums: dict[str, dict[str, Any]] = {}
        self._named: list[Path] = []

    def saves(self, product: str) -> bool:
        """Whether a product is wanted."""
        return saves(self.saved, product)

    def _stage(self, name: str) -> Path:
        if not safe_relative(name) or PurePosixPath(name).name in (RECEIPT,) or TEMPORARY in name:
            raise ValueError(f"not a name for an output of a case: {name!r}")
        if name in self._staged:
            raise ValueError(f"the output {name!r} is written twice")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._staged[name] = temporary_beside(self.folder / PurePosixPath(name).name)
        return self._staged[name]

    def write_bytes(self, name: str, data: bytes) -> None:
        """Stages one file, synced to disk under a temporary name."""
        _write_synced(self._stage(name), data)
        self._sums[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    def write_json(self, name: str, value: Any) -> None:
        """Stages a JSON file; a non-finite number is a `ValueError`."""
        self.write_bytes(name, dump_json(value, indent=1) + b"\n")

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Stages a file that a library writes itself: the path to write to, which is not there yet.

        After the block the file is synced, and hashed as it lies on the disk, so no answer stands twice in memory.
        Where the block fails, nothing is staged; a block that leaves no file is a `ValueError`.
        """
        temporary = self._stage(name)
        try:
            with at_place(self.folder / name):
                yield temporary
            if not temporary.is_file():
                raise ValueError(f"the output {name!r} was not written to the path that was given for it")
            sync_file(temporary)
            self._sums[name] = {"sha256": hash_file(temporary), "bytes": temporary.stat().st_size}
        except BaseException:
            temporary.unlink(missing_ok=True)
            del self._staged[name]
            raise

    def commit(self) -> dict[str, dict[str, Any]]:
        """Gives every staged file its name; returns ``{name: {"sha256", "bytes"}}``, with "state" where it is sure."""
        unfinished = self._staged.keys() - self._sums.keys()
        if unfinished:
            raise ValueError(f"the output {min(unfinished)!r} is still being written")
        folders = {self.folder}
        now = time.time_ns()
        for name, temporary in self._staged.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
            self._named.append(target)
            folders.add(target.parent)
            state = settled_state({name: target}, now)
            self._sums[name] |= {} if state is None else {"state": state}
        for folder in folders:
            if folder.is_dir():
                sync_folder(folder)
        self._staged.clear()
        return dict(self._sums)

    def discard(self) -> None:
        """Removes what was written, and the case's folder if that leaves it empty."""
        for path in (*self._staged.values(), *self._named):
            path.unlink(missing_ok=True)
        self._staged.clear()
        self._named.clear()
        with suppress(OSError):
            self.folder.rmdir()
