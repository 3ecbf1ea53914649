"""What the genomics benchmarks share: fits kept as they end, answers to test rows, MCC with intervals, budgets."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.bootstrap import bootstrap_counts, percentile_interval
from benchmarks.results import RESULTS, write_section
from domains.genomics.answers.format import Layout
from domains.genomics.data.labelled import LabelledData
from domains.genomics.data.splits import sequence_groups
from domains.genomics.evaluation.metrics import confusion, confusion_scores
from domains.genomics.learning.training import train
from domains.genomics.presets import GenomicsConfig, resolve
from domains.genomics.saved import load_run
from domains.genomics.scoring.scorer import Scorer
from domains.genomics.settings import TRAINED_TOKENIZER
from polyhead.evaluation.evaluate import Interval
from polyhead.runs.run import RUN_FILE
from polyhead.system.files import hash_file, replacing
from polyhead.training.session import Session
from polyhead.training.settings import TrainConfig

Record = dict[str, Any]
"""What is kept of a measurement: plain JSON."""

Predicted = dict[str, np.ndarray]
"""For each task the index of the answered label of each test row, (n,) int; -1 is no usable answer."""


def shared_data(name: str) -> Path:
    """A file or folder of the sample data: below POLYHEAD_SHARED_DATA, else below ``../shared/data``."""
    return Path(os.environ.get("POLYHEAD_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")) / name


@dataclass(frozen=True)
class Work:
    """Where a benchmark keeps its runs and what it has measured, so that it goes on where it stopped.

    Attributes:
        folder: holds ``runs`` and ``measured``.
        seeds: trainings of each system.
        only: words; what has none of them in its label is not measured anew.
        minutes: of the whole call; what does not fit is left for the next one, a training in the middle.
        results: the file that sections are written to.
        given: all flags.
    """

    folder: Path
    seeds: int
    only: tuple[str, ...]
    minutes: float | None
    results: Path
    given: argparse.Namespace
    started: float = field(default_factory=time.perf_counter)

    @property
    def minutes_left(self) -> float | None:
        return None if self.minutes is None else self.minutes - (time.perf_counter() - self.started) / 60

    def measure(
        self, label: str, seed: int, key: Mapping[str, Any], run: Callable[[Path], Record | None]
    ) -> Record | None:
        """A record and its ``seconds``, from before if it was measured; None where it is not, or not asked for.

        Args:
            label: names the measurement and its files.
            seed: of the training; 0 where there is none.
            key: what the record depends on besides the seed.
            run: takes a folder; None says that the time was over, and that it goes on in the next call.

        Raises:
            SystemExit: what was measured under this label depends on other settings or data than those of now.
        """
        name = label.replace("/", "-")
        kept, part = (self.folder / "measured" / f"{name}.{seed}.{ending}" for ending in ("json", "part"))
        key = json.loads(json.dumps(dict(key)))
        if kept.is_file():
            found = json.loads(kept.read_text(encoding="utf-8"))
            if found["key"] != key:
                differ = [each for each in key if found["key"].get(each) != key[each]]
                raise SystemExit(
                    f"{kept} was measured with another {', '.join(differ)}: remove it, or take other --work"
                )
            return found["record"] | {"seconds": found["seconds"]}
        left = self.minutes_left
        if (self.only and not any(word in label for word in self.only)) or (left is not None and left <= 0):
            return None
        spent = float(part.read_text()) if part.is_file() else 0.0
        started = time.perf_counter()
        record = run(self.folder / "runs" / name / str(seed))
        seconds = spent + time.perf_counter() - started
        kept.parent.mkdir(parents=True, exist_ok=True)
        if record is None:
            part.write_text(str(seconds))
            print(f"{label}, seed {seed}: stopped after {seconds:.0f} s in all, goes on in the next call", flush=True)
            return None
        with replacing(kept) as temporary:
            temporary.write_text(json.dumps({"record": record, "seconds": seconds, "key": key}), encoding="utf-8")
        part.unlink(missing_ok=True)
        print(f"{label}, seed {seed}: {seconds:.0f} s", flush=True)
        return record | {"seconds": seconds}

    def with_clock(self, schedule: TrainConfig, seed: int) -> TrainConfig:
        """A schedule with a seed, which stops where the time of this call is over."""
        left = self.minutes_left
        return schedule.model_copy(update={"seed": seed, "max_minutes": None if left is None else max(left, 0.05)})

    def write(self, name: str, text: str) -> None:
        write_section(name, text, self.results)


def arguments(description: str | None, add: Callable[[argparse.ArgumentParser], object] = lambda parser: None) -> Work:
    """The flags of a genomics benchmark; `add` adds those of one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and figures; reused")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="omni-dna-micro")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as of train --set")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the epochs of tuning and pretraining")
    parser.add_argument("--minutes", type=float, help="of this call; the next one goes on where it stopped")
    parser.add_argument("--only", nargs="*", default=[], help="measure what is named so; the rest as it was measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file whose section is written")
    add(parser)
    given = parser.parse_args()
    return Work(given.work, given.seeds, tuple(given.only), given.minutes, given.results, given)


def settings(given: argparse.Namespace, **changes: Any) -> GenomicsConfig:
    """The preset with `--set`, `changes` (which `--set` overrides), and its epochs scaled."""
    named = dict(each.split("=", 1) for each in given.set)
    config = resolve(given.preset, changes | {name: _value(text) for name, text in named.items()})
    pretraining = config.pretrain.model_copy(update={"training": scaled(config.pretrain.training, given.scale)})
    return config.model_copy(update={"training": scaled(config.training, given.scale), "pretrain": pretraining})


def scaled(schedule: TrainConfig, factor: float) -> TrainConfig:
    """A schedule of more or fewer epochs, validated about as often in all."""
    epochs = max(1, round(schedule.epochs * factor))
    every = max(1, round(schedule.validate_every * epochs / schedule.epochs))
    return schedule.model_copy(update={"epochs": epochs, "validate_every": min(every, epochs)})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def network_key(config: GenomicsConfig) -> dict[str, str]:
    """What a network depends on besides its data and seed: the tokenizer by its content, wherever it lies."""
    text = config.model_dump_json(exclude={"tokenizer": True, "training": {"seed"}, "pretrain": {"training": {"seed"}}})
    tokenizer = config.tokenizer
    if tokenizer != TRAINED_TOKENIZER:
        tokenizer = hash_file(Path(tokenizer))
    return {"settings": hashlib.sha256(text.encode()).hexdigest(), "tokenizer": tokenizer}


def fingerprint(data: LabelledData) -> str:
    """A hash of rows and sides in their order."""
    found = hashlib.sha256()
    for row in zip(data.task, data.label, data.split, data.sequences, strict=True):
        found.update("\t".join(map(str, row)).encode() + b"\n")
    return found.hexdigest()


def thinned(data: LabelledData, most: Mapping[tuple[str, str], int], *, seed: int = 0) -> LabelledData:
    """At most so many rows of each (task, split), drawn; a pair that is not named keeps all."""
    rng = np.random.default_rng(seed)
    kept = np.ones(len(data), dtype=bool)
    for (task, split), count in most.items():
        rows = data.rows(task=task, split=split)
        kept[rng.permutation(rows)[count:]] = False
    return data.take(np.flatnonzero(kept))


def tuned(
    work: Work,
    label: str,
    seed: int,
    data: LabelledData,
    config: GenomicsConfig,
    *,
    tasks: Sequence[str] | None = None,
    init: tuple[Path, str] | None = None,
    both_strands: bool = True,
) -> Record | None:
    """One training and its answers to the test rows: ``both`` strands' mean, and the ``one`` as written.

    Args:
        init: a run to start from and what it depends on; every seed starts there.
        both_strands: whether the other strand has the same answer.
    """
    key = network_key(config) | {
        "data": fingerprint(data),
        "tasks": list(tasks or data.tasks),
        "init": init[1] if init else "",
    }

    def run(out: Path) -> Record | None:
        resume = (out / RUN_FILE).is_file()
        changed = config.model_copy(update={"training": work.with_clock(config.training, seed)})
        source = init[0] if init else None
        result = train(data, out, changed, init_from=source, tasks=tasks, session=Session(resume=resume))
        if result.stopped == "time":
            return None
        chosen = tuple(tasks or data.tasks)
        one = answers(out, data, chosen, both_strands=False)
        both = answers(out, data, chosen, both_strands=True) if both_strands else one
        return {
            "both": {task: line.tolist() for task, line in both.items()},
            "one": {task: line.tolist() for task, line in one.items()},
            "steps": result.step,
        }

    return work.measure(label, seed, key, run)


def answers(run: Path, data: LabelledData, tasks: Sequence[str], *, both_strands: bool) -> Predicted:
    """The labels that a run gives the test rows, all tasks in one pass over each distinct sequence."""
    model, tokenizer, known, config = load_run(run)
    model.to("cuda" if _has_gpu() else "cpu")
    scorer = Scorer(model, tokenizer, known, layout=Layout(config.layout, config.replication))
    rows = {task: data.rows(task=task, split="test") for task in tasks}
    distinct = list(dict.fromkeys(data.sequences[row] for task in tasks for row in rows[task]))
    told = dict(zip(distinct, scorer.score(distinct, tasks, reverse_complement=both_strands), strict=True))
    return {
        task: np.array([int(told[data.sequences[row]][task].argmax()) for row in rows[task]], dtype=int)
        for task in tasks
    }


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def truth(data: LabelledData, task: str) -> np.ndarray:
    """The index of the label of each test row, (n,) int."""
    place = {label: index for index, label in enumerate(data.facts[task].labels)}
    return np.array([place[str(label)] for label in data.label[data.rows(task=task, split="test")]], dtype=int)


def scores(data: LabelledData, predicted: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """MCC of each task on its test rows."""
    return {task: float(_mcc(data, task, np.asarray(line))) for task, line in predicted.items()}


def _mcc(data: LabelledData, task: str, predicted: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    classes = len(data.facts[task].labels)
    return confusion_scores(confusion(truth(data, task), predicted, classes, counts))["MCC"]


def replicates(
    data: LabelledData, systems: Mapping[str, Sequence[Mapping[str, Sequence[int]]]], *, resamples: int = 1000
) -> dict[str, np.ndarray]:
    """For each system the mean MCC over tasks and seeds in each resample of the distinct test sequences, (resamples,).

    A sequence is drawn with its rows of all tasks, a reverse complement with it; the resamples are the same for all
    systems, so that their differences are paired.
    """
    tasks = list(next(iter(systems.values()))[0])
    rows = {task: data.rows(task=task, split="test") for task in tasks}
    chosen = np.concatenate([rows[task] for task in tasks])
    groups = sequence_groups([data.sequences[row] for row in chosen]).tolist()
    edges = np.cumsum([0, *(len(rows[task]) for task in tasks)])
    found: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    for counts in bootstrap_counts(len(chosen), groups=groups, resamples=resamples, seed=0):
        for name, seeds in systems.items():
            each = [
                _mcc(data, task, np.asarray(predicted[task]), counts[:, edges[place] : edges[place + 1]])
                for predicted in seeds
                for place, task in enumerate(tasks)
            ]
            found[name].append(np.mean(each, axis=0))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def mean_score(data: LabelledData, seeds: Iterable[Mapping[str, Sequence[int]]]) -> float:
    """The mean MCC over tasks and seeds."""
    return float(np.mean([value for predicted in seeds for value in scores(data, predicted).values()]))


def difference(value: float, first: np.ndarray, second: np.ndarray) -> Interval:
    """A difference of two systems with the interval of their paired resamples."""
    return percentile_interval(value, first - second)


def over_seeds(values: Sequence[float]) -> str:
    """The mean with the half width of the 95 % t interval over seeds, where there are several."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3f}"
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return f"{mean:.3f} ± {half:.3f}"


def with_interval(found: Interval, sign: str = "") -> str:
    """``0.412 [0.401, 0.423]``; with the sign ``+`` also of what is above zero."""
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
