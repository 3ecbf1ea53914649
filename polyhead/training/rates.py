"""Learning-rate schedules as pure functions of the step, by name. Importing this needs neither torch nor numpy.

A schedule gives the rate of a parameter group whose rate is `base` at the top. Let w be the steps of warm-up, which
come first, T all steps, E all epochs, and f the floor `min_learning_rate`, at most `base`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from polyhead.registry import Registry


class RateSettings(Protocol):
    """The settings that schedules obey; see `polyhead.training.settings.TrainConfig`."""

    epochs: int
    warmup_steps: int
    min_learning_rate: float
    decay: float
    decay_every: int
    pieces: tuple[tuple[int, float], ...]
    power: float
    cycle_steps: int
    cycle_factor: float


Rate = Callable[[RateSettings, float, int, int], float]
"""From settings, `base`, step (from 0) and steps an epoch to the rate."""


@dataclass(frozen=True)
class RateSchedule:
    """A schedule and the settings that it obeys."""

    rate: Rate
    uses: frozenset[str]


SCHEDULES: Registry[RateSchedule] = Registry("schedule")
SCHEDULE_SETTINGS = (
    "warmup_steps",
    "warmup_start",
    "min_learning_rate",
    "decay",
    "decay_every",
    "pieces",
    "power",
    "cycle_steps",
    "cycle_factor",
)
"""Settings that only some schedules obey."""

_WARMUP = ("warmup_steps", "warmup_start")


def _schedule(name: str, *uses: str) -> Callable[[Rate], Rate]:
    def register(rate: Rate) -> Rate:
        SCHEDULES.add(name)(RateSchedule(rate, frozenset(uses)))
        return rate

    return register


def _above_floor(config: RateSettings, base: float, share: float) -> float:
    floor = min(config.min_learning_rate, base)
    return floor + (base - floor) * share


def _half_cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _share_done(config: RateSettings, step: int, steps_per_epoch: int) -> float:
    """The share of the steps after the warm-up that are done."""
    return (step - config.warmup_steps) / max(config.epochs * steps_per_epoch - config.warmup_steps, 1)


def _epochs_done(config: RateSettings, step: int, steps_per_epoch: int) -> float:
    return (step // steps_per_epoch) / config.epochs


@_schedule("constant", *_WARMUP)
def _constant(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    return base


@_schedule("cosine", "min_learning_rate", *_WARMUP)
def _cosine(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """f + (base - f) (1 + cos(pi t)) / 2, t = (step - w) / (T - w) (Loshchilov and Hutter 2017, eq. 5)."""
    return _above_floor(config, base, _half_cosine(_share_done(config, step, steps_per_epoch)))


@_schedule("cosine-epoch", "min_learning_rate")
def _cosine_epoch(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """The same with t = epochs done / E, one value an epoch: `torch.optim.lr_scheduler.CosineAnnealingLR`."""
    return _above_floor(config, base, _half_cosine(_epochs_done(config, step, steps_per_epoch)))


@_schedule("poly", "power", "min_learning_rate", *_WARMUP)
def _poly(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """f + (base - f) (1 - t)^power, t = (step - w) / (T - w)."""
    return _above_floor(config, base, (1 - _share_done(config, step, steps_per_epoch)) ** config.power)


@_schedule("poly-epoch", "power", "min_learning_rate")
def _poly_epoch(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """The same with t = epochs done / E, one value an epoch: nnU-Net's (Isensee et al. 2021), with power 0.9."""
    return _above_floor(config, base, (1 - _epochs_done(config, step, steps_per_epoch)) ** config.power)


@_schedule("inverse-sqrt", *_WARMUP)
def _inverse_sqrt(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """base * sqrt(v / (step + 1)) with v = max(w, 1): the decay of Vaswani et al. 2017, eq. 3, which is `base` at v."""
    top = max(config.warmup_steps, 1)
    return base * math.sqrt(top / max(step + 1, top))


@_schedule("restarts", "cycle_steps", "cycle_factor", "min_learning_rate", *_WARMUP)
def _restarts(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """Cosines of `cycle_steps` steps, each `cycle_factor` times as long as the one before (SGDR, Loshchilov and Hutter
    2017); lengths are rounded to whole steps."""
    at, length, cycle = step - config.warmup_steps, config.cycle_steps, 0
    while at >= length:
        at, cycle = at - length, cycle + 1
        length = round(config.cycle_steps * config.cycle_factor**cycle)
    return _above_floor(config, base, _half_cosine(at / length))


@_schedule("staircase", "decay", "decay_every", *_WARMUP)
def _staircase(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """base * decay ** floor(step / decay_every)."""
    return base * config.decay ** (step // config.decay_every)


@_schedule("pieces", "pieces", *_WARMUP)
def _pieces(config: RateSettings, base: float, step: int, steps_per_epoch: int) -> float:
    """base times the factor of the last of `pieces` that has begun."""
    begun = [piece for piece in config.pieces if piece[0] <= step]
    return base * max(begun)[1] if begun else base
