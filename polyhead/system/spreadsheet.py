"""Tables as CSV that people may open in a spreadsheet: no cell is run as a formula, and every value can be read back.

A cell that a spreadsheet would run begins, behind spaces, with ``=``, ``+``, ``-`` or ``@`` (their full-width forms,
too), or with a tab or a line break; it gets an apostrophe in front of it (OWASP, "CSV Injection"). Numbers, lists of
numbers and a sign by itself (the strand of a sequence) stay as they are. A cell that begins with apostrophes before
such a sign gets one more, so that taking one away gives back what was there: `genuine`.

What a program reads back as data of its own (labelled tables to train on, VCF, BED) is not written so.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

_RUN = r"(?:[^\S\t\r\n]*[=+\-@＝＋－＠]|[\t\r\n])"
_WOULD_RUN = re.compile(f"'*{_RUN}")
_SET_OFF = re.compile(f"'+{_RUN}")
_NUMBER = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan)"
_HARMLESS = re.compile(rf"[+-]|{_NUMBER}(?:; ?{_NUMBER})*")


class _Stream(Protocol):
    def write(self, text: str, /) -> Any: ...


class _Lines:
    """Passes lines on with another end than ``\\r\\n``."""

    def __init__(self, stream: _Stream, end: str):
        self._stream, self._end = stream, end

    def write(self, line: str, /) -> None:
        self._stream.write(line.removesuffix("\r\n") + self._end)


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet runs; what is not text stays, and so do numbers in text.

    >>> harmless("=1+1"), harmless("-1.5e-3"), harmless("-"), harmless("'@A1"), harmless("it's")
    ("'=1+1", '-1.5e-3', '-', "''@A1", "it's")
    """
    if not isinstance(cell, str) or not _WOULD_RUN.match(cell) or _HARMLESS.fullmatch(cell):
        return cell
    return f"'{cell}"


def genuine(text: str) -> str:
    """What `harmless` was given: the text without the apostrophe that it put there.

    >>> genuine("'=1+1"), genuine("-1.5e-3"), genuine("''@A1"), genuine("'quoted'")
    ('=1+1', '-1.5e-3', "'@A1", "'quoted'")
    """
    return text[1:] if _SET_OFF.match(text) else text


class TableWriter:
    """Writes rows as CSV to a text stream (opened with ``newline=""``), their cells made `harmless`."""

    def __init__(self, stream: _Stream, *, delimiter: str = ",", lineterminator: str = "\n"):
        # csv quotes a carriage return only where lines end in one.
        self._table = csv.writer(_Lines(stream, lineterminator), delimiter=delimiter, lineterminator="\r\n")

    def writerow(self, cells: Iterable[Any]) -> None:
        self._table.writerow([harmless(cell) for cell in cells])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def table_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows with equal keys as CSV under a line of their names.

    Args:
        columns: the names, in their order; those of the first row where None.
    """
    names = list(rows[0] if rows else ()) if columns is None else columns
    text = io.StringIO(newline="")
    table = TableWriter(text)
    if names:
        table.writerow(names)
    table.writerows([row[name] for name in names] for row in rows)
    return text.getvalue()
