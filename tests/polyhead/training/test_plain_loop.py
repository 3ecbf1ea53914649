"""The loop against one that is written anew: through validations, epochs, interruptions and processes."""

import random

import numpy as np
import pytest
import torch
from plain_loop import plain_training
from torch.optim.optimizer import register_optimizer_step_post_hook
from training_toy import LOSSES, TASKS, ToyModel, make_data, make_info, train, validator

from polyhead.runs.run import Run
from polyhead.train import TrainConfig, Validation, fit

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainConfig(
    epochs=4,
    steps_per_epoch=5,
    batch_size=8,
    tasks_per_step=2,
    learning_rate=1e-2,
    weight_decay=0.3,
    schedule="constant",
    sampler="round_robin",
    snapshot_every=7,
    seed=3,
)


class Stopped(Exception):
    pass


def stop_at(step):
    def on_step(done):
        if done == step:
            raise Stopped

    return on_step


def toy():
    """Dropout and batch norm: both tell whether the model trains or answers."""
    return ToyModel(dropout=0.3, batch_norm=True, seed=5)


@pytest.mark.parametrize("balancer", ["equal", "dwa", "uncertainty"])
@pytest.mark.parametrize("stop", [None, 8, 13])
def test_a_training_is_the_plain_loop(tmp_path, balancer, stop):
    """Without an average the trained model itself is validated, and must be put back to training after it."""
    config = CONFIG.model_copy(update={"balancer": balancer, "weight_decay": 5.0 if balancer == "uncertainty" else 0.3})
    expected = toy()
    scores, variances = plain_training(expected, config, 5)
    if stop is not None:
        with pytest.raises(Stopped):
            train(tmp_path / "run", config, model=toy(), on_step=stop_at(stop))
    torch.manual_seed(99)  # what the process drew before does not matter
    learned = {}
    watch = register_optimizer_step_post_hook(
        lambda optimizer, *_: learned.update(
            last=[value.detach().clone() for value in optimizer.param_groups[-1]["params"]]
        )
    )
    result, model = train(tmp_path / "run", config, model=toy(), resume=stop is not None)
    watch.remove()
    if balancer == "uncertainty":  # a decay of them would be 5 % a step
        assert [value.item() for value in learned["last"]] == pytest.approx(list(variances.values()), rel=1e-3)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)
    found = [line["score"] for line in Run.open(tmp_path / "run").metrics() if line["split"] == "validation"]
    assert found == pytest.approx(scores, abs=1e-5)
    assert result.metrics["score"] == pytest.approx(max(scores), abs=1e-5)


def test_the_best_score_outlives_an_interruption(tmp_path):
    scores = iter([0.9, 0.3, 0.3, 0.2, 0.1])

    def validate(model):
        return Validation({}, dict.fromkeys(TASKS, next(scores)))

    with pytest.raises(Stopped):
        train(tmp_path / "run", CONFIG, validate=validate, on_step=stop_at(11))
    result, _ = train(tmp_path / "run", CONFIG, validate=validate, resume=True)
    assert (result.metrics["score"], result.metrics["epoch"], result.metrics["step"]) == (0.9, 1, 5)


def test_every_global_generator_goes_on_where_it_was(tmp_path):
    """A loss may draw from any of them."""

    def noisy(output, target):
        noise = random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002
        return (output - target).square().mean() * (0.5 + noise)

    losses = LOSSES | {"length": noisy}

    def run(path, **options):
        folder = Run.begin(path, make_info(CONFIG), resume=options.get("resume", False))
        with folder:
            fit(toy(), losses, make_data(), CONFIG, folder, progress="quiet", **options)

    run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "run", on_step=stop_at(9))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    run(tmp_path / "run", resume=True)
    a, b = Run.open(tmp_path / "run"), Run.open(tmp_path / "whole")
    assert [line["losses"] for line in a.metrics()] == [line["losses"] for line in b.metrics()]
    assert a.weights_hash() == b.weights_hash()


def test_the_configured_seed_seeds(tmp_path):
    seeds = []
    for seed in (0, 11):
        config = CONFIG.model_copy(update={"seed": seed, "epochs": 1})
        train(tmp_path / str(seed), config, on_step=lambda _: seeds.append(torch.initial_seed()))
    assert seeds == [0] * 5 + [11] * 5


def test_validation_runs_the_model_in_bf16_and_its_metrics_in_float32(tmp_path):
    seen = {}

    def validate(model):
        seen["outputs"] = {model(x, task).dtype for task in TASKS for x, _ in [data[task].whole()]}
        seen["head"] = model.heads["length"](torch.ones(1, 16)).dtype
        weights = torch.full((1, 1, 7, 7), 1 / 49)
        mean = torch.nn.functional.conv2d(torch.full((1, 1, 7, 7), 1000.3), weights)
        seen["metric"] = mean.dtype, mean.item()
        return validator(data)(model)

    def note(module, inputs, output):
        seen.setdefault("inside", set()).add((module.training, output.dtype))

    data = make_data()
    model = toy()
    model.trunk[0].register_forward_hook(note)
    config = CONFIG.model_copy(update={"precision": "bf16", "epochs": 1})
    train(tmp_path / "run", config, model=model, validate=validate)
    assert seen["inside"] == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert seen["outputs"] == {torch.float32} and seen["head"] == torch.float32
    assert seen["metric"][0] == torch.float32 and seen["metric"][1] == pytest.approx(1000.3, abs=1e-2)
    assert not torch.is_autocast_enabled("cpu")
