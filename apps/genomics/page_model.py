"""The chosen run as the parts of the page need it, and its model, loaded once for all sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from polyhead.runs.run import Run
from ui.run_choice import identity, run_title

if TYPE_CHECKING:
    import numpy as np

    from domains.genomics.predicting.asked_run import AskedRun
    from domains.genomics.scoring.scorer import Generated
    from domains.genomics.variants.alleles import Comparer
    from domains.genomics.variants.shared_prefix import SharedPrefix

PRETRAINED = "language"
"""Kind of the one task of a pretraining, which has no answers."""


@dataclass(frozen=True)
class TaskSide:
    """What the page knows of a task before its model is loaded.

    Attributes:
        kind: classification, number, text or image.
        labels: names of the classes.
        both_strands: whether the other strand has the same answer.
    """

    kind: str
    labels: tuple[str, ...] = ()
    both_strands: bool = True
    unit: str = ""


@dataclass(frozen=True)
class Model:
    """A run: where it lies, what it is called, which model it holds, and its tasks."""

    path: Path
    title: str
    identity: str
    tasks: Mapping[str, TaskSide]

    @property
    def scored(self) -> list[str]:
        """The tasks that have probabilities."""
        return [name for name, task in self.tasks.items() if task.kind == "classification"]

    @property
    def written(self) -> list[str]:
        """The tasks whose answers are written token by token."""
        return [name for name, task in self.tasks.items() if task.kind != "classification"]


def describe(run: Run) -> Model:
    """The run as the page needs it; a pretraining is a `ValueError`."""
    tasks = run.info.task_set
    if any(task.kind == PRETRAINED for task in tasks.values()):
        raise ValueError(
            f"{run.path.name} was pretrained and answers no task yet; train on it with "
            f"`polyhead genomics train DATA -o RUN --init {run.path}`"
        )
    facts = run.info.data.get("facts", {})
    sides = {
        name: TaskSide(
            task.kind,
            tuple(task.labels),
            bool(facts.get(name, {}).get("reverse_complement", True)),
            task.unit or "",
        )
        for name, task in tasks.items()
    }
    return Model(run.path, run_title(run), identity(run), sides)


def task_title(task: str) -> str:
    """A task as people read it.

    >>> task_title("splice_site"), task_title("H3K4me3")
    ('Splice site', 'H3K4me3')
    """
    words = task.replace("_", " ")
    return words if any(letter.isupper() for letter in words) else words[:1].upper() + words[1:]


class Loaded:
    """A run that answers, as the command line asks it, and what the page's other parts need of it.

    Args:
        model: the run.
        asked: its model.
    """

    def __init__(self, model: Model, asked: AskedRun):
        from domains.genomics.variants.comparers import comparer
        from domains.genomics.variants.shared_prefix import SharedPrefix

        self.model, self.asked, self.scorer = model, asked, asked.scorer
        self.comparer: Comparer = comparer(asked.scorer)
        self.prefix: SharedPrefix | None = self.comparer if isinstance(self.comparer, SharedPrefix) else None

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        return self.scorer.labels

    @property
    def calibrated(self) -> bool:
        return bool(self.asked.temperatures)

    def usual_window(self) -> int:
        """Bases of the windows of long sequences unless asked otherwise."""
        return self.asked.usual_window(self.model.scored or self.model.tasks)

    def generate(self, sequence: str, task: str) -> Generated:
        """The answer of a task that is written token by token."""
        (written,) = self.scorer.generate([sequence], task)
        return written

    def picture(self, task: str, codes: np.ndarray) -> np.ndarray | None:
        """(size, size) float in [0, 1] of an image answer's codes; None where the run keeps no codec for it."""
        codec = self.asked.codecs.get(task)
        return None if codec is None else codec.decode(codes[None])[0]


def loaded(model: Model) -> Loaded:
    """The model of a run; loaded anew where anything that decides its answers has changed."""
    return _load(model, model.identity)


@st.cache_resource(
    max_entries=4, show_spinner="Loading the model ...", hash_funcs={Model: lambda model: str(model.path)}
)
def _load(model: Model, identity: str) -> Any:
    from domains.genomics.predicting.asked_run import open_run

    return Loaded(model, open_run(model.path))
