"""The files of one case, which take their names together."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from polyhead.files import TEMPORARY, sync_folder, temporary_beside

RECEIPT = "receipt.json"


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
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
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._staged: dict[str, Path] = {}
        self._sums: dict[str, dict[str, Any]] = {}
        self._named: list[Path] = []

    def write_bytes(self, name: str, data: bytes) -> None:
        """Stages one file, synced to disk under a temporary name."""
        if not safe_relative(name) or PurePosixPath(name).name in (RECEIPT,) or TEMPORARY in name:
            raise ValueError(f"not a name for an output of a case: {name!r}")
        if name in self._staged:
            raise ValueError(f"the output {name!r} is written twice")
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(self.folder / PurePosixPath(name).name)
        self._staged[name] = temporary
        _write_synced(temporary, data)
        self._sums[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    def write_json(self, name: str, value: Any) -> None:
        """Stages a JSON file; a non-finite number is a `ValueError`."""
        self.write_bytes(name, dump_json(value, indent=1) + b"\n")

    def commit(self) -> dict[str, dict[str, Any]]:
        """Gives every staged file its name; returns ``{name: {"sha256", "bytes"}}``."""
        folders = {self.folder}
        for name, temporary in self._staged.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
            self._named.append(target)
            folders.add(target.parent)
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
