"""The settings of a training, and its learning rate as a pure function of the step. Importing this needs no torch."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from polyhead.sampling import Policy

Schedule = Literal["cosine", "cosine-epoch", "constant", "staircase", "pieces"]


class TrainConfig(BaseModel):
    """Settings of `polyhead.train.fit`.

    Attributes:
        epochs: number of epochs.
        steps_per_epoch: optimiser steps an epoch; None takes as many as show about every row once.
        batch_size: rows of one task in a step, over all ranks.
        tasks_per_step: tasks that meet in a step.
        sampler, temperature: see `polyhead.sampling.TaskSampler`.
        balancer, balancer_options: see `polyhead.balance.make_balancer`.
        learning_rate: AdamW's, of the shared part; a head's is this times its `TaskSpec.lr_scale`.
        weight_decay: AdamW's, on all parameters but those of the balancer.
        betas: AdamW's decays of the first and the second moment.
        min_learning_rate: where the cosine ends, for every parameter group alike.
        schedule: ``cosine`` (each step, after a linear warm-up), ``cosine-epoch`` (one value an epoch), ``constant``,
            ``staircase`` (times `decay` every `decay_every` steps), ``pieces`` (constant between those of `pieces`).
        warmup_steps: steps of linear warm-up, for every schedule but ``cosine-epoch``.
        decay, decay_every: of ``staircase``.
        pieces: of ``pieces``, pairs (step, factor): from that step on the rate is the factor times the top rate.
        clip_norm: largest norm of the gradient of the whole model; None does not clip.
        ema_decay: decay a step of the averaged weights, which are then those validated and saved; None for none.
        precision: ``bf16`` runs the model under autocast; losses and weights stay float32.
        validate_every: epochs between validations; the last epoch is always validated.
        patience: validations without a better score after which training ends; None never.
        snapshot_every: steps between snapshots.
        workers: processes that load data; 0 loads in the training process.
        seed: of sampling, augmentation, dropout.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        max_minutes: stops after that time, ready to be resumed; None for no limit.
        channels_last: memory format of weights and of 4-D inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=10, ge=1)
    steps_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    tasks_per_step: int = Field(default=1, ge=1)
    sampler: Policy = "uniform"
    temperature: float = Field(default=2.0, ge=1)
    balancer: str = "equal"
    balancer_options: dict[str, Any] = Field(default_factory=dict)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    min_learning_rate: float = Field(default=0.0, ge=0)
    schedule: Schedule = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    decay: float = Field(default=0.95, gt=0, le=1)
    decay_every: int = Field(default=1000, ge=1)
    pieces: tuple[tuple[int, Annotated[float, Field(gt=0)]], ...] = ()
    clip_norm: float | None = Field(default=None, gt=0)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["no", "bf16"] = "no"
    validate_every: int = Field(default=1, ge=1)
    patience: int | None = Field(default=None, ge=1)
    snapshot_every: int = Field(default=500, ge=1)
    workers: int = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**32 - 2**16)
    device: str = "auto"
    max_minutes: float | None = Field(default=None, gt=0)
    channels_last: bool = False


def learning_rate_at(config: TrainConfig, base: float, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a parameter group in step `step` (from 0), whose rate is `base` at the top of the schedule.

    With e the end of the schedule and f = `min_learning_rate` (at most `base`): f + (base - f) (1 + cos(pi t / e)) / 2,
    where t counts steps after the warm-up (``cosine``) or whole epochs (``cosine-epoch``, the closed form of
    `torch.optim.lr_scheduler.CosineAnnealingLR`). Warm-up step i of w has base * (i + 1) / (w + 1). ``staircase`` is
    base * decay ** floor(step / decay_every), ``pieces`` base times the factor of the last of `pieces` that has begun.
    """
    warmup = 0 if config.schedule == "cosine-epoch" else config.warmup_steps
    if step < warmup:
        return base * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return base
    if config.schedule == "staircase":
        return base * config.decay ** (step // config.decay_every)
    if config.schedule == "pieces":
        begun = [piece for piece in config.pieces if piece[0] <= step]
        return base * max(begun)[1] if begun else base
    if config.schedule == "cosine-epoch":
        done = (step // steps_per_epoch) / config.epochs
    else:
        done = (step - warmup) / max(config.epochs * steps_per_epoch - warmup, 1)
    floor = min(config.min_learning_rate, base)
    return floor + (base - floor) * (1 + math.cos(math.pi * done)) / 2
