"""Clipping bounds the norm of the whole model's gradient, complex numbers as pairs, and leaves the balancer's alone."""

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from training_toy import LOSSES, TASKS, ToyModel, make_data, train

from polyhead.runs.run import Run
from polyhead.train import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")


class Filtered(ToyModel):
    """The toy behind a complex filter."""

    def __init__(self):
        super().__init__()
        self.trunk.filter = torch.nn.Parameter(torch.tensor([1 + 1j, 2 - 1j, 0.5j, 1 + 0j]))

    def forward(self, inputs, task):
        filtered = torch.fft.irfft(torch.fft.rfft(inputs["x"]) * self.trunk.filter, n=6)
        x = filtered
        for layer in list(self.trunk.children()):
            x = layer(x)
        return self.heads[task](x)


def flat(tensors):
    pairs = [torch.view_as_real(each) if each.is_complex() else each for each in tensors]
    return torch.cat([each.detach().reshape(-1) for each in pairs])


def first_gradients(path, model, **settings):
    """Those of the model and of the balancer that reach the optimiser in the first step; the norm that was noted."""
    found = {}

    def note(optimizer, *_):
        learned = [each for group in optimizer.param_groups for each in group["params"] if each.ndim == 0]
        own = flat([each.grad for each in model.parameters() if each.grad is not None])
        found.setdefault("first", (own, flat([each.grad for each in learned]) if learned else None))

    hook = register_optimizer_step_pre_hook(note)
    config = TrainConfig(epochs=1, steps_per_epoch=1, batch_size=8, tasks_per_step=3, **settings)
    train(path, config, model=model, validate=None, noise=0.0)
    hook.remove()
    return *found["first"], Run.open(path).metrics()[0]["gradient_norm"]


@pytest.mark.parametrize("balancer", ["equal", "UPGrad", "uncertainty"])
def test_the_gradient_is_scaled_to_the_norm(tmp_path, balancer):
    free, learned, norm = first_gradients(tmp_path / "free", Filtered(), balancer=balancer)
    assert free.norm().item() == pytest.approx(norm, rel=1e-5)
    bound = norm / 10
    clipped, same, noted = first_gradients(tmp_path / "clipped", Filtered(), balancer=balancer, clip_norm=bound)
    assert noted == pytest.approx(norm, rel=1e-6)
    torch.testing.assert_close(clipped, free / 10, rtol=1e-4, atol=1e-8)
    if balancer == "uncertainty":
        torch.testing.assert_close(same, learned)
    loose, _, _ = first_gradients(tmp_path / "loose", Filtered(), balancer=balancer, clip_norm=10 * norm)
    torch.testing.assert_close(loose, free)


def test_the_metrics_tell_losses_without_their_weights(tmp_path):
    model = ToyModel()
    data = make_data(noise=0.0)
    config = TrainConfig(epochs=1, steps_per_epoch=1, batch_size=64, tasks_per_step=3)
    expected = {}
    with torch.no_grad():
        for task in TASKS:
            inputs, targets = data[task].whole()
            expected[task] = LOSSES[task](model(inputs, task), targets).item()
    train(tmp_path / "run", config, model=model, validate=None, noise=0.0)
    assert TASKS["angle"].weight == 0.5
    assert Run.open(tmp_path / "run").metrics()[0]["losses"] == pytest.approx(expected, rel=1e-5)
