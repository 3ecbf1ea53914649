"""A run ready to be asked: its scorer, its calibration, and which windows of a sequence its model takes at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from domains.genomics.sequences.alphabet import reverse_complement
from domains.genomics.sequences.windows import windows

if TYPE_CHECKING:
    from domains.genomics.answers.answer import Answer
    from domains.genomics.answers.vqvae import VqVae
    from domains.genomics.scoring.scorer import Scorer
    from domains.genomics.sequences.tokenizer import DnaTokenizer
    from domains.genomics.settings import GenomicsConfig

Span = tuple[int, int]

_MARGIN = 0.9
_SAMPLE = 5000


@dataclass(frozen=True)
class AskedRun:
    """A run folder as a model that answers.

    Attributes:
        path: the run folder.
        scorer: asks the model, on its device.
        answers: how each task answers; a pretraining has none.
        both_strands: tasks of which the other strand has the same answer.
        temperatures: of the calibration, by task.
        calibrated_on: the strands that each temperature was fitted for, "both" or "forward".
        codecs: what draws the image answers, by task; a task without one is answered with codes.
    """

    path: Path
    scorer: Scorer
    tokenizer: DnaTokenizer
    answers: Mapping[str, Answer]
    config: GenomicsConfig
    both_strands: frozenset[str]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    calibrated_on: Mapping[str, str] = field(default_factory=dict)
    codecs: Mapping[str, VqVae] = field(default_factory=dict)

    @property
    def context(self) -> int:
        """Tokens that the model takes at once."""
        return int(self.scorer.decoder.config.max_position_embeddings)

    @property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """The classes of each classification task."""
        return self.scorer.labels

    @property
    def one_strand(self) -> frozenset[str]:
        """Tasks of which the other strand may have another answer."""
        return frozenset(self.answers) - self.both_strands

    def strands(self, task: str, both: bool) -> str:
        """The strands that a task is asked on: "forward" unless `both` are wanted and have one answer."""
        return "both" if both and task in self.both_strands else "forward"

    def capacity(self, tasks: Iterable[str]) -> int:
        """DNA tokens that leave room for the question and the longest answer of any of `tasks`."""
        layout, room = self.scorer.layout, 0
        for task in tasks:
            question = len(layout.question(task, self.tokenizer))
            room = max(room, question + self.answers[task].grammar().longest)
        return self.context - room - 2

    @cached_property
    def bases_per_token(self) -> float:
        """Bases of a token on the mean over drawn bases, which real sequences, with their repeats, seldom undercut."""
        drawn = np.random.default_rng(0).integers(4, size=_SAMPLE)
        return _SAMPLE / len(self.tokenizer.encode("".join("ACGT"[base] for base in drawn)))

    def usual_window(self, tasks: Iterable[str]) -> int:
        """Bases of the windows that long sequences are cut into unless asked otherwise."""
        return max(16, int(_MARGIN * self.capacity(tasks) * self.bases_per_token))

    def cut(
        self, sequence: str, tasks: Sequence[str], size: int | None = None, stride: int | None = None
    ) -> list[Span]:
        """Windows [start, end) of a sequence that the model takes for all of `tasks`, on either strand.

        A sequence that fits is one window, unless `size` is smaller. Others are cut into windows of `size` bases every
        `stride`; a window of more tokens than the model takes (one of unknown letters, say) is halved until it fits.

        Args:
            size: bases; None for `usual_window`.
            stride: bases; None for half of the size.
        """
        capacity = self.capacity(tasks)
        if capacity < 8:
            raise ValueError(
                f"the answers of {', '.join(tasks)} leave {capacity} tokens for DNA; ask fewer tasks at once"
            )
        # A token is one base at least.
        if size is None and len(sequence) <= 32 * capacity and self._fits([sequence], capacity)[0]:
            return [(0, len(sequence))]
        size = size or self.usual_window(tasks)
        if len(sequence) <= size:
            spans = [(0, len(sequence))]
        else:
            spans = list(windows(len(sequence), size, min(stride or max(1, size // 2), size)))
        found: list[Span] = []
        while spans:
            fits = self._fits([sequence[start:end] for start, end in spans], capacity)
            found += [span for span, good in zip(spans, fits, strict=True) if good]
            halves = []
            for (start, end), good in zip(spans, fits, strict=True):
                if not good:
                    middle = (start + end) // 2
                    halves += [(start, middle), (middle, end)]
            spans = halves
        return sorted(found)

    def _fits(self, sequences: Sequence[str], capacity: int) -> list[bool]:
        both = self.tokenizer.encode_many([*sequences, *map(reverse_complement, sequences)])
        half = len(sequences)
        return [max(len(one), len(two)) <= capacity for one, two in zip(both[:half], both[half:], strict=True)]

    def probabilities(
        self, sequences: Sequence[str], tasks: Sequence[str], *, both: bool = True, calibrated: bool = True
    ) -> list[dict[str, np.ndarray]]:
        """Of each sequence and classification task the labels' probabilities (labels,), in one pass over each strand.

        Args:
            both: the mean over both strands, for the tasks that allow it.
            calibrated: with the run's temperatures, where these were fitted for the same strands.
        """
        turned = [task for task in tasks if self.strands(task, both) == "both"]
        straight = [task for task in tasks if task not in turned]
        found: list[dict[str, np.ndarray]] = [{} for _ in sequences]
        for chosen, strands in ((turned, True), (straight, False)):
            if chosen and sequences:
                told = self.scorer.score(sequences, chosen, reverse_complement=strands)
                for line, more in zip(found, told, strict=True):
                    line.update(more)
        known = (
            [task for task in tasks if self.calibrated_on.get(task) == self.strands(task, both)] if calibrated else []
        )
        if known:
            from polyhead.uncertainty.temperature import apply_temperature

            for line in found:
                for task in known:
                    line[task] = apply_temperature(line[task], self.temperatures[task])
        return [{task: line[task] for task in tasks} for line in found]


def open_run(run: str | Path, *, device: str = "auto", batch_tokens: int | None = None) -> AskedRun:
    """Loads a run to be asked.

    Args:
        device: auto, cpu, cuda, cuda:N or mps.
        batch_tokens: tokens of a pass, padding counted; None for what suits the device.

    Raises:
        ValueError: not a run of this application, damaged, or no such device.
    """
    from domains.genomics.answers.codecs import load_codecs
    from domains.genomics.answers.format import Layout
    from domains.genomics.saved import load_run
    from domains.genomics.scoring.scorer import Scorer
    from domains.genomics.uncertainty.calibrate import calibrated_strands
    from polyhead.runs.run import Run
    from polyhead.system.devices import choose_device
    from polyhead.uncertainty.temperature import read_calibrations

    path = Path(run)
    model, tokenizer, answers, config = load_run(path)
    model.to(choose_device(device, mps=False))
    layout = Layout(config.layout, config.replication)
    scorer = Scorer(model, tokenizer, answers, layout=layout, batch_tokens=batch_tokens)
    facts = Run.open(path).info.data.get("facts") or {}
    both = frozenset(task for task in answers if facts.get(task, {}).get("reverse_complement", True))
    temperatures = {task: each.temperature for task, each in read_calibrations(path).items()}
    strands = calibrated_strands(path, both) if temperatures else {}
    codecs = load_codecs(path, answers)
    return AskedRun(path, scorer, tokenizer, answers, config, both, temperatures, strands, codecs)
