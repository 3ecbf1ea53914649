"""metrics.jsonl: a line of JSON a step, appended; a line that a kill tore is mended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyhead.system.files import replacing


class MetricsLog:
    """The lines of one file; each says its ``step``."""

    def __init__(self, file: Path):
        self.file = file
        self._whole = False

    def append(self, line: Mapping[str, Any]) -> None:
        """Adds a line; a non-finite number is a `ValueError`."""
        text = json.dumps(line, allow_nan=False)
        if not self._whole:
            lines, torn = self._read()
            if torn:
                self._write(lines)
            self._whole = True
        with self.file.open("a", encoding="utf-8") as out:
            out.write(text + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All lines; a torn last one is left out, a damaged one before it is a `ValueError`."""
        return self._read()[0]

    def truncate(self, step: int) -> None:
        """Drops the lines of steps after `step`."""
        lines, torn = self._read()
        kept = [line for line in lines if line["step"] <= step]
        if torn or len(kept) < len(lines):
            self._write(kept)

    def _read(self) -> tuple[list[dict[str, Any]], bool]:
        if not self.file.is_file():
            return [], False
        parts = self.file.read_bytes().split(b"\n")
        torn = parts.pop() != b""
        lines = []
        for number, part in enumerate(parts, start=1):
            try:
                lines.append(json.loads(part))
            except ValueError as error:
                raise ValueError(f"{self.file} is damaged at line {number}: {error}") from error
        return lines, torn

    def _write(self, lines: list[dict[str, Any]]) -> None:
        with replacing(self.file) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
