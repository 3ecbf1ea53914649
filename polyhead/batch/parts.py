"""Parts: what became of the cases of one shard, a line each, appended as they end; and many parts as one list.

A part is JSON lines: ``{"key": ...}``, which says of which run it is; ``{"index": I, ...}`` for each case, I its place
in the whole input; and ``{"end": ...}``, once the shard has ended. A killed run leaves a part without an end.
"""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyhead.batch.outcome import Outcome
from polyhead.batch.writer import dump_json
from polyhead.system.disk import at_place
from polyhead.system.files import replacing

_INDEX = b'{"index": '


class PartWriter:
    """Appends to a new part, which takes the place of an earlier one at once."""

    def __init__(self, path: Path, key: Sequence[str]):
        # Not cut, but a file of its own: another shard may be reading the earlier part.
        path.unlink(missing_ok=True)
        self._path, self._stream = path, path.open("xb")
        self._write(dump_json({"key": list(key)}))

    def append(self, index: int, outcome: Outcome) -> None:
        """Adds the row of the case at `index` of the whole input."""
        self._write(_INDEX + b"%d, " % index + dump_json(outcome.to_json())[1:])

    def end(self, facts: dict[str, Any]) -> None:
        """Says that the shard has ended, and what is to be said of it; the part is then durable."""
        self._write(dump_json({"end": facts}))
        with at_place(self._path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self.close()

    def close(self) -> None:
        self._stream.close()

    def _write(self, line: bytes) -> None:
        with at_place(self._path):
            self._stream.write(line + b"\n")


@dataclass(frozen=True)
class Part:
    """A part that has ended: its key, the facts of its end, and where in the file the row of each case stands."""

    path: Path
    key: list[str]
    facts: dict[str, Any]
    indices: array[int]
    offsets: array[int]
    lengths: array[int]


def read_part(path: Path) -> Part | None:
    """The part at `path`; None where there is none or it has not ended (a run at work, or one that was killed)."""
    indices, offsets, lengths = array("q"), array("q"), array("q")
    try:
        with path.open("rb") as stream:
            head = stream.readline()
            offset = len(head)
            for line in stream:
                if not line.startswith(_INDEX):
                    return Part(path, json.loads(head)["key"], json.loads(line)["end"], indices, offsets, lengths)
                indices.append(int(line[len(_INDEX) : line.index(b",")]))
                offsets.append(offset)
                lengths.append(len(line))
                offset += len(line)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return None


def write_rows(parts: Sequence[Part], path: Path) -> Rows:
    """Writes the rows of parts to `path`, whole, in the order of their indices; rows are copied, not held."""
    indices = array("q")
    begins: list[int] = []
    for part in parts:
        begins.append(len(indices))
        indices.extend(part.indices)
    with ExitStack() as open_files, replacing(path) as temporary, temporary.open("wb") as target:
        streams = [open_files.enter_context(part.path.open("rb")) for part in parts]
        for place in sorted(range(len(indices)), key=indices.__getitem__):
            number = bisect_right(begins, place) - 1
            part, row = parts[number], place - begins[number]
            line = os.pread(streams[number].fileno(), part.lengths[row], part.offsets[row])
            target.write(b"{" + line[len(_INDEX) + len(b"%d, " % indices[place]) :])
        target.flush()
    return Rows(path, len(indices))


class Rows:
    """The rows of a ``results.jsonl``, read anew each time they are gone through."""

    def __init__(self, path: Path, count: int):
        self._path, self._count = path, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as stream:
            for line in stream:
                yield json.loads(line)
