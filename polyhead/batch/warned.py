"""What was odd about cases that were answered all the same: the warnings of records, and how often each occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

MOST_KINDS = 200
"""Kinds of warnings that are told apart; the rest is counted together."""
OTHERS = "other warnings"
UNANSWERED = "unanswered_tasks"
"""Field of a record: the tasks that were asked and have no answer."""

_NUMBER = re.compile(r"[+-]?\b\d+(?:[.,]\d+)*(?:e[+-]?\d+)?\b", re.IGNORECASE)


def warnings_of(record: Mapping[str, Any] | None) -> list[str]:
    """The warnings that a record has under the name ``warnings``, stable codes or sentences, and its unanswered tasks.

    A list is the form that records should have; one text, or a mapping of names to texts, is understood as well.
    """
    record = record or {}
    found = record.get("warnings")
    if isinstance(found, Mapping):
        found = [f"{name}: {said}" for name, said in found.items() if said]
    elif not isinstance(found, list | tuple):
        found = [found] if found else []
    said = [" ".join(str(each).split()) for each in found if each is not None and each != ""]
    left = record.get(UNANSWERED)
    return said + ([f"unanswered: {', '.join(map(str, left))}"] if left and isinstance(left, list | tuple) else [])


def kind_of(warning: str) -> str:
    """What warnings of one kind have in common: a code is its own kind, of a sentence the numbers are left out.

    >>> kind_of("not-ultrasound"), kind_of("2d-region"), kind_of("k = 3.2 lies outside of 0 to 1e-3")
    ('not-ultrasound', '2d-region', 'k = … lies outside of … to …')
    """
    return _NUMBER.sub("…", warning) if " " in warning else warning


class WarningCounts:
    """How many cases have a warning, and how many one of each kind."""

    def __init__(self) -> None:
        self.cases = 0
        self._kinds: Counter[str] = Counter()

    def take(self, record: Mapping[str, Any] | None) -> list[str]:
        """Counts a case by its record; returns its warnings."""
        said = warnings_of(record)
        self.cases += bool(said)
        for kind in {kind_of(each) for each in said}:
            self._kinds[kind if kind in self._kinds or len(self._kinds) < MOST_KINDS else OTHERS] += 1
        return said

    @property
    def kinds(self) -> dict[str, int]:
        """Cases by kind of warning, the most frequent first."""
        return dict(sorted(self._kinds.items(), key=lambda each: (each[0] == OTHERS, -each[1], each[0])))

    def to_json(self) -> dict[str, Any]:
        """``{"cases": N, "kinds": {KIND: N}}``."""
        return {"cases": self.cases, "kinds": self.kinds}
