"""A training that diverges leaves a run that can go on: nothing of the step that diverged is in it."""

import itertools
import math

import pytest
import torch
import training_toy
from training_toy import ToyModel, train

from polyhead.runs.run import Run
from polyhead.runs.snapshots import latest_snapshot
from polyhead.train import TrainConfig, TrainingDiverged

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("balancer", ["dwa", "uncertainty", "GradVac"])
def test_mended_rows_let_it_go_on_as_if_nothing_had_been(tmp_path, monkeypatch, balancer):
    """Rows that are not numbers reach the running statistics of the model in memory, and nothing that is kept."""
    config = TrainConfig(
        epochs=3,
        steps_per_epoch=4,
        batch_size=8,
        tasks_per_step=3,
        balancer=balancer,
        ema_decay=0.5,
        snapshot_every=2,
        learning_rate=1e-2,
    )
    whole, _ = train(tmp_path / "whole", config)
    seen = itertools.count(1)
    sample = training_toy.ToyData.sample

    def torn(self, row, seed):
        inputs, target = sample(self, row, seed)
        if seed is not None and self.task == "side":  # some five steps
            inputs = {"x": inputs["x"] * (math.nan if next(seen) > 40 else 1.0)}
        return inputs, target

    monkeypatch.setattr(training_toy.ToyData, "sample", torn)
    model = ToyModel(dropout=0.2, batch_norm=True)
    with pytest.raises(TrainingDiverged, match="the loss of task 'side' is nan"):
        train(tmp_path / "run", config, model=model)
    monkeypatch.undo()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    run = Run.open(tmp_path / "run")
    assert all(value.isfinite().all() for value in run.load_weights().values())
    _, saved = latest_snapshot(run.snapshots)
    assert all(value.isfinite().all() for value in saved["training"]["model"].values())
    resumed, _ = train(tmp_path / "run", config, resume=True)
    assert resumed.metrics == whole.metrics
    assert Run.open(tmp_path / "run").weights_hash() == Run.open(tmp_path / "whole").weights_hash()


def test_a_gradient_of_the_balancer_that_is_no_number_is_found(tmp_path):
    """exp(-s) overflows where s has run away, though every loss is a number."""
    config = TrainConfig(
        epochs=1, steps_per_epoch=2, batch_size=8, balancer="uncertainty", balancer_options={"initial": -200.0}
    )
    model = ToyModel()
    before = torch.cat([parameter.detach().flatten().clone() for parameter in model.parameters()])
    with pytest.raises(TrainingDiverged, match="step 1: the norm of the gradient is"):
        train(tmp_path / "run", config, model=model)
    assert torch.equal(before, torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
