"""The chosen run as the parts of the page need it, and its model, loaded once for all sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from polyhead.runs import Run
from ui.run_choice import run_title, weights_hash

if TYPE_CHECKING:
    import numpy as np

    from domains.genomics.answers.answer import Answer
    from domains.genomics.calibrate import Temperature
    from domains.genomics.readers.vcf import Variant
    from domains.genomics.records import RejectedRecord
    from domains.genomics.scoring import Generated, Scorer
    from domains.genomics.shared_prefix import Comparer, SharedPrefix
    from domains.genomics.variants import Genome, VariantScore, VariantWindows

PRETRAINED = "language"
"""Kind of the one task of a pretraining, which has no answers."""

ROOM = 24
"""Tokens that a window leaves free for the question, the answer, and another strand that takes more tokens."""


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
    """A run: where it lies, what it is called, the SHA-256 of its weights, and its tasks."""

    path: Path
    title: str
    weights_hash: str
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
    return Model(run.path, run_title(run), weights_hash(run), sides)


def task_title(task: str) -> str:
    """A task as people read it.

    >>> task_title("splice_site"), task_title("H3K4me3")
    ('Splice site', 'H3K4me3')
    """
    words = task.replace("_", " ")
    return words if any(letter.isupper() for letter in words) else words[:1].upper() + words[1:]


@dataclass(frozen=True)
class Calibration:
    """What a run's calibration.json says.

    Attributes:
        tasks: the temperature of each task.
        both_strands: whether they were fitted to the mean over both strands.
        split: the rows that they were fitted on.
    """

    tasks: Mapping[str, Temperature] = field(default_factory=dict)
    both_strands: bool = False
    split: str = ""

    def of(self, task: str, both_strands: bool) -> Temperature | None:
        """The temperature for answers of one strand or of both; None where none was fitted to such."""
        return self.tasks.get(task) if both_strands == self.both_strands else None


def read_calibration(path: Path) -> Calibration:
    """The calibration of a run folder, an empty one where there is none; a damaged file is a `ValueError`."""
    from domains.genomics.calibrate import CALIBRATION_FILE, read_calibrations

    tasks = read_calibrations(path)
    if not tasks:
        return Calibration()
    said = json.loads((path / CALIBRATION_FILE).read_text("utf-8"))
    return Calibration(tasks, bool(said.get("reverse_complement")), str(said.get("split", "")))


class Loaded:
    """A model that answers: probabilities on the strands that a task allows, written answers, alleles, gradients.

    Args:
        model: the run.
        scorer: its scorer.
        calibration: the temperatures of its tasks.
    """

    def __init__(self, model: Model, scorer: Scorer, calibration: Calibration | None = None):
        from domains.genomics.shared_prefix import SharedPrefix, comparer

        self.model, self.scorer = model, scorer
        self.calibration = calibration or Calibration()
        self.comparer: Comparer = comparer(scorer)
        self.prefix: SharedPrefix | None = self.comparer if isinstance(self.comparer, SharedPrefix) else None
        self.answers: Mapping[str, Answer] = scorer.answers

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        return self.scorer.labels

    @property
    def limit(self) -> int:
        """Tokens that the model takes."""
        return int(self.scorer.decoder.config.max_position_embeddings)

    def usual_window(self, sequence: str, most: int = 500) -> int:
        """Bases of a window that the model takes at the density of a sequence's tokens, with a margin."""
        head = sequence[:5000]
        (ids,) = self.scorer.tokenizer.encode_many([head])
        fits = 0.7 * max(8, self.limit - ROOM) * len(head) / max(1, len(ids))
        return int(max(10, min(most, fits // 10 * 10)))

    def score(
        self, sequences: Sequence[str], tasks: Sequence[str] | None = None, *, reverse_complement: bool = False
    ) -> list[dict[str, np.ndarray]]:
        """As `Scorer.score`; the other strand is asked for tasks alone that answer alike there.

        A task's temperature applies where it was fitted to answers that were made in the same way.
        """
        from domains.genomics.calibrate import apply_temperature

        tasks = list(self.model.scored if tasks is None else tasks)
        both = [task for task in tasks if reverse_complement and self.model.tasks[task].both_strands]
        one = [task for task in tasks if task not in both]
        found: list[dict[str, np.ndarray]] = [{} for _ in sequences]
        for chosen, strands in ((both, True), (one, False)):
            if chosen:
                for line, told in zip(
                    found, self.scorer.score(sequences, chosen, reverse_complement=strands), strict=True
                ):
                    for task, shares in told.items():
                        known = self.calibration.of(task, strands)
                        line[task] = shares if known is None else apply_temperature(shares, known.temperature)
        return [{task: line[task] for task in tasks} for line in found]

    def generate(self, sequence: str, task: str) -> Generated:
        """The answer of a task that is written token by token."""
        (written,) = self.scorer.generate([sequence], task)
        return written

    def variants(
        self,
        variants: Sequence[Variant | RejectedRecord],
        genome: Genome,
        tasks: Sequence[str],
        windows: VariantWindows,
    ) -> list[VariantScore | RejectedRecord]:
        """Scores of variants; tasks that one strand decides are read on the forward strand of the reference."""
        from domains.genomics.variants import VariantScore, score_variants

        both = [task for task in tasks if self.model.tasks[task].both_strands or windows.strands == "forward"]
        one = [task for task in tasks if task not in both]
        found = list(score_variants(variants, genome, self.comparer, tasks=both, windows=windows))
        if not one:
            return found
        forward = replace(windows, strands="forward")
        more = score_variants(variants, genome, self.comparer, tasks=one, windows=forward)
        return [
            replace(
                score,
                reference=_joined(score.reference, other.reference, tasks),
                alternative=_joined(score.alternative, other.alternative, tasks),
            )
            if isinstance(score, VariantScore) and isinstance(other, VariantScore)
            else score
            for score, other in zip(found, more, strict=True)
        ]

    def picture(self, task: str, codes: np.ndarray) -> np.ndarray | None:
        """(size, size) float in [0, 1] of an image answer's codes; None where the run keeps no codec for it."""
        codec = getattr(self.answers[task], "codec", "")
        if not codec or not (self.model.path / f"{codec}.safetensors").is_file():
            return None
        from domains.genomics.answers.vqvae import load_vqvae

        return load_vqvae(self.model.path, codec).decode(codes[None])[0]


def _joined(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], tasks: Sequence[str]
) -> dict[str, np.ndarray]:
    both = {**one, **other}
    return {task: both[task] for task in tasks}


def loaded(model: Model) -> Loaded:
    """The model of a run; loaded anew where its weights or its calibration have changed."""
    file = model.path / "calibration.json"
    stamp = file.stat().st_mtime_ns if file.is_file() else 0
    return _load(model, model.weights_hash, stamp)


@st.cache_resource(
    max_entries=4, show_spinner="Loading the model ...", hash_funcs={Model: lambda model: str(model.path)}
)
def _load(model: Model, digest: str, calibrated: int) -> Any:
    from domains.genomics.format import Layout
    from domains.genomics.saved import load_run
    from domains.genomics.scoring import Scorer

    network, tokenizer, answers, config = load_run(model.path)
    scorer = Scorer(network, tokenizer, answers, layout=Layout(config.layout, config.replication))
    return Loaded(model, scorer, read_calibration(model.path))
