"""FASTQ: four lines a read. A broken read is told, and reading goes on with the next that is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.readers.stream import Lines
from domains.genomics.sequences.records import RejectedRecord


def read_fastq(lines: Lines, source: Path | None = None) -> Iterator[RawRecord | RejectedRecord]:
    """Reads with their qualities (ASCII, offset 33), in constant memory; sequences over several lines are not read."""
    window: list[str] = []
    broken = False
    for line in lines:
        if not window and not line.strip():
            continue
        window.append(line.rstrip())
        if len(window) < 4:
            continue
        fault = _fault(window)
        if fault is None:
            words = window[0][1:].split(None, 1)
            name = words[0] if words else f"read_at_line_{lines.number - 3}"
            description = words[1] if len(words) > 1 else ""
            yield RawRecord(name, window[1], lines.number - 3, description, quality=window[3])
            window, broken = [], False
            continue
        if not broken:
            yield _rejected(source, window, lines.number - 3, fault)
        broken = True
        window.pop(0)
    if window and not broken:
        yield _rejected(source, window, lines.number - len(window) + 1, "the file ends within a read")


def _fault(window: list[str]) -> str | None:
    header, sequence, plus, quality = window
    if not header.startswith("@"):
        return "a read begins with @ and its name"
    if not plus.startswith("+"):
        return "the third line of a read begins with +"
    if len(sequence) != len(quality):
        return f"{len(sequence)} letters have {len(quality)} qualities"
    return None


def _rejected(source: Path | None, window: list[str], line: int, fault: str) -> RejectedRecord:
    name = window[0][1:].split(None, 1)[0] if window[0].startswith("@") and window[0][1:].split() else ""
    remedy = "write each read in four lines; reading goes on with the next whole read"
    return RejectedRecord(source, name, line, "broken_read", fault, remedy)
