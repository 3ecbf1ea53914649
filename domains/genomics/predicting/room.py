"""What the answers to blocks of records take on the disk, estimated before anything is answered."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from polyhead.batch.case import Case
from polyhead.batch.naming import PACKED
from polyhead.batch.products import Saved, saves
from polyhead.batch.room import BytesOf, on_disk
from polyhead.system.regular import open_regular

_ROW = 250
"""Bytes of an answer in the tables of the case and of the batch, without its sequence."""

_UNPACKED = 3.5
"""Bytes of sequence in a byte of a packed file."""


def bytes_of(cases: Sequence[Case], *, tasks: int, block: int, saved: Saved) -> BytesOf:
    """Estimates what the answer to a case takes: the sequence, and a row, for each of `tasks` tasks.

    Args:
        cases: all of them: those of one file share its bytes.
        tasks: how many are asked.
        block: most records of a case.
        saved: the products that are written.
    """
    parts = Counter(case.path for case in cases)

    def of(case: Case) -> float:
        try:
            with open_regular(case.path) as file:
                size = os.fstat(file.fileno()).st_size if case.finding is None else 0
        except OSError:  # it fails, or is a folder
            size = 0
        held = size * (_UNPACKED if case.path.suffix.lower() in PACKED else 1) / parts[case.path]
        # A record has a line of its own, of a hundred letters and more.
        records = min(block, held / 150)
        rows = tasks * (held + _ROW * records)
        return on_disk(rows, 2_000, 1_500, *([3_000] if saves(saved, "thumbnails") else []))

    return of
