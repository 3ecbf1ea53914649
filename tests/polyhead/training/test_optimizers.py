"""Which parameter has which rate and decay, and the optimisers by name."""

import pytest
import torch
from pydantic import ValidationError
from training_toy import ToyModel, train

from polyhead.train import TrainConfig
from polyhead.training.optimizers import ParameterGroup, by_owner, make_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")


def test_groups_have_their_own_rate_and_decay():
    model, learned = ToyModel(), torch.nn.Parameter(torch.zeros(()))
    config = TrainConfig(learning_rate=0.1, weight_decay=0.5)
    groups = make_optimizer(model, config, learned=[learned]).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [
        (0.1, 0.5),
        (1.0, 0.5),
        (0.1, 0.5),
        (0.1, 0.5),
        (0.1, 0.0),
    ]
    assert groups[4]["params"] == [learned]
    bare = make_optimizer(model, config.model_copy(update={"decay_vectors": False})).param_groups
    decayed = {parameter for group in bare for parameter in group["params"] if group["weight_decay"]}
    assert decayed == {parameter for parameter in model.parameters() if parameter.ndim > 1}
    assert {parameter for group in bare for parameter in group["params"]} == set(model.parameters())


def test_an_application_groups_as_it_likes(tmp_path):
    """The first layer stands still, its rate being next to nothing; the rest moves."""

    def layered(model):
        yield ParameterGroup("first layer", list(model.trunk[0].parameters()), rate=1e-30, decay=0.0)
        yield from by_owner(model)

    model = ToyModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = TrainConfig(epochs=1, steps_per_epoch=5, batch_size=8, learning_rate=0.1, weight_decay=0.1)
    train(tmp_path / "run", config, model=model, groups=layered)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("trunk.0."), name
    with pytest.raises(ValueError, match=r"neither the shared part nor a head: heads\.length\.weight"):
        make_optimizer(ToyModel(), config, groups=lambda model: [ParameterGroup("some", model.shared_parameters())])


def test_sgd_with_nesterov_momentum_is_the_closed_form(tmp_path):
    """v <- m v + g, w <- w - r (g + m v) for the gradient of one quadratic loss."""
    config = TrainConfig(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0, schedule="constant")
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    model = torch.nn.Module()
    model.weight = weight
    optimizer = make_optimizer(model, config, groups=lambda _: [ParameterGroup("all", [weight])])
    expected, velocity = 3.0, 0.0
    for _ in range(5):
        optimizer.zero_grad()
        (0.5 * weight.square()).sum().backward()
        velocity = 0.9 * velocity + expected
        expected -= 0.1 * (expected + 0.9 * velocity)
        optimizer.step()
        assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_sgd_without_momentum_takes_plain_steps():
    """Nesterov's look ahead needs a momentum; its default does not forbid to have none."""
    config = TrainConfig(optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    model = torch.nn.Module()
    model.weight = weight
    optimizer = make_optimizer(model, config, groups=lambda _: [ParameterGroup("all", [weight])])
    for expected in (2.7, 2.43):
        optimizer.zero_grad()
        (0.5 * weight.square()).sum().backward()
        optimizer.step()
        assert weight.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosine-epoch", "warmup_steps": 5}, "schedule 'cosine-epoch' ignores warmup_steps"),
        ({"schedule": "constant", "pieces": ((3, 0.5),)}, "schedule 'constant' ignores pieces"),
        ({"schedule": "constant", "min_learning_rate": 0.1}, "schedule 'constant' ignores min_learning_rate"),
        ({"schedule": "cosine", "power": 2.0}, "schedule 'cosine' ignores power"),
        ({"schedule": "poly", "cycle_steps": 7}, "schedule 'poly' ignores cycle_steps"),
        ({"optimizer": "sgd", "betas": (0.5, 0.9)}, "optimizer 'sgd' ignores betas"),
        ({"momentum": 0.5}, "optimizer 'adamw' ignores momentum"),
        ({"sampler": "proportional", "temperature": 3.0}, "sampler 'proportional' ignores temperature"),
        ({"warmup_start": 0.0}, "without warmup_steps ignores warmup_start"),
        ({"ema_warmup": True}, "without ema_decay ignores ema_warmup"),
        ({"schedule": "pieces", "pieces": ((5, 0.5), (5, 0.1))}, "two of the pieces begin at one step"),
    ],
)
def test_a_setting_that_is_ignored_is_an_error(settings, message):
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**settings)


def test_a_warm_up_that_never_ends_is_told(tmp_path, capsys):
    config = TrainConfig(epochs=1, steps_per_epoch=3, batch_size=8, warmup_steps=5)
    train(tmp_path / "run", config, progress="plain")
    assert "the warm-up of 5 steps is no shorter than the training of 3" in capsys.readouterr().err
