"""The training loop: one readable function, whose interrupted runs go on to the same weights."""

from __future__ import annotations

import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import torch
from accelerate.utils import recursively_apply, send_to_device, set_seed
from accelerate.utils.operations import convert_to_fp32
from torch import Tensor, nn

from polyhead.balance import NonFiniteLoss, Parameters, StepLosses, make_balancer
from polyhead.differences import differences, refuse_differences
from polyhead.loading import BatchedTaskData, TaskData, step_loader
from polyhead.progress import Mode, TrainingProgress
from polyhead.ranks import Ranks
from polyhead.runs import Run
from polyhead.sampling import Step, TaskSampler, shard
from polyhead.schedule import TrainConfig
from polyhead.settings import with_defaults
from polyhead.snapshots import latest_snapshot, save_snapshot
from polyhead.tasks import TaskSet
from polyhead.training_state import (
    Best,
    TrainingState,
    float_buffers,
    make_average,
    make_optimizer,
    random_states,
    restore_random_states,
    set_learning_rates,
    update_average,
)

if TYPE_CHECKING:
    from polyhead.model import MultiHeadModel

__all__ = ["BatchedTaskData", "FitResult", "TaskData", "TrainConfig", "TrainingDiverged", "Validation", "fit"]


class TrainingDiverged(ValueError):
    """A loss or a gradient that is infinite or not a number; the weights before that step are untouched."""


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        metrics: for each task its metrics; None for one that the data do not define.
        scores: for every task of the model one number in [0, 1], higher is better; their mean chooses the weights.
    """

    metrics: Mapping[str, Mapping[str, float | None]]
    scores: Mapping[str, float]


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        stopped: ``finished``, ``patience`` (no better score), or ``time`` (`max_minutes`: the run can be resumed).
        step, epoch: steps and whole epochs done.
        metrics: score, scores and metrics of the saved weights, and the step and epoch that they are of.
        seconds: wall time of this call.
    """

    stopped: Literal["finished", "patience", "time"]
    step: int
    epoch: int
    metrics: Mapping[str, Any]
    seconds: float


def fit(
    model: MultiHeadModel,
    losses: Mapping[str, Callable[[Any, Any], Tensor]],
    data: Mapping[str, TaskData | BatchedTaskData],
    config: TrainConfig,
    run: Run,
    *,
    validate: Callable[[nn.Module], Validation] | None = None,
    resume: bool = False,
    on_step: Callable[[int], None] | None = None,
    progress: Mode = "auto",
) -> FitResult:
    """Trains `model` into `run`.

    A resumed run ends in the weights of an uninterrupted one, bit for bit where the operations themselves are
    deterministic, as they are on CPUs with one number of threads. The global random generators are seeded. Several
    processes (`torchrun`) share each batch and hold the same weights after each step; running averages of normalisation
    layers are averaged over them. Only the first process validates and writes; all must see the run folder.

    Args:
        model: trained in place, on the device of the configuration.
        losses: for each task a function of the head's output and the targets, which gives the mean loss over rows, a
            scalar; it sees float32, whatever the precision of the model.
        data: for each task its rows.
        config: the settings.
        run: where weights, metrics and snapshots go.
        validate: called with the model that answers (the averaged one under `ema_decay`), in evaluation mode, without
            gradients. Without it the weights of the last epoch are kept.
        resume: goes on from the last snapshot, or from the start where there is none.
        on_step: called after each step with the number of steps done.
        progress: ``auto``, ``plain`` or ``quiet``.

    Returns:
        How it ended; the best weights are then in the run, and their metrics in run.json.

    Raises:
        ValueError: tasks without data or loss, a resume with other settings, a validation without a task's score.
        TrainingDiverged: a loss or gradient that is not finite.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a snapshot saved; a second one stops at once.
    """
    started = time.monotonic()
    tasks = model.tasks
    for what, given in (("loss", losses), ("data", data)):
        if set(given) != set(tasks):
            raise ValueError(f"{what} and tasks of the model differ in: {', '.join(sorted(set(given) ^ set(tasks)))}")
    if resume and run.info.finished:
        step, epoch = run.info.metrics.get("steps_done", 0), run.info.metrics.get("epochs_done", 0)
        return FitResult("finished", step, epoch, run.info.metrics, 0.0)
    if not resume and (run.metrics() or run.has_weights):
        raise ValueError(f"{run.path} has been trained already; resume it or overwrite it")

    ranks = Ranks(config.device)
    set_seed(config.seed + ranks.index)
    sizes = {task: len(data[task]) for task in tasks}

    def make_sampler() -> TaskSampler:
        return TaskSampler(
            sizes,
            batch_size=config.batch_size,
            tasks_per_step=config.tasks_per_step,
            policy=config.sampler,
            temperature=config.temperature,
            seed=config.seed,
        )

    balancer = make_balancer(config.balancer, config.balancer_options, tasks, reduce=ranks.mean)
    if balancer.needs != "one" and config.tasks_per_step == 1 < len(tasks):
        raise ValueError(f"balancer {config.balancer!r} weighs tasks of one step: set tasks_per_step to at least 2")
    model.to(ranks.device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    ranks.same([*model.parameters(), *model.buffers()])
    state = TrainingState(
        model,
        make_average(model, config.ema_decay),
        make_optimizer(model, balancer, config),
        balancer,
        make_sampler(),
    )
    steps_per_epoch = config.steps_per_epoch or state.sampler.steps_per_epoch
    total = config.epochs * steps_per_epoch
    identity = {
        "config": config.model_dump(mode="json"),
        "rows": sizes,
        "tasks": tasks.to_json(),
        "ranks": ranks.world,
    }
    done, kept = _restore(state, run, identity, ranks) if resume else (0, None)
    autocast = torch.autocast(ranks.device.type, torch.bfloat16, enabled=config.precision == "bf16")
    trained = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    own = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shared = model.shared_parameters()

    ahead = make_sampler()
    ahead.load_state_dict(state.sampler.state_dict())
    upcoming = (shard(step, ranks.index, ranks.world) for step in itertools.islice(ahead, total - done))
    loader = step_loader(data, upcoming, workers=config.workers, pin_memory=ranks.device.type == "cuda")

    def closure(task: str, batch: Any, share: float) -> Callable[[], Tensor]:
        inputs, targets = batch
        if config.channels_last:
            inputs = recursively_apply(_channels_last, inputs, test_type=_is_image)

        def loss() -> Tensor:
            with autocast:
                output = model(inputs, task)
            value = losses[task](convert_to_fp32(output), targets)
            if value.ndim:
                raise ValueError(f"the loss of task {task!r} must be a scalar, got shape {tuple(value.shape)}")
            return value * share if share != 1.0 else value

        return loss

    stopped: Literal["finished", "patience", "time"] = "finished"
    last = time.monotonic()
    model.train()
    with (
        _Interrupts() as interrupts,
        TrainingProgress(
            progress if ranks.first else "quiet",
            total=total,
            done=done,
            epochs=config.epochs,
            steps_per_epoch=steps_per_epoch,
        ) as display,
    ):
        if resume:
            display.say(f"going on from the snapshot of step {done}" if done else "no snapshot: from the start")
        for loaded in loader:
            step = next(state.sampler)
            batches = send_to_device(loaded, ranks.device, non_blocking=True)
            part = shard(step, ranks.index, ranks.world)
            rate = set_learning_rates(state.optimizer, config, step.index, steps_per_epoch)

            state.optimizer.zero_grad(set_to_none=True)
            closures = {batch.task: closure(batch.task, batches[batch.task], batch.share) for batch in part.batches}
            try:
                numbers = balancer.backward(StepLosses(closures), Parameters(shared))
            except NonFiniteLoss as error:
                raise _diverged(str(error), step, error.task, run, kept) from error
            ranks.average_(parameter.grad for parameter in trained if parameter.grad is not None)
            gradients = [parameter.grad for parameter in own if parameter.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            if not math.isfinite(norm.item()):
                raise _diverged(f"the norm of the gradient is {norm.item()}", step, None, run, kept)
            if config.clip_norm is not None:
                nn.utils.clip_grads_with_norm_(own, config.clip_norm, norm)
            state.optimizer.step()
            ranks.average_(float_buffers(model))
            if state.average is not None:
                update_average(state.average, model)

            done = step.index + 1
            epoch = -(-done // steps_per_epoch)
            now = time.monotonic()
            if ranks.first:
                line = {"losses": numbers, "lr": rate, "gradient_norm": norm.item(), "seconds": round(now - last, 4)}
                run.append_metrics({"step": done, "epoch": epoch, "split": "train", **line})
            display.update(done, sum(numbers.values()) / len(numbers))
            last = now

            if done % steps_per_epoch == 0:
                balancer.epoch_end()
                if validate is None:
                    state.best = Best(epoch=epoch, step=done)
                    if ranks.first:
                        run.save_weights(state.answering.state_dict())
                elif epoch % config.validate_every == 0 or done == total:
                    with autocast:
                        _validate(validate, state, run, epoch, done, ranks, display)
                    model.train()
                    last = time.monotonic()
                    if config.patience is not None and state.best.since >= config.patience:
                        stopped = "patience"
            over = done == total or stopped == "patience"
            interrupted = ranks.any(interrupts.seen)
            late = config.max_minutes is not None and ranks.any(time.monotonic() - started > 60 * config.max_minutes)
            if not over and (interrupted or late or done % config.snapshot_every == 0):
                _snapshot(state, run, done, identity, ranks)
                kept = done
            if on_step is not None:
                on_step(done)
            if interrupted and not over:
                raise KeyboardInterrupt(f"stopped at step {done} of {total}; resume it to go on")
            if over:
                break
            if late:
                stopped = "time"
                if ranks.first and not run.has_weights:
                    run.save_weights(state.answering.state_dict())
                display.say(f"stopped at step {done} of {total} after {config.max_minutes} minutes; resume it to go on")
                break

    metrics = {
        **state.best.metrics,
        "epoch": state.best.epoch,
        "step": state.best.step,
        "epochs_done": done // steps_per_epoch,
        "steps_done": done,
    }
    if stopped != "time" and ranks.first:
        run.finish(metrics)
    return FitResult(stopped, done, done // steps_per_epoch, metrics, time.monotonic() - started)


def _validate(
    validate: Callable[[nn.Module], Validation],
    state: TrainingState,
    run: Run,
    epoch: int,
    step: int,
    ranks: Ranks,
    display: TrainingProgress,
) -> None:
    """Validates, saves the weights if their mean score is the best so far, and writes the metrics."""
    score, found = math.nan, {}
    if ranks.first:
        model = state.answering.eval()
        with torch.no_grad():
            validation = validate(model)
        score, found = _checked(validation, list(state.sampler.sizes))
        run.append_metrics({"step": step, "epoch": epoch, "split": "validation", **found})
    score = ranks.first_says(score)
    best = state.best.score
    if best is None or score > best:
        state.best = Best(score, epoch, step, 0, found)
        if ranks.first:
            run.save_weights(state.answering.state_dict())
    else:
        state.best.since += 1
    display.say(f"epoch {epoch}: score {score:.4f}, best {state.best.score:.4f} of epoch {state.best.epoch}")


def _checked(validation: Validation, tasks: list[str]) -> tuple[float, dict[str, Any]]:
    missing = [task for task in tasks if validation.scores.get(task) is None]
    if missing:
        raise ValueError(f"the validation has no score for: {', '.join(missing)}; every task counts")
    strange = sorted(set(validation.scores) - set(tasks))
    if strange:
        raise ValueError(f"the validation scores tasks that the model lacks: {', '.join(strange)}")
    scores = {task: float(validation.scores[task]) for task in tasks}
    for task, value in scores.items():
        if not 0 <= value <= 1:
            raise ValueError(f"the score of task {task!r} must lie in [0, 1], got {value}")
    metrics = {task: dict(values) for task, values in validation.metrics.items()}
    for task, values in metrics.items():
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"the metric {name!r} of task {task!r} is {value}; give None where it is not defined")
    score = sum(scores.values()) / len(scores)
    return score, {"score": score, "scores": scores, "metrics": metrics}


def _snapshot(state: TrainingState, run: Run, step: int, identity: Mapping[str, Any], ranks: Ranks) -> None:
    generators = ranks.gather(random_states(ranks.device))
    if ranks.first:
        save_snapshot(run.snapshots, step, {**identity, "training": state.state_dict(), "random": generators})


def _restore(state: TrainingState, run: Run, identity: Mapping[str, Any], ranks: Ranks) -> tuple[int, int | None]:
    """Loads the last snapshot and drops the metrics after it; steps done, and the snapshot's step."""
    found = latest_snapshot(run.snapshots)
    step, saved = found if found is not None else (0, None)
    if saved is not None:
        there = saved | {
            "config": with_defaults(TrainConfig, saved["config"]),
            "tasks": TaskSet.from_json(saved["tasks"]).to_json(),
        }
        changed = [line for key in identity for line in differences(there[key], identity[key], key)]
        refuse_differences(run.path, changed)
        state.load_state_dict(saved["training"])
        restore_random_states(saved["random"][ranks.index], ranks.device)
    if ranks.first:
        run.truncate_metrics(step)
    return step, None if saved is None else step


def _diverged(what: str, step: Step, task: str | None, run: Run, kept: int | None) -> TrainingDiverged:
    rows = "; ".join(
        f"{batch.task} {', '.join(map(str, batch.rows))}" for batch in step.batches if task in (None, batch.task)
    )
    saved = f"the snapshot of step {kept} in {run.snapshots} is kept" if kept else "there is no snapshot before it"
    return TrainingDiverged(
        f"step {step.index + 1}: {what} (rows: {rows}); {saved}; look at these rows, lower the learning rate or clip"
    )


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4


def _channels_last(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


class _Interrupts:
    """Notes the first Ctrl-C or SIGTERM, so that the step ends and a snapshot is saved; the second stops at once."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> _Interrupts:
        self.seen = False
        # Python lets only the main thread handle signals; a training in another one is not interrupted by them.
        self._former = (
            {number: signal.signal(number, self._note) for number in self._SIGNALS}
            if threading.current_thread() is threading.main_thread()
            else {}
        )
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
