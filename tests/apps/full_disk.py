"""A disk that is full after some bytes: imported by a process, it lets writes below a folder fail from there on.

``FULL_DISK=FOLDER:BYTES[:ERRNO]`` in the environment says where, after how many bytes, and how. Python's own writes and
syncs go by it, in this process and, each for itself, in those that it starts.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
from typing import Any

_folder, _limit, *_more = os.environ["FULL_DISK"].split(":")
_left = int(_limit)
_number = int(_more[0]) if _more else errno.ENOSPC
_open = io.open


class _Raw(io.FileIO):
    def write(self, data: Any, /) -> int:
        global _left
        size = memoryview(data).nbytes
        if size > _left:
            raise OSError(_number, os.strerror(_number))
        _left -= size
        return super().write(data)


def _limited(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *rest: Any, **more: Any) -> Any:
    inside = isinstance(file, str | os.PathLike) and str(pathlib.Path(file).absolute()).startswith(_folder)
    if not inside or not set(mode) & set("wxa") or "+" in mode:
        return _open(file, mode, buffering, encoding, *rest, **more)
    stream = io.BufferedWriter(_Raw(file, mode.replace("b", "").replace("t", "")))
    if "b" in mode:
        return stream
    kept = {name: more[name] for name in ("errors", "newline") if name in more}
    return io.TextIOWrapper(stream, encoding or "utf-8", **kept)


builtins.open = io.open = _limited  # type: ignore[assignment]
pathlib.Path.open = lambda self, *given, **named: _limited(self, *given, **named)  # type: ignore[assignment]
