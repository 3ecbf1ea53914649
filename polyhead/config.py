"""Settings of a training run: flat, typed, saved beside the weights. Light to import."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """How a multi-head model is trained.

    Attributes:
        epochs: passes of `steps_per_epoch` steps.
        steps_per_epoch: None takes as many as show every row once.
        batch_size: rows of one task in a step.
        tasks_per_step: tasks that meet in a step; 1 reproduces the published baselines.
        sampler: which tasks meet: "uniform", "proportional", "temperature" or "round_robin".
        temperature: exponent 1/T of the task sizes for the sampler "temperature".
        balancer: "equal", "fixed", "uncertainty", "dwa", or the name of a TorchJD aggregator.
        balancer_options: arguments of the balancer.
        learning_rate: of the shared part; heads multiply it by their task's `lr_scale`.
        weight_decay: of AdamW.
        min_learning_rate: where the cosine ends.
        schedule: "cosine" (per step, after a linear warm-up), "cosine-epoch" (per epoch), or "constant".
        warmup_steps: steps of linear warm-up of the schedule "cosine".
        clip_norm: largest norm of the whole gradient, None for no clipping.
        ema_decay: decay of the averaged weights that are validated and saved, None for no averaging.
        precision: "no" (float32) or "bf16" autocast.
        channels_last: memory format of convolution weights and inputs.
        validate_every: epochs between validations.
        patience: validations without a better mean score before stopping, None to run to the end.
        snapshot_every: steps between snapshots.
        workers: loader processes; 0 loads in the training process.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        max_minutes: stop cleanly, resumable, after this long.
        seed: of weights, sampling and augmentation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, ge=1)
    steps_per_epoch: int | None = Field(None, ge=1)
    batch_size: int = Field(16, ge=1)
    tasks_per_step: int = Field(1, ge=1)
    sampler: Literal["uniform", "proportional", "temperature", "round_robin"] = "proportional"
    temperature: float = Field(2.0, gt=0)
    balancer: str = "equal"
    balancer_options: dict[str, Any] = Field(default_factory=dict)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    min_learning_rate: float = Field(0.0, ge=0)
    schedule: Literal["cosine", "cosine-epoch", "constant"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    ema_decay: float | None = Field(None, ge=0, lt=1)
    precision: Literal["no", "bf16"] = "no"
    channels_last: bool = True
    validate_every: int = Field(1, ge=1)
    patience: int | None = Field(None, ge=1)
    snapshot_every: int = Field(200, ge=1)
    workers: int = Field(0, ge=0)
    device: str = "auto"
    max_minutes: float | None = Field(None, gt=0)
    seed: int = 0
