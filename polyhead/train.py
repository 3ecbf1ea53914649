"""The training loop: prepare, step, loop. Interrupted runs go on to the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from polyhead.runs.run import Run
from polyhead.system.interrupts import Interrupts
from polyhead.training.loading import BatchedTaskData, Data, TaskData
from polyhead.training.optimizers import Grouping, by_owner
from polyhead.training.prepared import TrainingDiverged, prepare
from polyhead.training.progress import Mode, TrainingProgress
from polyhead.training.settings import TrainConfig
from polyhead.training.state import Best
from polyhead.training.step_losses import Loss
from polyhead.training.validation import Validation

if TYPE_CHECKING:
    from polyhead.model import MultiHeadModel

__all__ = ["BatchedTaskData", "FitResult", "TaskData", "TrainConfig", "TrainingDiverged", "Validation", "fit"]


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
    losses: Mapping[str, Loss],
    data: Data,
    config: TrainConfig,
    run: Run,
    *,
    validate: Callable[[nn.Module], Validation] | None = None,
    resume: bool = False,
    base: str | None = None,
    groups: Grouping = by_owner,
    on_step: Callable[[int], None] | None = None,
    progress: Mode = "auto",
) -> FitResult:
    """Trains `model` into `run`.

    A resumed run ends in the weights of an uninterrupted one, bit for bit where the operations themselves are
    deterministic, as they are on CPUs with one number of threads. The global random generators are seeded. Several
    processes (`torchrun`) share each batch and hold the same weights after each step; running averages of normalisation
    layers are averaged over them. Only the first process validates and writes; all must see the run folder.

    What is frozen is neither averaged nor saved with the weights nor kept in snapshots: the run says by `base` and a
    hash what it is of.

    Args:
        model: trained in place, on the device of the configuration.
        losses: for each task a function of the head's output and the targets, which gives the mean loss over rows, a
            scalar, or a dict of it (``loss``) and of the named parts that it is made of, which metrics.jsonl then has;
            it sees float32, whatever the precision of the model. `TaskSpec.weight` multiplies it; a task of weight 0
            is not trained.
        data: for each task, or tuple of tasks that share their rows, the rows; tasks that share rows meet in every step
            of one of them, and are encoded once.
        config: the settings.
        run: where weights, metrics and snapshots go.
        validate: called with the model that answers (the averaged one under `ema_decay`), in evaluation mode, without
            gradients; its own computations are in float32. Without it the weights of the last epoch are kept.
        resume: goes on from the last snapshot, or from the start where there is none.
        base: where the frozen weights can be had again (a hub id, the name of a checkpoint); None keeps them in the
            run, in a file that is written once.
        groups: which parameters have which rate and decay.
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
    if resume and run.info.finished:
        step, epoch = run.info.metrics.get("steps_done", 0), run.info.metrics.get("epochs_done", 0)
        return FitResult("finished", step, epoch, run.info.metrics, 0.0)
    if not resume and (run.metrics() or run.has_weights):
        raise ValueError(f"{run.path} has been trained already; resume it or overwrite it")
    training = prepare(model, losses, data, config, run, resume=resume, base=base, groups=groups)
    ranks, state, total, steps_per_epoch = training.ranks, training.state, training.total, training.steps_per_epoch

    stopped: Literal["finished", "patience", "time"] = "finished"
    with (
        Interrupts() as interrupts,
        closing(training.batches) as batches,
        TrainingProgress(
            progress if ranks.first else "quiet",
            total=total,
            done=training.done,
            epochs=config.epochs,
            steps_per_epoch=steps_per_epoch,
        ) as display,
    ):
        for line in training.remarks:
            display.say(line)
        for loaded in batches:
            numbers = training.step(loaded)
            done, epoch = training.done, -(-training.done // steps_per_epoch)
            if ranks.first:
                run.append_metrics({"step": done, "epoch": epoch, "split": "train", **numbers})
            display.update(done, sum(numbers["losses"].values()) / len(numbers["losses"]))
            if done % steps_per_epoch == 0:
                state.balancer.epoch_end()
                if validate is None:
                    state.best = Best(epoch=epoch, step=done)
                    training.save_weights()
                elif epoch % config.validate_every == 0 or done == total:
                    display.say(training.validate(validate, epoch))
                    if config.patience is not None and state.best.since >= config.patience:
                        stopped = "patience"
            over = done == total or stopped == "patience"
            interrupted = ranks.any(interrupts.seen)
            late = config.max_minutes is not None and ranks.any(time.monotonic() - started > 60 * config.max_minutes)
            if not over and (interrupted or late or done % config.snapshot_every == 0):
                training.save_snapshot()
            if on_step is not None:
                on_step(done)
            if interrupted and not over:
                raise KeyboardInterrupt(f"stopped at step {done} of {total}; resume it to go on")
            if over:
                break
            if late:
                stopped = "time"
                if not run.has_weights:
                    training.save_weights()
                display.say(f"stopped at step {done} of {total} after {config.max_minutes} minutes; resume it to go on")
                break

    best, done = state.best, training.done
    marks = {"epoch": best.epoch, "step": best.step, "epochs_done": done // steps_per_epoch, "steps_done": done}
    metrics = {**best.metrics, **marks}
    if stopped != "time" and ranks.first:
        run.finish(metrics)
    return FitResult(stopped, done, done // steps_per_epoch, metrics, time.monotonic() - started)
