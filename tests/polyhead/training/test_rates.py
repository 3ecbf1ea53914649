"""Schedules by their closed forms and against PyTorch's."""

import math

import pytest
import torch

from polyhead.train import TrainConfig
from polyhead.training.rates import SCHEDULES


def rates(config, steps, steps_per_epoch=10, base=0.1):
    return [config.learning_rate_at(base, step, steps_per_epoch) for step in steps]


def test_warm_up_from_zero_and_from_a_share():
    zero = TrainConfig(schedule="constant", warmup_steps=4, warmup_start=0.0)
    assert rates(zero, range(6)) == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1, 0.1])
    third = TrainConfig(schedule="constant", warmup_steps=2, warmup_start=0.5)
    assert rates(third, range(3)) == pytest.approx([0.05, 0.075, 0.1])
    linear = torch.optim.lr_scheduler.LinearLR(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), start_factor=0.25, total_iters=4
    )
    config = TrainConfig(schedule="constant", warmup_steps=4, warmup_start=0.25)
    for step in range(6):
        assert rates(config, [step]) == pytest.approx(linear.get_last_lr())
        linear.optimizer.step()
        linear.step()


def test_polynomial_decay_by_step_and_by_epoch():
    step = TrainConfig(schedule="poly", epochs=2, power=2.0, min_learning_rate=0.02, warmup_steps=4)
    assert rates(step, [4, 12, 19]) == pytest.approx([0.1, 0.02 + 0.08 / 4, 0.02 + 0.08 / 16**2])
    # nnU-Net: 0.01 * (1 - epoch / 1000) ** 0.9, one value an epoch.
    epoch = TrainConfig(schedule="poly-epoch", epochs=1000, learning_rate=0.01)
    for number in (0, 1, 500, 999):
        expected = 0.01 * (1 - number / 1000) ** 0.9
        assert rates(epoch, [250 * number, 250 * number + 249], 250, base=0.01) == pytest.approx([expected] * 2)


def test_inverse_square_root_is_that_of_the_transformer():
    config = TrainConfig(schedule="inverse-sqrt", warmup_steps=4, warmup_start=0.25)
    assert rates(config, [3, 4, 15, 399]) == pytest.approx(
        [0.1 * (0.25 + 0.75 * 3 / 4), 0.1 * math.sqrt(4 / 5), 0.05, 0.01]
    )
    assert rates(TrainConfig(schedule="inverse-sqrt"), [0, 3, 99]) == pytest.approx([0.1, 0.05, 0.01])


def test_restarts_are_those_of_pytorch():
    config = TrainConfig(schedule="restarts", cycle_steps=5, cycle_factor=2.0, min_learning_rate=0.01)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=5, T_mult=2, eta_min=0.01)
    for step in range(40):
        assert rates(config, [step]) == pytest.approx(scheduler.get_last_lr(), rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_every_schedule_stays_between_floor_and_top():
    for name in SCHEDULES:
        config = TrainConfig(schedule=name, epochs=4, pieces=((20, 0.5),) if name == "pieces" else ())
        found = rates(config, range(40))
        assert min(found) >= 0 and max(found) <= 0.1 + 1e-12, name


def test_restarts_begin_after_the_warm_up():
    config = TrainConfig(epochs=4, schedule="restarts", cycle_steps=10, cycle_factor=2.0, warmup_steps=4)
    found = rates(config, range(36))
    assert [step for step in range(4, 36) if found[step] == pytest.approx(0.1)] == [4, 14, 34]
    assert found[9] == pytest.approx(0.05) and found[24] == pytest.approx(0.05)
