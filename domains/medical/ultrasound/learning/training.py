"""Training on labelled rows: checks, split, model, loss of each task, validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domains.medical.surface import dice
from domains.medical.ultrasound.data.checks import content_hashes, leaks, require_none, write_problem_report
from domains.medical.ultrasound.data.fm_uia import tasks_of
from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.data.splits import Split, split_rows
from domains.medical.ultrasound.evaluation.metrics import box_iou, confusion_scores
from domains.medical.ultrasound.learning.companions import leave_companions
from domains.medical.ultrasound.learning.dataset import task_data
from domains.medical.ultrasound.learning.labelled import Labelled, read_labelled, summed_up
from domains.medical.ultrasound.learning.losses import LOSSES
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.predicting.decode import decode
from domains.medical.ultrasound.presets import UltrasoundConfig
from domains.medical.ultrasound.saved import describe
from polyhead.evaluation.confusion import confusion
from polyhead.model import MultiHeadModel
from polyhead.runs.identity import LIKENESS_FILE, PROBLEMS_FILE
from polyhead.system.ranks import Ranks
from polyhead.tasks import TaskSpec
from polyhead.train import FitResult, Validation, fit
from polyhead.training.session import Session


def train(
    data: Path,
    out: Path,
    config: UltrasoundConfig,
    *,
    validation_data: Path | None = None,
    tasks: Sequence[str] | None = None,
    strict: bool = False,
    allow_lost_tasks: bool = False,
    session: Session = Session(),
) -> FitResult:
    """Trains a system on an FM_UIA data root into a run folder.

    Rows that fail a check are left out, each a line of ``RUN/problems.csv``; no row is ever replaced by another.

    Args:
        data: the data root.
        out: the run folder.
        config: the system.
        validation_data: a second data root to validate on; None splits `data`, by a fraction of 0 without validation.
        tasks: train these tasks only.
        strict: any problem of the data is an error.
        allow_lost_tasks: go on without tasks of which no row can be used, which is an error else.
        session: how the training is carried out.

    Raises:
        ValueError: the data cannot be used, or a setting does not fit it.
    """
    ranks = Ranks(config.training.device)
    session = session.among(ranks)
    say = session.say
    labelled = read_labelled(data, config.network, tasks=tasks, allow_lost_tasks=allow_lost_tasks, say=say)
    rows, problems, notes, labels = labelled.rows, labelled.problems, labelled.notes, labelled.labels
    if validation_data is None and config.data.validation_fraction == 0:
        split = Split(tuple(rows), (), {"by": "none"})
    elif validation_data is None:
        split = split_rows(
            rows,
            fraction=config.data.validation_fraction,
            seed=config.data.split_seed,
            by=config.data.split_by,
            group_pattern=config.data.group_pattern,
            contents=content_hashes({row.image for row in rows}),
        )
    else:
        held_out = read_labelled(
            validation_data, config.network, tasks=tasks, allow_lost_tasks=allow_lost_tasks, say=say
        )
        labelled = labelled.with_others(held_out)
        problems = [*problems, *held_out.problems, *leaks(rows, held_out.rows)]
        notes = [*notes, *held_out.notes]
        split = Split(tuple(rows), tuple(held_out.rows), {"by": "folder", "validation": str(validation_data.name)})
    if strict:
        require_none(problems)
    found = tasks_of([*rows, *split.validation])
    _check_sides(split, labelled)
    say(f"{len(rows)} rows of {len(found)} tasks; {len(split.train)} to train, {len(split.validation)} to validate")
    if problems:
        say(f"{len(problems)} problems in the data, listed in {out / PROBLEMS_FILE}; first: {problems[0]}")
    for line in summed_up(notes):
        say(line)

    config = config.model_copy(update={"training": config.training.for_tasks(len(found))})
    specs = task_specs(found, config, labels)
    torch.manual_seed(config.training.seed)
    model = build_model(specs, config.network)
    if config.encoder_weights is not None:
        _load_encoder(model, config.encoder_weights)
    backbone = model.backbone
    if not config.train_decoder:
        assert isinstance(backbone.decoder, nn.Module)
        backbone.decoder.requires_grad_(False)

    info = describe(
        config,
        specs,
        label_maps={task: dict(enumerate(names)) for task, names in labels.items() if task in specs},
        data={"fingerprint": fingerprint(rows), "rows": len(rows), "split": split.to_json()},
    )
    with session.begin(out, info, UltrasoundConfig) as run:
        if ranks.first:
            write_problem_report(run.path / PROBLEMS_FILE, [*problems, *notes])
            run.drop_calibration(lambda _: None)  # the end of this training leaves another
        result = fit(
            model,
            {name: task_loss(task, config) for name, task in specs.items()},
            task_data(split.train, config),
            config.training,
            run,
            validate=validator(split.validation, config) if split.validation else None,
            resume=run.resumed,
            on_step=session.on_step,
            progress=session.progress,
        )
        # A run that is finished and has no companions was stopped between the one and the other.
        if ranks.first and result.stopped != "time" and not (run.path / LIKENESS_FILE).is_file():
            leave_companions(run, split.train, split.validation, config, device=ranks.device, say=say)
        return result


def _check_sides(split: Split, labelled: Labelled) -> None:
    """Every task is trained and, where there is a validation, scored: better told now than after the first epoch."""
    trained, scored = ({row.task for row in side} for side in (split.train, split.validation))
    if scored - trained:
        raise ValueError(f"the validation asks tasks that are not trained: {', '.join(sorted(scored - trained))}")
    if scored and trained - scored:
        missing = sorted(trained - scored)
        told = "".join(f"; {labelled.told(task)}" for task in missing if labelled.told(task))
        reason = f"no validation rows of {', '.join(missing)}; add rows, or leave out the task or the validation"
        raise ValueError(reason + told)


def _load_encoder(model: MultiHeadModel, source: str) -> None:
    from domains.medical.ultrasound.networks.checkpoints import load_encoder
    from domains.medical.ultrasound.networks.encoders import EfficientNetB4

    encoder = model.backbone.encoder
    if not isinstance(encoder, EfficientNetB4):
        raise ValueError("encoder_weights are of EfficientNet-B4; this preset has another encoder")
    load_encoder(encoder, source)


def task_loss(task: TaskSpec, config: UltrasoundConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a task as its system names it."""
    names = {
        "segmentation": config.segmentation_loss,
        "classification": "cross-entropy",
        "detection": config.detection_loss,
        "keypoints": config.keypoints_loss,
    }
    return LOSSES[names[task.kind]]


def fingerprint(rows: Sequence[Row]) -> str:
    """A hash of what was learned from: paths as written and labels, in sorted order."""
    lines = sorted(
        repr((row.task, row.image_path, row.mask_path, row.label, row.box, row.points, row.outputs))
        + "".join(f" {path.name}" for path in row.other_masks)
        for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def validator(rows: Sequence[Row], config: UltrasoundConfig) -> Callable[[nn.Module], Validation]:
    """Scores a model on rows at the network's size; every task has a score in [0, 1].

    The score of a task is the mean Dice over classes and images, the macro F1, the mean IoU, or 1 minus the mean
    radial error over a quarter of the input's side.
    """

    data = task_data(rows, config)
    size = config.network.image_size
    frame = Frame(size, size, size, size, size)

    def validate(model: nn.Module) -> Validation:
        assert isinstance(model, MultiHeadModel)
        device = next(model.parameters()).device
        metrics: dict[str, dict[str, float]] = {}
        scores: dict[str, float] = {}
        for name, task_rows in data.items():
            task = model.tasks[name]
            answers, targets = [], []
            rows = config.training.batch_of(name)
            for start in range(0, len(task_rows), rows):
                indices = range(start, min(start + rows, len(task_rows)))
                samples = [task_rows.sample(index, None) for index in indices]
                images = torch.stack([image for image, _ in samples]).to(device)
                raw = model(images.contiguous(memory_format=torch.channels_last), name)
                answers += decode(raw, task, [frame] * len(samples), config.network)
                targets += [target.numpy() for _, target in samples]
            if task.kind == "segmentation":
                overlaps = [
                    _mean_dice(answer.mask, target, task.outputs)
                    for answer, target in zip(answers, targets, strict=True)
                ]
                metrics[name] = {"DSC": float(np.mean(overlaps))}
                scores[name] = metrics[name]["DSC"]
            elif task.kind == "classification":
                predicted = np.array([np.argmax(answer.probabilities) for answer in answers])
                found = confusion_scores(confusion(np.array(targets), predicted, task.outputs))
                metrics[name] = {key: float(found[key]) for key in ("F1_macro", "Accuracy")}
                scores[name] = metrics[name]["F1_macro"]
            elif task.kind == "detection":
                iou = box_iou(np.array([answer.box for answer in answers]), np.stack(targets) * size)
                metrics[name] = {"IoU": float(iou.mean())}
                scores[name] = metrics[name]["IoU"]
            else:
                points = np.array([answer.points for answer in answers]) / size
                error = float(np.linalg.norm(points - np.stack(targets), axis=-1).mean())
                metrics[name] = {"MRE_of_side": error}
                scores[name] = max(0.0, 1 - error / 0.25)
        return Validation(metrics, scores)

    return validate


def _mean_dice(mask: np.ndarray | None, target: np.ndarray, classes: int) -> float:
    """Mean Dice over the classes but the background; a class absent from both counts 1."""
    assert mask is not None
    return float(np.mean([dice(mask == index, target == index) for index in range(1, classes)])) if classes > 1 else 1.0
