"""What is known of the tasks of labelled sequences, and ``tasks.json``, the file that says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["classification", "number", "text", "image"]

KINDS: tuple[Kind, ...] = ("classification", "number", "text", "image")
TASKS_FILE = "tasks.json"


@dataclass(frozen=True)
class TaskFacts:
    """What ``tasks.json`` says of a task, or what its labels show.

    Attributes:
        kind: ``classification``, ``number``, ``text`` or ``image``.
        labels: names of the classes in order; of other kinds empty.
        reverse_complement: whether the other strand has the same answer.
        decimals: of numbers, digits after the point; None counts significant digits instead, as the settings say.
        unit: of numbers.
        options: of images: ``codes``, entries of the codebook, ``grid``, its rows and columns, and, where the data keep
            the codec that draws them, ``codec``, its name (see `domains.genomics.answers.codecs`).
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    reverse_complement: bool = True
    decimals: int | None = None
    unit: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "reverse_complement": self.reverse_complement,
            "decimals": self.decimals,
            "unit": self.unit,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = TASKS_FILE) -> TaskFacts:
        """Facts of a JSON object; an unknown key or kind is a `ValueError`."""
        if not isinstance(values, Mapping):
            raise ValueError(f'{where}: a task is described by an object such as {{"kind": "classification"}}')
        known = set(cls.__dataclass_fields__)
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"{where}: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if values.get("kind") not in KINDS:
            raise ValueError(f"{where}: kind {values.get('kind')!r} is none of {', '.join(KINDS)}")
        labels = tuple(str(label) for label in values.get("labels") or ())
        return cls(**{**values, "labels": labels})


def read_facts(folder: Path) -> dict[str, TaskFacts]:
    """The facts of a folder's ``tasks.json`` by task; none where there is no such file."""
    file = folder / TASKS_FILE
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file}: an object is expected, with a name and a description for each task")
    return {name: TaskFacts.from_json(each, f"{file.name}, task {name!r}") for name, each in values.items()}


def write_facts(folder: Path, facts: Mapping[str, TaskFacts]) -> None:
    """Writes ``tasks.json``."""
    from polyhead.system.files import replacing

    text = json.dumps({name: each.to_json() for name, each in facts.items()}, indent=2, ensure_ascii=False) + "\n"
    with replacing(folder / TASKS_FILE) as temporary:
        temporary.write_text(text, encoding="utf-8")
