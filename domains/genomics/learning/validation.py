"""Scores of a model on held-out rows, each kind of task by its own measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import nn

from domains.genomics.answers.image import ImageAnswer
from domains.genomics.evaluation.metrics import image_rows, mcc, number_scores, text_rows
from domains.genomics.learning.dataset import TaskRows
from domains.genomics.models.network import weighted_cross_entropy
from domains.genomics.scoring.scorer import Scorer
from polyhead.model import MultiHeadModel
from polyhead.train import Validation


def validator(rows: Mapping[str, TaskRows], *, most_written: int) -> Callable[[nn.Module], Validation]:
    """Scores a model on rows, without a change of strand.

    The score of a task, in [0, 1], is (1 + MCC) / 2 of classes, 1 minus the RMSE over the labels' deviation (at least
    0) of numbers, the mean token F1 of texts, and of images the probability of a right token behind right
    ones, the end included, as geometric mean: where many pictures are right, how many codes agree with one says little.

    Args:
        rows: of each task.
        most_written: rows of a task that are written token by token and scored, the first ones.
    """
    maker = next(iter(rows.values())).maker

    def validate(model: nn.Module) -> Validation:
        assert isinstance(model, MultiHeadModel)
        answers = {task: each.answer for task, each in rows.items()}
        scorer = Scorer(model, maker.tokenizer, answers, layout=maker.layout)
        chosen = _chosen_classes(scorer, rows)
        metrics: dict[str, dict[str, float | None]] = {}
        scores: dict[str, float] = {}
        for task, each in rows.items():
            if each.task.kind == "classification":
                metrics[task], scores[task] = _classes(each, chosen[task])
            else:
                sequences, labels = each.sequences[:most_written], each.labels[:most_written]
                values = [written.value for written in scorer.generate(sequences, task)]
                if isinstance(each.answer, ImageAnswer):
                    scores[task] = _probability(model, each, len(labels))
                    metrics[task] = {**_pictures(each.answer, labels, values), "code_probability": scores[task]}
                else:
                    metrics[task], scores[task] = _written(each.task.kind, labels, values)
        return Validation(metrics, scores)

    return validate


def _chosen_classes(scorer: Scorer, rows: Mapping[str, TaskRows]) -> dict[str, np.ndarray]:
    """For each classification task the index of the likeliest label of each row."""
    tasks = [task for task, each in rows.items() if each.task.kind == "classification"]
    # Tasks often share sequences: each is read once, and all tasks branch off.
    distinct = list(dict.fromkeys(sequence for task in tasks for sequence in rows[task].sequences))
    told = dict(zip(distinct, scorer.score(distinct, tasks) if distinct else [], strict=True))
    return {task: np.array([int(told[sequence][task].argmax()) for sequence in rows[task].sequences]) for task in tasks}


def _classes(rows: TaskRows, chosen: np.ndarray) -> tuple[dict[str, float | None], float]:
    truth = np.array([rows.task.labels.index(label) for label in rows.labels])
    found = float(mcc(truth, chosen))
    accuracy = float((truth == chosen).mean())
    defined = bool(np.isfinite(found))
    return {"MCC": found if defined else None, "accuracy": accuracy}, (1 + found) / 2 if defined else accuracy


def _probability(model: MultiHeadModel, rows: TaskRows, count: int, batch: int = 32) -> float:
    """The geometric mean, over the tokens of the first `count` answers, of their probability behind the right ones."""
    device = next(model.parameters()).device
    losses = []
    training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, count, batch):
            chosen = range(start, min(start + batch, count))
            inputs, targets = send_to_device(rows.at(chosen), device)
            losses.append(len(chosen) * float(weighted_cross_entropy(model(inputs, rows.task.name), targets)))
    model.train(training)
    return math.exp(-sum(losses) / count)


def _written(kind: str, labels: Sequence[str], values: Sequence[object]) -> tuple[dict[str, float | None], float]:
    if kind == "number":
        truth = np.array([float(label) for label in labels])
        found = number_scores(truth, np.array(values, dtype=float))
        spread = float(truth.std())
        numbers = {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
        error = float(found["RMSE"])
        return numbers, max(0.0, 1 - error / spread) if spread > 0 else float(error == 0)
    exact, f1, _ = text_rows(labels, [str(value) for value in values]).mean(axis=0)
    return {"exact_match": float(exact), "token_f1": float(f1)}, float(f1)


def _pictures(answer: ImageAnswer, labels: Sequence[str], values: Sequence[object]) -> dict[str, float]:
    given = [answer.label(value) for value in values if isinstance(value, np.ndarray)]
    exact, agree, _ = image_rows([" ".join(label.split()) for label in labels], given).mean(axis=0)
    return {"exact_match": float(exact), "code_accuracy": float(agree)}
