"""Validations: what they may say, and that no error leaves autocast on."""

import math

import pytest
import torch
from torch import nn
from training_toy import TASKS, ToyModel, train

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, Validation
from polyhead.training.validation import modules_under

pytestmark = pytest.mark.usefixtures("one_thread")


def under():
    return torch.autocast("cpu", torch.bfloat16)


class Backbone(nn.Module):
    error: type[BaseException] | None = None

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, inputs, needed):
        assert torch.is_autocast_enabled("cpu")
        if self.error is not None:
            raise self.error
        return dict.fromkeys(needed, self.linear(inputs))


def make_model():
    return MultiHeadModel(Backbone(), {"a": nn.Linear(3, 1)}, TaskSet([TaskSpec("a", "regression", "latent", 1)]))


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_no_error_within_a_forward_pass_leaves_autocast_on(error):
    """An interrupt is no `Exception`: PyTorch calls no hook for it."""
    model = make_model()
    with pytest.raises(error), modules_under(under, model):
        model.backbone.error = error
        model(torch.ones(1, 2), "a")
    assert not torch.is_autocast_enabled("cpu")
    model.backbone.error = None
    with modules_under(under, model):
        model.backbone.error = KeyError
        with pytest.raises(KeyError):
            model(torch.ones(1, 2), "a")
        assert not torch.is_autocast_enabled("cpu")
        model.backbone.error = None
        assert model(torch.ones(1, 2), "a").dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
    assert all(not each._forward_hooks and not each._forward_pre_hooks for each in model.modules())


def test_heads_and_backbone_that_are_asked_alone_run_under_it():
    """As a predictor does that encodes once and asks many heads."""
    model = make_model()
    seen = []
    model.head("a").register_forward_hook(lambda module, inputs, output: seen.append(output.dtype), prepend=True)
    with modules_under(under, model):
        feature = model.encode(torch.ones(1, 2), {"latent": None})["latent"]
        answer = model.head("a")(feature)
    assert (feature.dtype, seen, answer.dtype) == (torch.bfloat16, [torch.bfloat16], torch.float32)


def test_models_within_models_leave_in_order():
    """A model that asks itself, as one that answers a volume slice by slice does."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, inputs, again=True):
            value = self(inputs, again=False) if again else inputs
            seen.append(torch.is_autocast_enabled("cpu"))
            return self.linear(value)

    seen = []
    model = Twice()
    with modules_under(under, model):
        assert model(torch.ones(1, 2)).dtype == torch.float32
        assert seen == [True, True] and not torch.is_autocast_enabled("cpu")


def test_a_metric_is_a_number_or_none(tmp_path):
    def validate(model):
        return Validation({"side": {"dice": math.inf}}, dict.fromkeys(TASKS, 0.5))

    config = TrainConfig(epochs=1, steps_per_epoch=1, batch_size=4)
    with pytest.raises(ValueError, match="metric 'dice' of task 'side' is inf; give None where it is not defined"):
        train(tmp_path / "run", config, validate=validate)


def test_every_other_epoch_and_the_last_are_validated(tmp_path):
    config = TrainConfig(epochs=5, steps_per_epoch=2, batch_size=4, validate_every=2)
    train(tmp_path / "run", config, model=ToyModel())
    lines = Run.open(tmp_path / "run").metrics()
    assert [line["epoch"] for line in lines if line["split"] == "validation"] == [2, 4, 5]
