"""From labels to the model's answers: how each task of a data set answers, and its description for the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domains.genomics.answers.answer import Answer
from domains.genomics.answers.classes import ClassAnswer
from domains.genomics.answers.image import ImageAnswer
from domains.genomics.answers.numbers import NumberAnswer
from domains.genomics.answers.text import TextAnswer
from domains.genomics.data.facts import TaskFacts
from domains.genomics.data.labelled import LabelledData
from domains.genomics.settings import GenomicsConfig
from polyhead.tasks import TaskSet, TaskSpec


def build_answers(data: LabelledData, config: GenomicsConfig) -> dict[str, Answer]:
    """For each task how it answers, learned from the given rows: those of the training alone.

    Raises:
        ValueError: a task of a single class, or a label that its kind does not allow.
    """
    answers = {}
    for task in data.tasks:
        labels = [str(label) for label in data.label[data.rows(task=task)]]
        try:
            answers[task] = _answer(data.facts[task], labels, config)
        except ValueError as error:
            raise ValueError(f"task {task!r}: {error}") from error
    return answers


def _answer(facts: TaskFacts, labels: Sequence[str], config: GenomicsConfig) -> Answer:
    if facts.kind == "classification":
        return ClassAnswer(facts.labels)
    if facts.kind == "number":
        if facts.decimals is None:
            return NumberAnswer.of(labels, digits=config.digits)
        values = [float(label) for label in labels]
        whole = max(len(f"{abs(value):.{facts.decimals}f}".partition(".")[0]) for value in values)
        return NumberAnswer(whole, facts.decimals, signed=min(values) < 0)
    if facts.kind == "text":
        return TextAnswer.learn(labels, vocabulary=config.text_vocabulary)
    rows, columns = facts.options["grid"]
    return ImageAnswer(int(facts.options["codes"]), (int(rows), int(columns)), str(facts.options.get("codec", "")))


def task_specs(facts: Mapping[str, TaskFacts], answers: Mapping[str, Answer], config: GenomicsConfig) -> TaskSet:
    """The tasks as the core sees them.

    A task that answers by tokens reads ``answers`` and has as many outputs as its answer has tokens; classes under a
    linear head read ``last`` or ``mean`` and have an output a class.
    """
    specs = []
    for task, answer in answers.items():
        known = facts[task]
        linear = known.kind == "classification" and config.head != "answer"
        specs.append(
            TaskSpec(
                name=task,
                kind=known.kind,
                reads=config.head if linear else "answers",
                outputs=len(known.labels) if known.kind == "classification" else len(answer.tokens),
                labels=known.labels,
                unit=known.unit,
                lr_scale=config.head_lr_scale if linear else 1.0,
            )
        )
    return TaskSet(specs)
