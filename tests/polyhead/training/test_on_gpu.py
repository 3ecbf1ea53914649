"""On a GPU: a training stops and goes on to the same weights, learns under bf16; a loss called again is the same."""

import pytest
import torch
from training_toy import ToyModel, train

from polyhead.runs.run import Run
from polyhead.train import TrainConfig
from polyhead.training.loading import LoadedBatch
from polyhead.training.sampling import TaskBatch
from polyhead.training.step_losses import LossMaker

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CONFIG = TrainConfig(
    epochs=4, steps_per_epoch=6, batch_size=8, tasks_per_step=2, learning_rate=5e-3, ema_decay=0.9, device="cuda"
)


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize(
    ("balancer", "micro_batches"), [("equal", 1), ("uncertainty", 2), ("dwa", 1), ("UPGrad", 1), ("UPGrad", 2)]
)
def test_a_training_that_stops_goes_on_to_the_same_weights(tmp_path, balancer, micro_batches, precision):
    wanted = {"balancer": balancer, "micro_batches": micro_batches, "precision": precision}
    config = CONFIG.model_copy(update=wanted)
    whole, model = train(tmp_path / "whole", config)
    assert next(model.parameters()).is_cuda and all(torch.isfinite(value).all() for value in model.parameters())
    stopped, _ = train(tmp_path / "run", config.model_copy(update={"max_minutes": 1e-9}))
    assert stopped.stopped == "time"
    after, _ = train(tmp_path / "run", config, resume=True)
    assert after.metrics == whole.metrics
    weights = [Run.open(tmp_path / name).load_weights() for name in ("run", "whole")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_losses_equal_those_of_the_cpu(tmp_path):
    results = {}
    for device in ("cpu", "cuda"):
        model = ToyModel(dropout=0.0, batch_norm=True)
        results[device], _ = train(tmp_path / device, CONFIG.model_copy(update={"device": device}), model=model)
    assert results["cuda"].metrics["score"] == pytest.approx(results["cpu"].metrics["score"], rel=1e-3)


def test_a_loss_called_again_sees_the_same_random_numbers():
    device = torch.device("cuda")
    model = ToyModel(dropout=0.5, batch_norm=True).to(device)
    inputs, target = {"x": torch.randn(8, 6, device=device)}, torch.randn(8, 1, device=device)
    part = LoadedBatch(TaskBatch(("length",), (0,), (0,)), inputs, target)
    losses = {"length": torch.nn.functional.mse_loss}
    step, _ = LossMaker(model, model.tasks, losses, device).make([[part]])
    first, statistics = step["length"](), model.trunk[1].running_mean.clone()
    state = torch.cuda.get_rng_state(device)
    torch.testing.assert_close(step["length"](), first, rtol=0, atol=0)
    assert torch.equal(model.trunk[1].running_mean, statistics)
    assert torch.equal(torch.cuda.get_rng_state(device), state)
