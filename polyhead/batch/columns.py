"""The records of a batch as a table: one field a column for programs, one task a column for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from polyhead.batch.warned import UNANSWERED

TASKS, ANSWER, THUMBNAIL, WARNINGS = "tasks", "answer", "thumbnail", "warnings"
"""Fields of a record that bear a meaning: for each task a mapping of fields, whose ``answer`` says it in words; the
answer of the case in words; the name of a picture; and what was odd."""
MOST_TASKS, MOST_FIELDS = 60, 24
MOST_LETTERS = 30_000
"""Of a cell: spreadsheets cut it at 32,767."""
MOST_DETAILS = 4
_SAID = frozenset({ANSWER, "class", "label", "score", "probability"})


def flatten(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a record, keys joined by dots; of a list the items, joined by ``; ``.

    Items that are no scalars are written as JSON. Where two fields come to one key, as of ``{"a": {"b": 1}, "a.b":
    2}``, the later is numbered: ``a.b~2``.

    >>> flatten({"spacing": [0.2, 0.5], "a": {"points": [[1, 2], [3, 4]]}})
    {'spacing': '0.2; 0.5', 'a.points': '[1, 2]; [3, 4]'}
    """
    flat: dict[str, Any] = {}
    _flatten_into(flat, record or {}, "")
    return flat


def _flatten_into(flat: dict[str, Any], record: Mapping[str, Any], prefix: str) -> None:
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, dict):
            _flatten_into(flat, value, f"{name}.")
            continue
        if name in flat:
            name = next(other for number in count(2) if (other := f"{name}~{number}") not in flat)
        flat[name] = _joined(value) if isinstance(value, list | tuple) else value


def _joined(values: Iterable[Any]) -> str:
    text = "; ".join(
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict | list | tuple)
        else ""
        if value is None
        else str(value)
        for value in values
    )
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} … (results.jsonl has all)"


def shown(value: Any) -> str:
    """A value for people: numbers to four figures, thousands apart.

    >>> shown(0.123456), shown(127732.0), shown(5895), shown(None), shown(1e-7)
    ('0.1235', '127,732', '5895', '', '1e-07')
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return f"{value:,}" if abs(value) >= 10_000 else str(value)


def task_words(entry: Any) -> tuple[str, list[str]]:
    """What a record says of one task: the answer, and some of its numbers, each quantity in the last of its units.

    >>> task_words({"answer": "malignant, 0.91", "class": 1, "confidence": 0.4, "area lesion [mm2]": 131.25})
    ('malignant, 0.91', ['confidence: 0.4', 'area lesion: 131.2 mm2'])
    """
    if not isinstance(entry, Mapping):
        return (_joined(entry) if isinstance(entry, list | tuple) else shown(entry)), []
    flat = flatten(entry)
    answer = flat.get(ANSWER)
    if answer is None:
        said = [flat.get("label", flat.get("class")), flat.get("probability", flat.get("score"))]
        answer = ", ".join(shown(each) for each in said if each is not None)
    numbers: dict[str, str] = {}
    for name, value in flat.items():
        if name not in _SAID and value is not None:
            quantity, bracket, unit = name.rpartition(" [")
            known = bool(bracket) and unit.endswith("]")
            numbers[quantity if known else name] = f"{shown(value)} {unit[:-1]}" if known else shown(value)
    details = [f"{name}: {value}" for name, value in numbers.items()]
    if len(details) > MOST_DETAILS:
        details[MOST_DETAILS:] = [f"{len(details) - MOST_DETAILS} more"]
    return (str(answer), details) if answer != "" else ("; ".join(details), [])


@dataclass
class Columns:
    """The columns that the records of a batch ask for, found by showing it every record.

    Attributes:
        fields: all keys of the flat records, in the order in which they came.
        tasks: names of the tasks that have a column.
        filled: fields that have a value in some record, those apart that are told in a column of another kind.
    """

    fields: dict[str, None] = field(default_factory=dict)
    tasks: dict[str, None] = field(default_factory=dict)
    filled: dict[str, None] = field(default_factory=dict)

    def take(self, record: Mapping[str, Any] | None) -> None:
        """Makes room for a record."""
        if not record:
            return
        tasks = task_entries(record)
        self.tasks.update(dict.fromkeys(tasks))
        flat = flatten(record)
        self.fields.update(dict.fromkeys(name for name in flat if name != WARNINGS))
        apart = {WARNINGS, UNANSWERED, THUMBNAIL, *((ANSWER,) if tasks else ())}
        for name, value in flat.items():
            if value not in (None, "") and name not in apart and not (tasks and name.startswith(f"{TASKS}.")):
                self.filled[name] = None

    @property
    def shown_tasks(self) -> list[str]:
        return list(self.tasks)[:MOST_TASKS]

    @property
    def shown_fields(self) -> list[str]:
        """The fields for people, the answer first."""
        first = [ANSWER] if ANSWER in self.filled else []
        return [*first, *(name for name in self.filled if name not in first)][:MOST_FIELDS]


def task_entries(record: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What a record says of each task; empty where it says nothing by task."""
    tasks = (record or {}).get(TASKS)
    return tasks if isinstance(tasks, Mapping) else {}
