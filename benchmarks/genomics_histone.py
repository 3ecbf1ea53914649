"""Ten histone marks at once: MCC of one model for all against one model a task, and against k-mers; two splits.

    python -m benchmarks.genomics_histone --work DIR [--seeds 3] [--scale 1] [--minutes M] [--parts histone promoters]

`random` is the split as published: the dev tables are trained on, the test tables asked. Its rows were drawn task by
task from the same yeast windows, so that sequences of the test stand in training under other tasks. `purged` shares no
sequence and no 31-mer of either strand between its sides; it is drawn from all rows, and its training is thinned to as
many rows of each task as the published one has. Models start from a pretraining on the split's own training windows,
without labels; one model a task has as many epochs of its rows as the joint model has, so that both see equally many
rows. k-mer regressions learn from training and validation rows, models choose their weights on the validation rows.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bootstrap import percentile_interval
from benchmarks.genomics_common import (
    Record,
    Work,
    arguments,
    difference,
    fingerprint,
    mean_score,
    network_key,
    over_seeds,
    replicates,
    scaled,
    scores,
    settings,
    shared_data,
    thinned,
    tuned,
    with_interval,
)
from benchmarks.results import table
from domains.genomics.data.labelled import LabelledData, TaskFacts, read_labelled
from domains.genomics.data.splits import purged_split, random_split, sequence_groups
from domains.genomics.evaluation.baselines import BASELINES
from domains.genomics.evaluation.leakage import leakage_report
from domains.genomics.learning.pretraining import pretrain
from domains.genomics.settings import GenomicsConfig
from polyhead.runs.run import RUN_FILE
from polyhead.training.session import Session

TASKS = ("H3", "H3K14ac", "H3K36me3", "H3K4me1", "H3K4me2", "H3K4me3", "H3K79me3", "H3K9ac", "H4", "H4ac")
PROMOTERS = "prom_300_tata"
SHARE = 0.1
"""Of distinct sequences, for the test and for the validation."""
MULTI, SINGLE = "one model for all tasks", "one model a task"
MAJORITY, KMERS, SCRATCH = "majority", "k-mers, logistic regression", "one model, without pretraining"
_LEARNED, _COLUMNS = ("train", "validation"), ("label", "split", "group")
Systems = dict[str, list[Record]]
"""Of each system the records of its seeds."""


@dataclass(frozen=True)
class Side:
    """A split: its labelled rows, and the sequences that may be pretrained on."""

    name: str
    data: LabelledData
    unlabelled: tuple[str, ...]

    @cached_property
    def leakage(self) -> Any:
        data = self.data
        side = np.where(data.split.astype(str) == "validation", "train", data.split.astype(str))
        return leakage_report(data.sequences, data.task.tolist(), data.label.tolist(), side)


def published(data: LabelledData, given: argparse.Namespace) -> Side:
    """Training on the dev tables, a tenth of their sequences for validation; the test tables are the test."""
    pool = data.rows(split="validation")
    sequences = [data.sequences[row] for row in pool]
    drawn = random_split(sequences, test=0, validation=SHARE, by="sequence")
    split = data.split.copy()
    split[pool] = drawn.side
    tested = set(_groups(data, split == "test"))
    groups = sequence_groups(data.sequences)
    free = [row for row in pool if split[row] == "train" and groups[row] not in tested]
    return _side("random", data.with_split(split), [data.sequences[row] for row in free], {}, given)


def purged(data: LabelledData, given: argparse.Namespace, like: LabelledData | None = None) -> Side:
    """No sequence and no 31-mer on two sides; as many rows to learn from for each task as in `like`, at most."""
    split = purged_split(data.sequences, test=SHARE, validation=SHARE)
    data = data.with_split(split.side.astype(object))
    most = {}
    if like is not None:
        most = {(task, name): len(like.rows(task=task, split=name)) for task in data.tasks for name in _LEARNED}
    return _side("purged", data, [data.sequences[row] for row in data.rows(split="train")], most, given)


def _side(
    name: str,
    data: LabelledData,
    unlabelled: Sequence[str],
    most: Mapping[tuple[str, str], int],
    given: argparse.Namespace,
) -> Side:
    data = thinned(data.take(np.flatnonzero(np.isin(data.split.astype(str), (*_LEARNED, "test")))), most)
    unlabelled = list(dict.fromkeys(unlabelled))
    if given.rows:
        few = {(task, split): given.rows for task in data.tasks for split in (*_LEARNED, "test")}
        data, unlabelled = thinned(data, few), unlabelled[: given.rows]
    return Side(name, data, tuple(unlabelled))


def _groups(data: LabelledData, chosen: np.ndarray) -> list[int]:
    return sequence_groups(data.sequences)[chosen].tolist()


def pretrained(work: Work, side: Side, config: GenomicsConfig) -> tuple[Path, str] | None:
    """The run that the models of a split start from, and what it depends on; None where it is not done yet."""
    label = f"{side.name} pretraining"
    out = work.folder / "runs" / label / "0"
    own = config.model_dump_json(include={"model", "vocabulary", "pretrain"})
    parts = [own, network_key(config)["tokenizer"], *side.unlabelled]
    key = {"settings": own, "windows": hashlib.sha256("\n".join(parts).encode()).hexdigest()}

    def run(folder: Path) -> Record | None:
        schedule = work.with_clock(config.pretrain.training, 0)
        changed = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"training": schedule})})
        windows = ((f"window{place}", sequence) for place, sequence in enumerate(side.unlabelled))
        resume = (folder / RUN_FILE).is_file()
        result = pretrain(windows, folder, changed, session=Session(resume=resume))
        if result.stopped == "time":
            return None
        return {"metrics": dict(result.metrics), "steps": result.step}

    record = work.measure(label, 0, key, run)
    return None if record is None else (out, key["windows"])


def regression(work: Work, side: Side, name: str, label: str) -> Record | None:
    """A baseline, task by task, on training and validation rows."""
    data = side.data

    def run(out: Path) -> Record:
        found = {}
        for task in data.tasks:
            rows = np.concatenate([data.rows(task=task, split=split) for split in _LEARNED])
            model = BASELINES[name](0)
            model.fit([data.sequences[row] for row in rows], [str(data.label[row]) for row in rows])
            asked = [data.sequences[row] for row in data.rows(task=task, split="test")]
            place = [data.facts[task].labels.index(each) for each in model.classes]
            found[task] = [place[index] for index in model.predict(asked).argmax(1).tolist()]
        return {"both": found}

    return work.measure(f"{side.name} {label}", 0, {"data": fingerprint(data), "baseline": name}, run)


def a_model_each(
    work: Work,
    side: Side,
    label: str,
    seed: int,
    config: GenomicsConfig,
    init: tuple[Path, str] | None,
) -> Record | None:
    """One model for each task, as one record; None until all are there."""
    parts = [
        tuned(work, f"{side.name} {label} {task}", seed, side.data, config, tasks=[task], init=init)
        for task in side.data.tasks
    ]
    kept = [part for part in parts if part is not None]
    if len(kept) < len(parts):
        return None
    joined: Record = {name: {k: v for part in kept for k, v in part[name].items()} for name in ("both", "one")}
    return joined | {name: sum(part[name] for part in kept) for name in ("steps", "seconds")}


def compared(work: Work, side: Side, config: GenomicsConfig) -> Systems:
    """The systems of a split: seed by seed, so that a call that ends early leaves whole comparisons."""
    found: Systems = {}

    def keep(label: str, record: Record | None) -> None:
        if record is not None:
            found.setdefault(label, []).append(record)

    keep(MAJORITY, regression(work, side, "majority", MAJORITY))
    keep(KMERS, regression(work, side, "k-mers", KMERS))
    init = pretrained(work, side, config)
    if init is None:
        return found
    for seed in range(work.seeds):
        keep(MULTI, tuned(work, f"{side.name} {MULTI}", seed, side.data, config, init=init))
        keep(SINGLE, a_model_each(work, side, SINGLE, seed, config, init))
    return found


def ablations(work: Work, side: Side, config: GenomicsConfig) -> Systems:
    """What parts of the joint model are worth, a seed each."""
    init = pretrained(work, side, config)
    if init is None:
        return {}
    changes: dict[str, tuple[dict[str, Any], tuple[Path, str] | None]] = {
        SCRATCH: ({}, None),
        "one model, labels written 10 times": ({"replication": 10}, init),
        "one model, NEFTune 5": ({"neftune": 5.0}, init),
    }
    if config.head == "answer":
        changes["one model, linear heads on mean tokens"] = ({"head": "mean"}, init)
        changes["one model, linear heads on the last token"] = ({"head": "last"}, init)
    else:
        changes["one model, answers by tokens"] = ({"head": "answer"}, init)
    found: Systems = {}
    for label, (change, source) in changes.items():
        record = tuned(work, f"{side.name} {label}", 0, side.data, config.model_copy(update=change), init=source)
        if record is not None:
            found[label] = [record]
    return found


def curve(work: Work, side: Side, config: GenomicsConfig, whole: Systems, fractions: Sequence[float]) -> str:
    """MCC of both over the rows that were seen, each point a schedule of its own."""
    init = pretrained(work, side, config)
    rows = []
    for fraction in fractions:
        schedule = scaled(config.training, fraction)
        if init is None or schedule.epochs >= config.training.epochs:
            continue
        short = config.model_copy(update={"training": schedule})
        label = f"{schedule.epochs} of {config.training.epochs} epochs"
        multi = tuned(work, f"{side.name} {MULTI}, {label}", 0, side.data, short, init=init)
        single = a_model_each(work, side, f"{SINGLE}, {label}", 0, short, init)
        points = [[record] if record else [] for record in (multi, single)]
        rows.append(_point(side, schedule.epochs, *points))
    rows.append(_point(side, config.training.epochs, whole.get(MULTI, []), whole.get(SINGLE, [])))
    if len(rows) < 2:
        return ""
    header = ["epochs", MULTI, SINGLE, "seconds, all tasks, joint and one by one"]
    return (
        f"**Over compute** ({side.name} split; mean MCC; equal epochs are equally many rows)\n\n{table(header, rows)}"
    )


def _point(side: Side, epochs: int, *systems: list[Record]) -> list[str]:
    cells = [over_seeds(_means(side, records)) if records else "" for records in systems]
    seconds = " and ".join(f"{np.median([one['seconds'] for one in each]):.0f}" for each in systems if each)
    return [str(epochs), *cells, seconds]


def _means(side: Side, records: Sequence[Record], strand: str = "both") -> list[float]:
    return [mean_score(side.data, [record[strand]]) for record in records]


def by_task(side: Side, found: Systems) -> str:
    """A line a system: MCC of each task over seeds, their mean, and its interval over test sequences."""
    if not found:
        return "Nothing measured yet."
    tasks = side.data.tasks
    drawn = replicates(side.data, {name: [record["both"] for record in records] for name, records in found.items()})
    rows = []
    for name, records in found.items():
        each = [scores(side.data, record["both"]) for record in records]
        means = _means(side, records)
        span = percentile_interval(float(np.mean(means)), drawn[name])
        one = over_seeds(_means(side, records, "one")) if "one" in records[0] else ""
        seconds = float(np.median([record["seconds"] for record in records]))
        cells = [over_seeds([scored[task] for scored in each]) for task in tasks]
        rows.append([name, *cells, over_seeds(means), with_interval(span), one, str(len(records)), f"{seconds:.0f}"])
    header = ["MCC", *tasks, "mean", "mean, 95 % over test sequences", "mean, one strand", "seeds", "seconds, median"]
    text = table(header, rows)
    lines = []
    for first, second in ((MULTI, SINGLE), (MULTI, KMERS), (SINGLE, KMERS)):
        if first in found and second in found:
            value = float(np.mean(_means(side, found[first])) - np.mean(_means(side, found[second])))
            span = with_interval(difference(value, drawn[first], drawn[second]), "+")
            lines.append(f"- {first} less {second}: {span}")
    return f"{text}\n\nDifferences of the means, paired over test sequences:\n\n" + "\n".join(lines) if lines else text


def beside(found: Mapping[str, Systems], sides: Sequence[Side]) -> str:
    """Mean MCC of each system under both splits."""
    names = list(dict.fromkeys(name for systems in found.values() for name in systems))
    rows = []
    for name in names:
        means = [_means(side, found[side.name][name]) if name in found[side.name] else [] for side in sides]
        fall = f"{np.mean(means[1]) - np.mean(means[0]):+.3f}" if all(means) and len(means) == 2 else ""
        rows.append([name, *(over_seeds(each) if each else "" for each in means), fall])
    return table(["mean MCC over tasks", *(side.name for side in sides), "difference"], rows)


def leaks(sides: Sequence[Side]) -> str:
    """What test rows share with learned ones, and what a predictor without DNA reaches."""
    rows = []
    for side in sides:
        for each in side.leakage.tasks:
            label_only = "" if np.isnan(each.label_only) else f"{each.label_only:.3f} ({each.label_only_rows})"
            counts = [side.name, each.task, str(each.train), str(each.test)]
            rows.append([*counts, f"{each.any_task:.1%}", f"{each.kmers:.1%}", label_only])
    header = ["split", "task", "rows learned", "test rows", "test sequences learned under any task", "shared 31-mers"]
    return table([*header, "MCC of other tasks' labels alone (rows)"], rows)


def histone(work: Work, config: GenomicsConfig) -> None:
    data = read_labelled(shared_data("genomics/histone"), tasks=TASKS)
    random = published(data, work.given)
    sides = [random, purged(data, work.given, random.data)]
    found = {side.name: compared(work, side, config) for side in reversed(sides)}
    strict = sides[1]
    parts = [
        f"### Both splits\n\n{beside(found, sides)}",
        *(f"### The {side.name} split\n\n{by_task(side, found[side.name])}" for side in sides),
    ]
    extra = ablations(work, strict, config) if work.given.ablations else {}
    if extra:
        parts.append(f"**Parts of the joint model** (purged split)\n\n{by_task(strict, extra)}")
    parts.append(curve(work, strict, config, found["purged"], work.given.curve))
    parts.append(f"### Leakage\n\n{leaks(sides)}")
    work.write("Genomics: ten histone tasks", "\n\n".join([note(work, config), *filter(None, parts)]))


def promoters(work: Work, config: GenomicsConfig) -> None:
    """TATA promoters of 300 bases, aligned on their start, so that strands differ and places tell."""
    parts = [read_labelled(shared_data(f"genomics/{PROMOTERS}.{name}.csv.gz")) for name in ("train", "dev", "test")]
    facts = {PROMOTERS: TaskFacts("classification", ("0", "1"), reverse_complement=False)}
    label, split, group = (np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS)
    sequences = [sequence for part in parts for sequence in part.sequences]
    task = np.full(len(sequences), PROMOTERS, dtype=object)
    data = LabelledData(sequences, task, label, split, group, facts)
    tested = set(_groups(data, data.split == "test"))
    groups = sequence_groups(data.sequences)
    free = [data.sequences[row] for row in data.rows(split="train") if groups[row] not in tested]
    sides = [_side("published", data, free, {}, work.given), purged(data, work.given)]
    sides = [replace(side, name=f"{PROMOTERS} {side.name}") for side in sides]
    found: dict[str, Systems] = {}
    for side in sides:
        systems = found.setdefault(side.name, {})
        for name in ("majority", "k-mers", "positions", "k-mers and positions"):
            record = regression(work, side, name, name)
            systems |= {name: [record]} if record else {}
        init = pretrained(work, side, config)
        ways: dict[str, Callable[[int], Record | None]] = {"model, from scratch": _fit(work, side, config, None)}
        if init:
            ways["model, pretrained on the training rows"] = _fit(work, side, config, init)
        for label, fit in ways.items():
            records = [record for seed in range(work.seeds) if (record := fit(seed)) is not None]
            systems |= {label: records} if records else {}
    parts = [f"### Both splits\n\n{beside(found, sides)}"]
    parts += [f"### {side.name}\n\n{by_task(side, found[side.name])}" for side in sides]
    parts.append(f"### Leakage\n\n{leaks(sides)}")
    work.write("Genomics: TATA promoters", "\n\n".join([note(work, config, both_strands=False), *parts]))


def _fit(
    work: Work, side: Side, config: GenomicsConfig, init: tuple[Path, str] | None
) -> Callable[[int], Record | None]:
    label = f"{side.name} model, {'pretrained' if init else 'from scratch'}"
    return lambda seed: tuned(work, label, seed, side.data, config, init=init, both_strands=False)


def note(work: Work, config: GenomicsConfig, *, both_strands: bool = True) -> str:
    schedule, before = config.training, config.pretrain.training
    changed = f" with {', '.join(f'`{each}`' for each in work.given.set)}" if work.given.set else ""
    text = (
        f"Preset `{config.preset}` ({config.model}){changed}, {schedule.epochs} epochs of tuning in batches of "
        f"{schedule.batch_size}, after {before.epochs} epochs of pretraining. MCC on test rows; ± is the 95 % t "
        "interval over seeds, brackets are the 95 % bootstrap over distinct test sequences. Probabilities are "
    )
    return text + (
        "means over both strands, but for the column of one strand." if both_strands else "of the strand as written."
    )


def main() -> None:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--parts", nargs="*", default=["histone", "promoters"], choices=["histone", "promoters"])
        parser.add_argument("--curve", nargs="*", type=float, default=[0.17, 0.34, 0.5], help="fractions of the epochs")
        parser.add_argument("--rows", type=int, default=0, help="most rows of a task and side; 0 takes all")
        parser.add_argument("--ablations", action="store_true", help="also what parts of the joint model are worth")

    work = arguments(__doc__, add)
    config = settings(work.given, tokenizer=str(shared_data("genomics/bpe4096.tokenizer.json")))
    for part in work.given.parts:
        {"histone": histone, "promoters": promoters}[part](work, config)


if __name__ == "__main__":
    main()
