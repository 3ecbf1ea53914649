"""What a task is: a name, a kind, the feature that its head reads, and the size of its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from polyhead.registry import UnknownName


@dataclass(frozen=True)
class TaskSpec:
    """One task of a multi-head model.

    Attributes:
        name: unique in its `TaskSet`, e.g. ``"thyroid_nodule"``, ``"H3K4me3"``, ``"darcy/circle"``.
        kind: what is asked, e.g. ``"segmentation"``; finds head, loss and metrics in the domain's registries.
        reads: the named feature that the head reads: ``"fpn"``, ``"c5"``, ``"latent"``, ``"tokens"``.
        outputs: number of classes (background included), points or channels.
        labels: names of the outputs, empty or exactly `outputs` long.
        unit: unit of the answer, where it has one.
        weight: factor of this task's loss.
        lr_scale: factor of the learning rate of this task's head.
    """

    name: str
    kind: str
    reads: str
    outputs: int
    labels: tuple[str, ...] = ()
    unit: str | None = None
    weight: float = 1.0
    lr_scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a task needs a name")
        if self.outputs < 1:
            raise ValueError(f"task {self.name!r}: outputs must be at least 1, got {self.outputs}")
        if self.labels and len(self.labels) != self.outputs:
            raise ValueError(f"task {self.name!r}: {len(self.labels)} labels for {self.outputs} outputs")
        if not (self.weight >= 0 and self.lr_scale > 0):
            raise ValueError(f"task {self.name!r}: weight must be >= 0 and lr_scale > 0")

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"labels": list(self.labels)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TaskSpec:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"task {data.get('name')!r}: unknown fields {unknown}")
        return cls(**{**data, "labels": tuple(data.get("labels", ()))})


class TaskSet(Mapping[str, TaskSpec]):
    """The tasks of one model, in order, each name once."""

    def __init__(self, tasks: Iterable[TaskSpec]):
        self._tasks: dict[str, TaskSpec] = {}
        for task in tasks:
            if task.name in self._tasks:
                raise ValueError(f"the task {task.name!r} is there twice")
            self._tasks[task.name] = task

    def __getitem__(self, name: str) -> TaskSpec:
        if name not in self._tasks:
            raise UnknownName(f"unknown task {name!r}; this model has: {', '.join(self._tasks)}")
        return self._tasks[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def subset(self, names: Iterable[str]) -> TaskSet:
        """The named tasks, in this set's order."""
        wanted = {self[name].name for name in names}
        return TaskSet(task for task in self._tasks.values() if task.name in wanted)

    def of_kind(self, kind: str) -> TaskSet:
        return TaskSet(task for task in self._tasks.values() if task.kind == kind)

    def to_json(self) -> list[dict[str, Any]]:
        return [task.to_json() for task in self._tasks.values()]

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]]) -> TaskSet:
        return cls(TaskSpec.from_json(entry) for entry in data)
