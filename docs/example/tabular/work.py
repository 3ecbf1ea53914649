"""What `polyhead tabular` does: a `apps.common_verbs.Work`."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polyhead.batch.case import Case, InvalidInput, Record, Writer
from polyhead.batch.inputs import Wanted, as_cases, find_inputs, id_names
from polyhead.batch.search import PassedOver
from polyhead.evaluation.evaluate import MetricSpec, TaskScore
from polyhead.evaluation.intervals import mean_interval
from polyhead.evaluation.score_report import ScoreReport
from polyhead.runs.run import Run, RunInfo
from polyhead.system.devices import choose_device
from polyhead.system.spreadsheet import table_text
from polyhead.train import FitResult, Validation, fit
from polyhead.training.session import Session
from tabular.network import PRESETS, Settings, build_model
from tabular.tables import INPUTS, TASKS, read_folder, read_table, sample

__all__ = ["PRESETS", "cases_from", "evaluate", "load_predictor", "sample", "train"]

Scale = Mapping[str, Sequence[float]]
"""For each column its mean and standard deviation in the training rows; (0, 1) for classes."""

LOSSES = {name: functional.cross_entropy if task.labels else functional.mse_loss for name, task in TASKS.items()}


class Rows:
    """The rows of one task: standardised inputs, and a class or a standardised number."""

    def __init__(self, task: str, table: Mapping[str, np.ndarray], scale: Scale):
        self.inputs, target = scaled(table, INPUTS, scale), scaled(table, [task], scale)
        self.targets = target[:, 0].long() if TASKS[task].labels else target

    def __len__(self) -> int:
        return len(self.inputs)

    def sample(self, row: int, seed: int | None) -> tuple[Tensor, Tensor]:
        return self.inputs[row], self.targets[row]


def scaled(table: Mapping[str, np.ndarray], columns: Sequence[str], scale: Scale) -> Tensor:
    """Columns as float32 of shape (rows, columns)."""
    return torch.stack(
        [torch.from_numpy((table[name] - scale[name][0]) / scale[name][1]) for name in columns], 1
    ).float()


def train(data: Path, out: Path, configuration: Settings, *, session: Session) -> FitResult:
    """Trains on ``DATA/train``; every fifth row chooses the weights."""
    table = read_folder(data / "train", [*INPUTS, *TASKS])
    held = np.arange(len(table["ash"])) % 5 == 0
    session.say(f"{np.count_nonzero(~held)} rows to train, {np.count_nonzero(held)} to validate")
    own, other = ({name: values[side] for name, values in table.items()} for side in (~held, held))
    scale = {name: [float(values.mean()), float(values.std()) or 1.0] for name, values in own.items()}
    scale |= {name: [0.0, 1.0] for name, task in TASKS.items() if task.labels}
    rows, validation = ({name: Rows(name, side, scale) for name in TASKS} for side in (own, other))

    def validate(model: torch.nn.Module) -> Validation:
        device = next(model.parameters()).device
        answers = {name: model(each.inputs.to(device), name).cpu() for name, each in validation.items()}
        found = {name: LOSSES[name](answer, validation[name].targets).item() for name, answer in answers.items()}
        return Validation(
            {name: {"loss": loss} for name, loss in found.items()}, {n: 1 / (1 + found[n]) for n in found}
        )

    info = RunInfo(
        application="tabular",
        system="shared-mlp",
        preset=configuration.preset,
        tasks=TASKS.to_json(),
        configuration=configuration.model_dump(mode="json"),
        data={"rows": len(held), "scale": scale},
    )
    model, training = build_model(configuration), configuration.training
    with session.begin(out, info, Settings) as run:
        return fit(model, LOSSES, rows, training, run, validate=validate, resume=run.resumed, progress=session.progress)


def cases_from(source: str, *, tasks: Sequence[str], passed: PassedOver | None = None) -> list[Case]:
    """A case a CSV table: of a folder and those below it, a glob, a list of paths, or one file."""
    found = find_inputs(source, lambda path: path.suffix.lower() == ".csv", looked_for="CSV tables", passed=passed)
    return as_cases([Wanted(each.path, id_names(each), tuple(tasks)) for each in found])


class TablePredictor:
    """Answers tables; the shared part runs once for all rows of a batch of tables and all their tasks."""

    def __init__(self, run: Run, tasks: Sequence[str], device: str):
        self.tasks, self.scale, self.device = tasks, run.info.data["scale"], choose_device(device)
        self.model = build_model(Settings.model_validate(run.info.configuration))
        run.load_into(self.model)
        self.model.to(self.device).eval()

    def read(self, case: Case) -> Tensor:
        try:
            return scaled(read_table(case.path, INPUTS), INPUTS, self.scale)
        except (ValueError, csv.Error) as error:
            raise InvalidInput("not-a-table", str(error), f"give a CSV table with {', '.join(INPUTS)}") from error

    @torch.no_grad()
    def predict(self, items: Sequence[Tensor]) -> list[dict[str, list[str | float]]]:
        lengths = [len(item) for item in items]
        rows = dict.fromkeys(self.tasks, torch.arange(sum(lengths)))
        outputs = self.model.answer_rows(torch.cat(list(items)).to(self.device), rows)
        parts = {name: output.cpu().split(lengths) for name, output in outputs.items()}
        return [{name: self._words(name, part[index]) for name, part in parts.items()} for index in range(len(items))]

    def write(self, case: Case, result: dict[str, list[str | float]], out: Writer) -> Record:
        rows = [dict(zip(result, values, strict=True)) for values in zip(*result.values(), strict=True)]
        out.write_bytes("answers.csv", table_text(rows, list(result)).encode())
        return {"rows": len(next(iter(result.values())))}

    def _words(self, task: str, output: Tensor) -> list[str | float]:
        if labels := TASKS[task].labels:
            return [labels[index] for index in output.argmax(dim=1).tolist()]
        mean, deviation = self.scale[task]
        return (output[:, 0].double() * deviation + mean).tolist()


def load_predictor(run: str, *, tasks: Sequence[str], device: str) -> TablePredictor:
    """The model of a run, ready to answer `tasks`."""
    return TablePredictor(Run.open(run), tasks, device)


def evaluate(predictions: Path, data: Path, *, resamples: int, seed: int) -> ScoreReport:
    """Scores answers to the tables of ``DATA/test``, beside the commonest class or the mean of ``DATA/train``."""
    lines = (predictions / "results.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [row["id"] for row in map(json.loads, lines) if row["status"] in ("ok", "skipped")]
    known = read_folder(data / "train", list(TASKS))
    scores = []
    for name, task in TASKS.items():
        found = [read_table(predictions / each / "answers.csv", [name])[name] for each in ids]
        truth = np.concatenate([read_table(data / "test" / f"{each}.csv", [name])[name] for each in ids])
        guess = np.bincount(known[name].astype(int)).argmax() if task.labels else known[name].mean()
        metric = (
            MetricSpec("accuracy", True, bounds=(0, 1))
            if task.labels
            else MetricSpec("mean absolute error", False, task.unit)
        )
        answers = (np.concatenate(found), np.full(len(truth), guess))
        values, trivial = ((a == truth).astype(float) if task.labels else np.abs(a - truth) for a in answers)
        interval = mean_interval(values, metric.bounds, resamples=resamples, seed=seed)
        scores.append(TaskScore(name, metric, interval, float(trivial.mean()), rows=len(truth)))
    return ScoreReport("Wines", tuple(scores), resamples=resamples, seed=seed)
