"""FASTQ, in four lines a read or wrapped. A broken read is told, and reading goes on with the next that is whole."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.readers.stream import Lines
from domains.genomics.sequences.records import RejectedRecord

_WRAPPED = re.compile(r"[A-Za-z*.-]+")


def read_fastq(lines: Lines, source: Path | None = None) -> Iterator[RawRecord | RejectedRecord]:
    """Reads with their qualities (ASCII, offset 33), of which one is held at a time.

    Letters may stand in several lines. Their qualities then stand in lines of the same lengths or in a single one: they
    may begin with ``@`` or ``+`` as reads do, so that lines of other lengths would leave open where a read ends.
    """
    ahead = _Ahead(lines)
    broken = False
    while (line := ahead.take()) is not None:
        if not line.strip() or (broken and not line.startswith("@")):
            continue
        start, taken = ahead.number, [line]
        found = _read(ahead, taken)
        if isinstance(found, tuple):
            words = line[1:].split(None, 1)
            name = words[0] if words else f"read_at_line_{start}"
            description = words[1] if len(words) > 1 else ""
            yield RawRecord(name, found[0], start, description, quality=found[1])
            broken = False
            continue
        if not broken:
            name = line[1:].split(None, 1)[0] if line.startswith("@") and line[1:].split() else ""
            remedy = "write each read in four lines; reading goes on with the next whole read"
            yield RejectedRecord(source, name, start, "broken-read", found, remedy)
        broken = True
        ahead.give_back(taken[1:])


class _Ahead:
    """Lines, some of which are given back and taken again. `number` is that of the line last taken, from 1."""

    def __init__(self, lines: Lines) -> None:
        self._lines = iter(lines)
        self._back: deque[str] = deque()
        self.number = 0

    def take(self) -> str | None:
        line = self._back.popleft() if self._back else next(self._lines, None)
        self.number += line is not None
        return None if line is None else line.rstrip()

    def give_back(self, taken: list[str]) -> None:
        self._back.extendleft(reversed(taken))
        self.number -= len(taken)


def _read(ahead: _Ahead, taken: list[str]) -> tuple[str, str] | str:
    """Letters and qualities of the read that begins with `taken`, or what is wrong; `taken` grows by what was used."""
    if not taken[0].startswith("@"):
        return "a read begins with @ and its name"
    letters: list[str] = []
    while (line := ahead.take()) is not None:
        taken.append(line)
        if letters and line.startswith("+"):
            break
        if letters and not _WRAPPED.fullmatch(line):
            return "the third line of a read begins with +"
        letters.append(line)
    if not letters:
        return "the file ends within a read"
    qualities: list[str] = []
    size = sum(map(len, letters))
    for part in letters:
        line = ahead.take()
        if line is None:
            return "the file ends within a read"
        taken.append(line)
        qualities.append(line)
        if len(line) != len(part):
            break
    if len(qualities[0]) == size or list(map(len, qualities)) == list(map(len, letters)):
        # In one line, or line by line as the letters.
        return "".join(letters), "".join(qualities)
    if len(letters) == 1:
        return f"{size} letters have {len(qualities[0])} qualities"
    return f"its {size} letters stand in {len(letters)} lines, its qualities in lines of other lengths"
