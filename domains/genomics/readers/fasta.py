"""FASTA: a line of `>` and a name, then lines of letters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from domains.genomics.readers.raw_records import RawRecord
from domains.genomics.readers.stream import Lines
from domains.genomics.sequences.records import RejectedRecord


def read_fasta(
    lines: Lines, source: Path | None = None, *, chunk: int | None = None
) -> Iterator[RawRecord | RejectedRecord]:
    """Records of FASTA text in constant memory.

    The name is the first word of the header. Spaces and tabs inside a sequence and comment lines (``;``) are left out.

    Args:
        lines: the text.
        source: named in rejected records.
        chunk: longer records come as several of this many letters (the last may have fewer), each with its `start`;
            without it a record is held as a whole.

    Raises:
        ValueError: `chunk` is below 1.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is at least 1 letter, got {chunk}")
    return _records(lines, source, chunk)


def _records(lines: Lines, source: Path | None, chunk: int | None) -> Iterator[RawRecord | RejectedRecord]:
    header: tuple[str, str, int] | None = None
    parts: list[str] = []
    size = start = count = 0
    told = skip = False
    for part, begins in lines.parts():
        if begins:
            skip = part.startswith(";")
            if part.startswith(">"):
                if header is not None:
                    yield _record(header, parts, start, bool(start))
                count += 1
                header, parts, size, start = _header(part, count, lines.number), [], 0, 0
                if not part[1:].split():
                    yield RejectedRecord(
                        source,
                        header[0],
                        lines.number,
                        "no-name",
                        "the header has no name",
                        f"read as {header[0]}",
                        False,
                    )
                continue
        if skip or not part.strip():
            continue
        if header is None:
            if not told:
                told = True
                yield RejectedRecord(
                    source,
                    "",
                    lines.number,
                    "no-header",
                    "letters before the first header",
                    "begin with a line of >name",
                )
            continue
        letters = "".join(part.split())
        parts.append(letters)
        size += len(letters)
        if chunk is not None and size > chunk:
            text = "".join(parts)
            # At least one letter stays, so that a record of just one chunk is no part of anything.
            whole = (size - 1) // chunk * chunk
            for place in range(0, whole, chunk):
                yield _record(header, [text[place : place + chunk]], start, True)
                start += chunk
            parts, size = [text[whole:]], size - whole
    if header is not None:
        yield _record(header, parts, start, bool(start))


def _header(line: str, count: int, number: int) -> tuple[str, str, int]:
    words = line[1:].strip().split(None, 1)
    name = words[0] if words else f"record_{count}"
    return name, words[1] if len(words) > 1 else "", number


def _record(header: tuple[str, str, int], parts: list[str], start: int, partial: bool) -> RawRecord:
    name, description, line = header
    return RawRecord(name, "".join(parts), line, description, start=start, partial=partial, continues=start > 0)
