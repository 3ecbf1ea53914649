"""The settings of a training. Importing this needs neither torch nor numpy."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polyhead.training.rates import SCHEDULE_SETTINGS, SCHEDULES

Policy = Literal["uniform", "proportional", "temperature", "round_robin"]
"""How the tasks of a step are drawn; see `polyhead.training.sampling.TaskSampler`."""

Schedule = Literal[
    "cosine", "cosine-epoch", "constant", "staircase", "pieces", "poly", "poly-epoch", "inverse-sqrt", "restarts"
]

MAPPINGS = ("balancer_options", "batch_size")
"""Settings that may be mappings by themselves: their keys are no settings."""

_OPTIMIZER_SETTINGS = {"adamw": ("betas",), "sgd": ("momentum", "nesterov")}

Rows = Annotated[int, Field(ge=1)]


class TrainConfig(BaseModel):
    """Settings of `polyhead.train.fit`. One that the chosen schedule, optimiser or sampler ignores must stand at its
    default.

    Attributes:
        epochs: number of epochs.
        steps_per_epoch: optimiser steps an epoch; None takes as many as hold as many batches as one pass over the rows
            of every task. Only `sampler` ``proportional`` then shows every row once an epoch; the others show the rows
            of small tasks more often than those of large ones.
        batch_size: rows of one batch, over all ranks; one number, or one for each task (tasks that share a batch have
            that of the first of them).
        tasks_per_step: batches that meet in a step, each of another task or of tasks that share their rows.
        micro_batches: parts in which each batch is worked on, one after the other, to save memory; gradients are those
            of the whole batch, up to normalisation by the statistics of a batch.
        sampler, temperature: see `polyhead.training.sampling.TaskSampler`.
        balancer, balancer_options: see `polyhead.balance.make_balancer`.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: of the shared part; a head's is this times its `TaskSpec.lr_scale`.
        weight_decay: on all parameters but those of the balancer.
        decay_vectors: whether biases, scales and other parameters of at most one dimension are decayed, too.
        betas: AdamW's decays of the first and the second moment.
        momentum, nesterov: of SGD.
        min_learning_rate: where the schedules that end at a floor end, for every parameter group alike.
        schedule: see `polyhead.training.rates`.
        warmup_steps: steps of linear warm-up.
        warmup_start: share of the rate in the first step of the warm-up, 0 to begin from zero; None is 1 / (w + 1) for
            w steps.
        decay, decay_every: of ``staircase``.
        pieces: of ``pieces``, pairs (step, factor): from that step on the rate is the factor times the top rate.
        power: of ``poly`` and ``poly-epoch``.
        cycle_steps, cycle_factor: of ``restarts``, steps of the first cycle and how much longer each later one is.
        clip_norm: largest norm of the gradient of the whole model; None does not clip.
        ema_decay: decay a step of the averaged weights, which are then those validated and saved; None for none.
        ema_warmup: lets the average forget faster at first: the decay of step t is at most 1 - (1 + t)^(-2/3).
        precision: ``bf16`` runs the model under autocast; losses, metrics and weights stay float32.
        validate_every: epochs between validations; the last epoch is always validated.
        patience: validations without a better score after which training ends; None never.
        snapshot_every: steps between snapshots.
        workers: processes that load data; 0 loads in the training process.
        seed: of sampling, augmentation, dropout.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        max_minutes: stops after that time, ready to be resumed; None for no limit.
        channels_last: memory format of weights and inputs of images (4-D) and volumes (5-D).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=10, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: Rows | dict[str, Rows] = 16
    tasks_per_step: int = Field(default=1, ge=1)
    micro_batches: int = Field(default=1, ge=1)
    sampler: Policy = "uniform"
    temperature: float = Field(default=2.0, ge=1)
    balancer: str = "equal"
    balancer_options: dict[str, Any] = Field(default_factory=dict)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    decay_vectors: bool = True
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    min_learning_rate: float = Field(default=0.0, ge=0)
    schedule: Schedule = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    warmup_start: float | None = Field(default=None, ge=0, le=1)
    decay: float = Field(default=0.95, gt=0, le=1)
    decay_every: int = Field(default=1000, ge=1)
    pieces: tuple[tuple[int, Annotated[float, Field(gt=0)]], ...] = ()
    power: float = Field(default=0.9, gt=0)
    cycle_steps: int = Field(default=1000, ge=1)
    cycle_factor: float = Field(default=2.0, ge=1)
    clip_norm: float | None = Field(default=None, gt=0)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    ema_warmup: bool = False
    precision: Literal["no", "bf16"] = "no"
    validate_every: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    snapshot_every: int = Field(default=200, ge=1)
    workers: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    max_minutes: float | None = Field(default=None, gt=0)
    channels_last: bool = False

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        used = SCHEDULES[self.schedule].uses
        idle = {name: f"the schedule {self.schedule!r}" for name in SCHEDULE_SETTINGS if name not in used}
        for optimizer, settings in _OPTIMIZER_SETTINGS.items():
            if optimizer != self.optimizer:
                idle |= dict.fromkeys(settings, f"the optimizer {self.optimizer!r}")
        if self.warmup_steps == 0:
            idle.setdefault("warmup_start", "a training without warmup_steps")
        if self.sampler != "temperature":
            idle["temperature"] = f"the sampler {self.sampler!r}"
        if self.ema_decay is None:
            idle["ema_warmup"] = "a training without ema_decay"
        for name, who in idle.items():
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default:
                raise ValueError(f"{who} ignores {name} ({value}); leave it out, or set it to its default, {default}")
        begins = [step for step, _ in self.pieces]
        if len(set(begins)) < len(begins):
            raise ValueError(f"two of the pieces begin at one step: {sorted(begins)}")
        return self

    def for_tasks(self, count: int) -> TrainConfig:
        """These settings for a model of `count` tasks: where fewer are trained than meet in a step, a step takes all of
        them, with as many rows in total."""
        if self.tasks_per_step <= count:
            return self
        changes: dict[str, Any] = {"tasks_per_step": count}
        if isinstance(self.batch_size, int):
            changes["batch_size"] = math.ceil(self.batch_size * self.tasks_per_step / count)
        return self.model_copy(update=changes)

    def batch_of(self, task: str) -> int:
        """Rows of one batch of a task."""
        return self.batch_size if isinstance(self.batch_size, int) else self.batch_size[task]

    def learning_rate_at(self, base: float, step: int, steps_per_epoch: int) -> float:
        """Learning rate in step `step` (from 0) of a parameter group whose rate is `base` at the top of the schedule.

        Warm-up step i of w has the share s + (1 - s) i / w of the base, s being `warmup_start`.
        """
        schedule = SCHEDULES[self.schedule]
        warmup = self.warmup_steps if "warmup_steps" in schedule.uses else 0
        if step < warmup:
            start = 1 / (warmup + 1) if self.warmup_start is None else self.warmup_start
            return base * (start + (1 - start) * step / warmup)
        return schedule.rate(self, base, step, steps_per_epoch)
