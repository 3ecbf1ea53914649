"""Transfer: a trained run fine-tuned on few samples of a new task, and what the number of samples buys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from domains.pde.data.samples import OperatorData
from domains.pde.learning.training import relative_errors, train
from domains.pde.networks.model import backbone_of
from domains.pde.saved import load_run
from domains.pde.settings import PdeConfig
from polyhead.runs.run import RUN_FILE, Run
from polyhead.system.files import replacing
from polyhead.training.session import Session

PUBLISHED_FREEZE = ("branch.conv[2-9]", "trunk.layer*")
"""What the paper keeps: all but the first convolution, the branch's dense layers and gates, and the trunk's output.

With few samples, freezing it loses more than it saves: nothing is frozen unless it is asked for.
"""

Way = Literal["transfer", "scratch"]


@dataclass(frozen=True)
class TransferPoint:
    """A fine-tuning, on the test samples of the new task.

    Attributes:
        way: from a run (``transfer``) or from random weights (``scratch``).
        samples: training samples of the new task.
        relative_l2_mean, relative_l2_median: over the test samples, in the mask.
    """

    way: Way
    samples: int
    seed: int
    relative_l2_mean: float
    relative_l2_median: float
    seconds: float


def few_samples(data: OperatorData, task: str, count: int, *, seed: int) -> OperatorData:
    """The data with `count` training samples of one task, drawn by the seed; smaller counts give a part of larger ones.

    Raises:
        ValueError: fewer training samples than that.
    """
    rows = data.rows(task=task, split="train")
    if not 1 <= count <= len(rows):
        raise ValueError(f"task {task!r} has {len(rows)} training samples, {count} are asked for")
    kept = np.random.default_rng(seed).permutation(rows)[:count]
    others = np.concatenate([data.rows(task=task, split=split) for split in ("validation", "test")])
    return data.take(np.sort(np.concatenate([kept, others])))


def adapt(
    data: OperatorData,
    task: str,
    out: Path,
    *,
    source: Path | None,
    config: PdeConfig,
    samples: int,
    seed: int = 0,
    freeze: Sequence[str] = (),
    session: Session = Session(),
) -> TransferPoint:
    """Trains one task on few samples into a run folder, and measures it on the task's test samples.

    Args:
        data: the new task's problem.
        source: the run to start from, with the parts of `freeze` kept as they are; None starts from random weights,
            with nothing frozen.
        config: of the training; `fine_tuning` makes one of a source's configuration.

    Raises:
        ValueError: no test samples, or what `training.train` raises.
    """
    tested = data.rows(task=task, split="test")
    if not len(tested):
        raise ValueError(f"task {task!r} has no test samples to measure on")
    few = few_samples(data, task, samples, seed=seed)
    result = train(
        {data.problem: few},
        out,
        config,
        tasks=[task],
        init_from=source,
        freeze=freeze if source is not None else (),
        session=session,
    )
    mean, median = evaluate_task(out, data, task)
    return TransferPoint(
        "scratch" if source is None else "transfer", samples, seed, mean, median, round(result.seconds, 3)
    )


def evaluate_task(run: Path, data: OperatorData, task: str) -> tuple[float, float]:
    """Mean and median relative L2 error of a run on the test samples of a task, in the mask."""
    from domains.pde.learning.dataset import TaskSamples

    model, _, _ = load_run(run)
    network = backbone_of(model).network(model.tasks[task].reads)
    errors = relative_errors(model, TaskSamples(data, task, data.rows(task=task, split="test"), network))
    return float(errors.mean()), float(np.median(errors))


def fine_tuning(source: Path, **changes: Any) -> PdeConfig:
    """The configuration of a run for fine-tuning: its networks, one task a step, the relative loss, no POD start.

    Args:
        changes: settings of the training, as of `TrainConfig`; by default 2,000 steps of Adam with batches of 100, the
            rate falling from 1e-3 by a cosine. Published are 5,000 steps of 5e-4, a fifth of it from step 2,001 and a
            fiftieth from 3,001 on.
    """
    _, config, _ = load_run(source)
    training = {
        "epochs": 20,
        "steps_per_epoch": 100,
        "batch_size": 100,
        "tasks_per_step": 1,
        "sampler": "uniform",
        "balancer": "equal",
        "balancer_options": {},
        "learning_rate": 1e-3,
        "min_learning_rate": 1e-5,
        "weight_decay": 0.0,
        "schedule": "cosine",
        "warmup_steps": 0,
        "validate_every": 5,
        "ema_decay": None,
    }
    loss = config.loss.model_copy(update={"kind": "relative"})
    values = config.training.model_dump() | training | changes
    return config.model_copy(
        update={"training": type(config.training).model_validate(values), "loss": loss, "pod_steps": 0}
    )


def learning_curve(
    data: OperatorData,
    task: str,
    out: Path,
    *,
    source: Path,
    config: PdeConfig,
    counts: Sequence[int],
    seeds: Sequence[int] = (0,),
    ways: Sequence[Way] = ("transfer", "scratch"),
    freeze: Sequence[str] = (),
    session: Session = Session(),
) -> list[TransferPoint]:
    """Fine-tunes on every count of samples, by transfer and from scratch, with the same samples and settings.

    Writes ``OUT/<way>_<count>_<seed>`` runs and ``OUT/learning_curve.json``; returns the points. A run that is there
    and finished is measured, not trained again, unless the session overwrites.

    Raises:
        ValueError: a run that is there has other parts frozen; or what `adapt` raises.
    """
    points = []
    for count in counts:
        for seed in seeds:
            for way in ways:
                folder = out / f"{way}_{count}_{seed}"
                if not session.overwrite and _is_done(folder, freeze if way == "transfer" else ()):
                    mean, median = evaluate_task(folder, data, task)
                    point = TransferPoint(way, count, seed, mean, median, 0.0)
                else:
                    point = adapt(
                        data,
                        task,
                        folder,
                        source=source if way == "transfer" else None,
                        config=_seeded(config, seed),
                        samples=count,
                        seed=seed,
                        freeze=freeze,
                        session=Session(overwrite=session.overwrite or folder.exists(), progress=session.progress),
                    )
                session.say(
                    f"{task}: {count} samples, {way}: relative L2 {point.relative_l2_mean:.2%} ({point.seconds:.0f} s)"
                )
                points.append(point)
    with replacing(out / "learning_curve.json") as temporary:
        lines: Mapping[str, Any] = {"task": task, "points": [asdict(point) for point in points]}
        temporary.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")
    return points


def _is_done(folder: Path, freeze: Sequence[str]) -> bool:
    """Whether a fine-tuning lies there, finished; one with other frozen parts is a `ValueError`."""
    if not (folder / RUN_FILE).is_file():
        return False
    info = Run.open(folder).info
    if info.data.get("frozen") != list(freeze):
        raise ValueError(f"{folder} froze {info.data.get('frozen') or 'nothing'}: overwrite it, or name another folder")
    return info.finished


def _seeded(config: PdeConfig, seed: int) -> PdeConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
