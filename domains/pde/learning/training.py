"""Training operator networks: data, model, statistics, loss of each task, validation, and the polish afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from domains.pde.data.samples import OperatorData
from domains.pde.learning.dataset import TaskSamples
from domains.pde.learning.losses import LOSSES, Loss, with_penalty
from domains.pde.learning.polish import RIDGES, fit_trunk_to_pod, last_layer_equations, solve_last_layer
from domains.pde.learning.starting import forget_unpolished, keep_unpolished, set_statistics, take_networks
from domains.pde.networks.description import Description
from domains.pde.networks.model import backbone_of, build_model, freeze_parts, task_specs
from domains.pde.saved import describe
from domains.pde.settings import PdeConfig
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.system.ranks import Ranks
from polyhead.train import FitResult, Validation, fit
from polyhead.training.session import Session

Say = Callable[[str], None]


def train(
    data: Path | Mapping[str, OperatorData],
    out: Path,
    config: PdeConfig,
    *,
    tasks: Sequence[str] | None = None,
    init_from: Path | None = None,
    freeze: Sequence[str] = (),
    session: Session = Session(),
) -> FitResult:
    """Trains operator networks into a run folder, on the samples of the split ``train``.

    Validated is on the split ``validation``, where a task scores 1 minus its mean relative L2 error in the mask, at
    least 0. Without such samples the weights of the last epoch are kept; if only some tasks lack them, these are scored
    on their training samples. All normalisation is of training samples, and lies in the run.

    Where fewer tasks than `training.tasks_per_step` are trained, a step takes all of them with as many rows in total.

    Args:
        data: a folder of data files, a file, or the data by problem.
        out: the run folder.
        config: the system; problems that it does not know are left out if it knows others.
        tasks: train these tasks only.
        init_from: a run whose branches and trunks to start from, as they were before its polish. Normalisation of the
            input is that of the new training samples, of the field that of the run; heads of new tasks start at the
            mean of the run's heads.
        freeze: see `networks.model.freeze_parts`; each pattern is of every problem.
        session: how the training is carried out.

    Raises:
        ValueError: the data cannot be used, or a setting does not fit them.
    """
    ranks = Ranks(config.training.device)
    session = session.among(ranks)
    say = session.say
    found = read_problems(data, config, tasks, say)
    chosen = _trained_tasks(found, tasks)
    untrained = [task for samples in found.values() for task in samples.tasks if task not in chosen]
    if untrained and not tasks:
        say(f"no training samples of {', '.join(untrained)}: not trained")
    descriptions = {
        name: Description.of(samples, tuple(task for task, problem in chosen.items() if problem == name))
        for name, samples in found.items()
    }
    config = config.model_copy(update={"training": config.training.for_tasks(len(chosen))})
    specs = task_specs(chosen, descriptions)
    torch.manual_seed(config.training.seed)
    model = build_model(specs, config, descriptions)
    training_rows = {task: found[problem].rows(task=task, split="train") for task, problem in chosen.items()}
    set_statistics(model, found, chosen, training_rows)
    if init_from is not None:
        take_networks(model, init_from, found, chosen, training_rows)
    for name in found:
        freeze_parts(model, name, freeze)

    drawing = {"points": config.loss.points, "everywhere": config.loss.kind == "mse"}
    data_sets = {
        task: _samples(model, found[problem], task, training_rows[task], **drawing, symmetries=config.turns(problem))
        for task, problem in chosen.items()
    }
    held_out = _held_out(model, found, chosen, training_rows, say)
    total = sum(len(rows) for rows in training_rows.values())
    count = sum(len(samples) for samples in held_out.values())
    say(f"{len(chosen)} tasks; {total} samples to train, {count} to validate")
    turned = {task: len(samples.positions) for task, samples in data_sets.items() if len(samples.positions) > 1}
    if turned:
        say(f"turned and mirrored into: {', '.join(f'{task} {count} positions' for task, count in turned.items())}")
    info = describe(
        config,
        specs,
        descriptions,
        {
            "fingerprint": {name: samples.fingerprint() for name, samples in found.items()},
            "rows": {task: len(rows) for task, rows in training_rows.items()},
            "init_from": None if init_from is None else Run.open(init_from).weights_hash(),
            "frozen": list(freeze),
        },
    )
    with session.begin(out, info, PdeConfig) as run:
        if ranks.first:
            run.drop_calibration(say)
            if not run.resumed:
                forget_unpolished(run)
        if config.pod_steps and init_from is None and not (run.resumed and run.has_weights):
            for name in found:
                mine = [data_sets[task] for task, problem in chosen.items() if problem == name]
                missed = fit_trunk_to_pod(model, name, mine, config.pod_steps, seed=config.training.seed)
                say(f"{name}: the trunk starts as POD modes of the training fields, misfit {missed:.2%}")
        result = fit(
            model,
            {task: _loss(model, config, problem) for task, problem in chosen.items()},
            data_sets,
            config.training,
            run,
            validate=validator(held_out) if held_out else None,
            resume=run.resumed,
            on_step=session.on_step,
            progress=session.progress,
        )
        if ranks.first and config.polish and result.stopped != "time" and "polish" not in run.info.metrics:
            metrics = _polish(model, chosen, data_sets, held_out, run, say)
            result = FitResult(result.stopped, result.step, result.epoch, metrics, result.seconds)
        return result


def read_problems(
    data: Path | Mapping[str, OperatorData], config: PdeConfig, tasks: Sequence[str] | None, say: Say
) -> dict[str, OperatorData]:
    """The problems to train on: those that the configuration names, or all where it names none of them."""
    if not isinstance(data, Mapping):
        from domains.pde.data.store import data_files, read_data

        files = data_files(Path(data))
        named = [name for name in files if name in config.problems] or list(files)
        left = [name for name in files if name not in named]
        if left:
            say(f"preset {config.preset!r} leaves out {', '.join(left)}")
        found = {name: read_data(files[name]) for name in named}
    else:
        named = [name for name in data if name in config.problems] or list(data)
        found = {name: data[name] for name in named}
    for name in found:
        config.network_of(name)
    if len(found) > 1 and not set(found) <= set(config.problems):
        raise ValueError(f"preset {config.preset!r} has one network; name the data file of one problem")
    if tasks:
        known = [task for samples in found.values() for task in samples.tasks]
        unknown = sorted(set(tasks) - set(known))
        if unknown:
            raise ValueError(f"the data have no task {', '.join(unknown)}; they have {', '.join(known)}")
        found = {name: samples for name, samples in found.items() if set(tasks) & set(samples.tasks)}
    return found


def _trained_tasks(found: Mapping[str, OperatorData], tasks: Sequence[str] | None) -> dict[str, str]:
    """For each task to train its problem; a task that is asked for by name must have training samples."""
    chosen: dict[str, str] = {}
    for name, samples in found.items():
        for task in samples.tasks:
            if tasks and task not in tasks:
                continue
            if task in chosen:
                raise ValueError(f"two problems have a task {task!r}: {chosen[task]} and {name}")
            if len(samples.rows(task=task, split="train")):
                chosen[task] = name
            elif tasks:
                raise ValueError(f"task {task!r} has no samples of the split 'train'")
    missing = sorted(set(found) - set(chosen.values()))
    if missing:
        raise ValueError(f"no samples of the split 'train' in: {', '.join(missing)}")
    return chosen


def _samples(model: MultiHeadModel, data: OperatorData, task: str, rows: np.ndarray, **options: Any) -> TaskSamples:
    return TaskSamples(data, task, rows, backbone_of(model).network(model.tasks[task].reads), **options)


def _held_out(
    model: MultiHeadModel,
    data: Mapping[str, OperatorData],
    chosen: Mapping[str, str],
    training_rows: Mapping[str, np.ndarray],
    say: Say,
) -> dict[str, TaskSamples]:
    rows = {task: data[problem].rows(task=task, split="validation") for task, problem in chosen.items()}
    lacking = [task for task in chosen if not len(rows[task])]
    if len(lacking) == len(chosen):
        say("no validation samples: the weights of the last epoch are kept")
        return {}
    if lacking:
        say(f"no validation samples of {', '.join(lacking)}: scored on training samples")
    rows |= {task: training_rows[task] for task in lacking}
    return {task: _samples(model, data[problem], task, rows[task]) for task, problem in chosen.items()}


def _loss(model: MultiHeadModel, config: PdeConfig, problem: str) -> Loss:
    loss, factor = LOSSES[config.loss.kind], config.network_of(problem).branch.l2
    if not factor:
        return loss
    return with_penalty(loss, backbone_of(model).network(problem).branch.dense_kernels(), factor)


def relative_errors(model: MultiHeadModel, samples: TaskSamples, *, rows_at_once: int = 128) -> np.ndarray:
    """(rows,) relative L2 error of every sample in its mask, at the points of the data."""
    device = next(model.parameters()).device
    points = np.arange(samples.data.solution.shape[1])
    errors = []
    with torch.no_grad():
        for first in range(0, len(samples), rows_at_once):
            rows = np.arange(first, min(first + rows_at_once, len(samples)))
            inputs, _ = samples.at(rows, points)
            answers = model({name: values.to(device) for name, values in inputs.items()}, samples.task)
            errors.append(samples.relative_errors(answers.float().cpu().numpy(), rows))
    return np.concatenate(errors)


def validator(data: Mapping[str, TaskSamples]) -> Callable[[nn.Module], Validation]:
    """Scores a model on samples: for each task mean, median and worst relative L2 error, and 1 minus the mean."""

    def validate(model: nn.Module) -> Validation:
        assert isinstance(model, MultiHeadModel)
        metrics, scores = {}, {}
        for task, samples in data.items():
            errors = relative_errors(model, samples)
            mean = float(errors.mean())
            metrics[task] = {
                "relative_l2_mean": mean,
                "relative_l2_median": float(np.median(errors)),
                "relative_l2_max": float(errors.max()),
            }
            scores[task] = max(0.0, 1 - mean)
        return Validation(metrics, scores)

    return validate


def _polish(
    model: MultiHeadModel,
    chosen: Mapping[str, str],
    data: Mapping[str, TaskSamples],
    held_out: Mapping[str, TaskSamples],
    run: Run,
    say: Say,
) -> dict[str, Any]:
    """Tries last layers of several ridges and keeps the one that validates best, if it is better than the trained."""
    metrics = dict(run.info.metrics)
    if not held_out:
        say("no polish: without validation samples it cannot be judged")
        metrics["polish"] = {"kept": False, "reason": "no validation samples"}
        run.finish(metrics)
        return metrics
    model.cpu().load_state_dict(run.load_weights())
    model.eval()
    validate = validator(held_out)
    before = validate(model)
    score = sum(before.scores.values()) / len(before.scores)
    best: dict[str, Any] = {"kept": False, "ridge": None, "score_before": score, "score": score}
    trained = {name: values.clone() for name, values in model.state_dict().items()}
    kept, found = trained, before
    equations = {
        name: last_layer_equations(
            model, name, {task: samples for task, samples in data.items() if chosen[task] == name}
        )
        for name in dict.fromkeys(chosen.values())
    }
    for ridge in RIDGES:
        model.load_state_dict(trained)
        for name, each in equations.items():
            solve_last_layer(model, name, each, ridge=ridge)
        validation = validate(model)
        reached = sum(validation.scores.values()) / len(validation.scores)
        if reached > best["score"]:
            best |= {"kept": True, "ridge": ridge, "score": reached}
            kept = {name: values.clone() for name, values in model.state_dict().items()}
            found = validation
    model.load_state_dict(kept)
    if best["kept"]:
        keep_unpolished(run, trained, kept)
        run.save_weights(kept)
        metrics |= {"score": best["score"], "scores": dict(found.scores), "metrics": dict(found.metrics)}
    say(f"polish: score {best['score_before']:.4f} to {best['score']:.4f}, {'kept' if best['kept'] else 'not kept'}")
    metrics["polish"] = best
    run.finish(metrics)
    return metrics
