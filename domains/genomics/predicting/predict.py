"""A trained decoder at work on blocks of records: all tasks in one pass, long sequences by windows."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.asking.blocks import BlockReader
from domains.genomics.asking.sources import labelled_policy, labelled_rows
from domains.genomics.data.labelled import LabelledData, read_labelled
from domains.genomics.predicting.asked_run import AskedRun, Span, open_run
from domains.genomics.predicting.write import Answered, Row, write_answers
from polyhead.batch.case import Case, InvalidInput, Record, Writer


@dataclass(frozen=True)
class Asked:
    """One sequence, what is asked of it, and where it lies; `windows` are the parts that the model reads."""

    record: str
    sequence: str
    tasks: tuple[str, ...]
    windows: tuple[Span, ...]
    contig: str = ""
    start: int = 0
    strand: str = "+"

    def place(self, span: Span) -> Span:
        """A window on the forward strand of the contig, 0-based and half-open."""
        low, high = span
        if self.strand == "-":
            low, high = len(self.sequence) - high, len(self.sequence) - low
        return self.start + low, self.start + high


@dataclass(frozen=True)
class Question:
    """The sequences of a case, and what should be said of them."""

    asked: tuple[Asked, ...]
    warnings: tuple[str, ...] = field(default=())


class GenomicsPredictor:
    """Answers blocks of sequences by one run.

    Args:
        run: the run folder.
        tasks: the tasks that are asked; None asks all. A labelled row is asked its own.
        device: auto, cpu, cuda, cuda:N or mps.
        reverse_complement: the mean over both strands, for tasks that allow it.
        window, stride: bases of the windows of long sequences; None for what the model takes, and half of that.
        per_window: a row for each window instead of the mean over them.
        calibrated: apply the run's temperatures, where they were fitted for the same strands.
        batch_tokens: tokens of a pass.

    Raises:
        ValueError: no such run, a pretraining, or a task that it does not have.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        tasks: Sequence[str] | None = None,
        device: str = "auto",
        reverse_complement: bool = True,
        window: int | None = None,
        stride: int | None = None,
        per_window: bool = False,
        calibrated: bool = True,
        batch_tokens: int | None = None,
    ):
        self.run: AskedRun = open_run(run, device=device, batch_tokens=batch_tokens)
        if not self.run.answers:
            raise ValueError(f"{run} is a pretraining, which answers no task; train it with `genomics train --init`")
        unknown = [task for task in tasks or () if task not in self.run.answers]
        if unknown:
            raise ValueError(f"the run has no task {unknown[0]!r}; it has: {', '.join(self.run.answers)}")
        self.tasks = tuple(tasks or self.run.answers)
        self.reverse_complement, self.calibrated = reverse_complement, calibrated
        self.window, self.stride, self.per_window = window, stride, per_window
        self._readers: dict[Any, BlockReader] = {}
        self._labelled: dict[Any, LabelledData] = {}
        self._opening, self._lock = threading.Lock(), threading.Lock()

    def read(self, case: Case) -> Question:
        """The sequences of a case; whatever is wrong with it is an `InvalidInput`."""
        options = case.options
        if options["kind"] == "rejected":
            raise InvalidInput(options["code"], options["reason"], options["remedy"])
        return self._rows(case) if options["kind"] == "rows" else self._block(case)

    def _block(self, case: Case) -> Question:
        options = case.options
        reading = {name: options.get(name) for name in ("reference", "policy", "seed", "records")}
        with self._opening:
            reader = self._readers.setdefault((case.path, *reading.values()), BlockReader(case.path, **reading))
        block = reader.read(options["block"])
        if block is None:
            raise InvalidInput("changed", "the file has fewer records than when the batch began", "run it again")
        tasks = case.tasks or self.tasks
        asked = []
        for record in block:
            spans = tuple(self.run.cut(record.sequence, tasks, self.window, self.stride))
            contig = record.contig or record.name
            asked.append(Asked(record.name, record.sequence, tasks, spans, contig, record.start, record.strand))
        unclear = [record.name for record in block if "N" in record.sequence]
        warnings = list(options.get("notes", ()))
        warnings += [f"{len(unclear)} records hold letters other than A, C, G and T"] if unclear else []
        return Question(tuple(asked), tuple(warnings))

    def _rows(self, case: Case) -> Question:
        options = case.options
        policy, seed = labelled_policy(options["policy"]), options["seed"]
        with self._opening:
            key = (options["data"], policy, seed)
            if key not in self._labelled:
                self._labelled[key] = read_labelled(options["data"], policy=policy, seed=seed)
            data = self._labelled[key]
        chosen = labelled_rows(data, options["split"], case.tasks)[options["first"] : options["last"]]
        if len(chosen) != options["last"] - options["first"]:
            raise InvalidInput("changed", "the data have fewer rows than when the batch began", "run it again")
        wanted: dict[str, list[str]] = {}
        strange = 0
        for row in chosen:
            task = str(data.task[row])
            known = task in self.run.answers and task in self.tasks
            strange += not known
            tasks = wanted.setdefault(data.sequences[row], [])
            if known and task not in tasks:
                tasks.append(task)
        first = {data.sequences[row]: row for row in reversed(chosen)}
        asked = tuple(
            Asked(
                f"row_{first[sequence] + 1}",
                sequence,
                tuple(tasks),
                tuple(self.run.cut(sequence, tasks, self.window, self.stride)),
            )
            for sequence, tasks in wanted.items()
            if tasks
        )
        if not asked:
            names = ", ".join(case.tasks)
            raise InvalidInput("unknown-task", f"the run answers none of {names}", "ask a run that was trained on them")
        return Question(asked, (f"{strange} rows ask a task that the run does not have",) if strange else ())

    def predict(self, items: Sequence[Question]) -> list[Answered]:
        """Answers the sequences of each case: those of equal tasks in one pass.

        Passes never mix cases, so that a case is answered the same, bit for bit, alone and in every batch.
        """
        with self._lock:
            return [self._answered(item) for item in items]

    def _answered(self, item: Question) -> Answered:
        texts: dict[tuple[str, ...], dict[str, None]] = {}
        for asked in item.asked:
            parts = texts.setdefault(asked.tasks, {})
            parts.update(dict.fromkeys(asked.sequence[start:end] for start, end in asked.windows))
        shares: dict[tuple[str, str], np.ndarray] = {}
        written: dict[tuple[str, str], tuple[str, float]] = {}
        for tasks, found in texts.items():
            self._ask(list(found), tasks, shares, written)
        rows = tuple(row for asked in item.asked for row in self._told(asked, shares, written))
        return Answered(rows, item.warnings)

    def _ask(
        self,
        sequences: list[str],
        tasks: Sequence[str],
        shares: dict[tuple[str, str], np.ndarray],
        written: dict[tuple[str, str], tuple[str, float]],
    ) -> None:
        classes = [task for task in tasks if isinstance(self.run.answers[task], ClassAnswer)]
        if classes:
            told = self.run.probabilities(sequences, classes, both=self.reverse_complement, calibrated=self.calibrated)
            for sequence, line in zip(sequences, told, strict=True):
                shares.update({(sequence, task): line[task] for task in classes})
        for task in tasks:
            if task not in classes:
                for sequence, answer in zip(sequences, self.run.scorer.generate(sequences, task), strict=True):
                    written[sequence, task] = (_as_text(self.run.answers[task], answer.value), answer.probability)

    def _told(
        self,
        asked: Asked,
        shares: Mapping[tuple[str, str], np.ndarray],
        written: Mapping[tuple[str, str], tuple[str, float]],
    ) -> list[Row]:
        """The rows of one sequence: its tasks, each over all windows or a row a window."""
        rows = []
        parts = [(span, asked.sequence[slice(*span)]) for span in asked.windows]
        for task in asked.tasks:
            answer = self.run.answers[task]
            if not isinstance(answer, ClassAnswer):
                # The mean of texts or pictures is none: each window has its own.
                rows += [self._row(asked, task, span, *written[part, task]) for span, part in parts]
            elif self.per_window or len(parts) == 1:
                rows += [self._classes(asked, task, span, shares[part, task]) for span, part in parts]
            else:
                mean = np.mean([shares[part, task] for _, part in parts], axis=0)
                rows.append(self._classes(asked, task, (0, len(asked.sequence)), mean, len(parts)))
        return rows

    def _classes(self, asked: Asked, task: str, span: Span, shares: np.ndarray, windows: int = 1) -> Row:
        answer = self.run.answers[task]
        assert isinstance(answer, ClassAnswer)
        best = int(shares.argmax())
        told = dict(zip(answer.labels, shares.tolist(), strict=True))
        return self._row(asked, task, span, answer.labels[best], float(shares[best]), told, windows)

    def _row(
        self,
        asked: Asked,
        task: str,
        span: Span,
        answer: str,
        probability: float,
        told: Mapping[str, float] | None = None,
        windows: int = 1,
    ) -> Row:
        start, end = asked.place(span)
        sequence = asked.sequence[slice(*span)]
        contig = asked.contig or asked.record
        kind = self.run.answers[task].kind
        return Row(
            asked.record,
            contig,
            start,
            end,
            asked.strand,
            sequence,
            task,
            kind,
            answer,
            probability,
            told or {},
            windows,
        )

    def write(self, case: Case, result: Answered, out: Writer) -> Record:
        """Writes the files of one case; see `domains.genomics.predicting.write`."""
        images = {task: each for task, each in self.run.answers.items() if isinstance(each, ImageAnswer)}
        return write_answers(result, out, images=images, codecs=self.run.codecs)


def _as_text(answer: Any, value: Any) -> str:
    if isinstance(answer, ImageAnswer):
        return answer.label(value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def load_predictor(**arguments: object) -> GenomicsPredictor:
    """Builds a predictor from JSON values: what a worker process calls."""
    return GenomicsPredictor(**arguments)  # pyright: ignore[reportArgumentType]
