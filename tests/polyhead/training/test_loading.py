"""Batches by value: whole batches where data offer them, stacked rows elsewhere; and the stepped schedules."""

import multiprocessing
import os
import signal

import pytest
import torch
from pydantic import ValidationError
from training_toy import LOSSES, SIZES, ToyData, ToyModel, make_info, train

from polyhead.runs.run import Run
from polyhead.train import TrainConfig, fit
from polyhead.training.loading import load_steps
from polyhead.training.sampling import Step, TaskBatch


class WholeBatches:
    """The rows of a `ToyData`, all of a batch at once; `calls` notes what was asked."""

    def __init__(self, task):
        self.inner, self.calls = ToyData(task, SIZES[task]), []

    def __len__(self):
        return len(self.inner)

    def batch(self, rows, seeds):
        self.calls.append((rows, seeds))
        if 3 in rows:
            raise KeyError("row three")
        pairs = [self.inner.sample(row, seed) for row, seed in zip(rows, seeds, strict=True)]
        return {"x": torch.stack([x["x"] for x, _ in pairs])}, torch.stack([y for _, y in pairs])


def test_whole_batches_and_rows_give_the_same_tensors():
    step = Step(0, (TaskBatch(("length",), (4, 1, 7), (11, 12, 13)), TaskBatch(("angle",), (0, 2), (21, 22))))
    data = {"length": WholeBatches("length"), "angle": ToyData("angle", SIZES["angle"])}
    (loaded,) = load_steps(data, [[step]], workers=0, pin_memory=False)
    rows = {task: ToyData(task, SIZES[task]) for task in data}
    (expected,) = load_steps(rows, [[step]], workers=0, pin_memory=False)
    assert data["length"].calls == [((4, 1, 7), (11, 12, 13))]
    for mine, other in zip(loaded[0], expected[0], strict=True):
        assert mine.of is other.of
        torch.testing.assert_close(mine.inputs["x"], other.inputs["x"], rtol=0, atol=0)
        torch.testing.assert_close(mine.targets, other.targets, rtol=0, atol=0)


# Other tests may bring JAX into the process that these fork loaders from; the loaders never touch it.
@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_batch_names_task_and_rows_in_one_line(workers):
    step = Step(0, (TaskBatch(("length",), (5, 3), (1, 2)),))
    with pytest.raises(ValueError) as caught:
        list(load_steps({"length": WholeBatches("length")}, [[step]], workers=workers, pin_memory=False))
    assert str(caught.value) == "task 'length', rows 5, 3: KeyError: 'row three'"


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # other tests load JAX
def test_loaders_outlive_a_ctrl_c():
    """It reaches them too; the training process decides when to stop, and asks them for more until then."""
    steps = [[Step(index, (TaskBatch(("angle",), (index % 9,), (index,)),))] for index in range(12)]
    batches = load_steps({"angle": ToyData("angle", 9)}, steps, workers=1, pin_memory=False)
    next(batches)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGINT)
    assert [loaded[0][0].of.rows for loaded in batches] == [(index % 9,) for index in range(1, 12)]
    assert not multiprocessing.active_children()


def test_training_on_whole_batches_equals_training_on_rows(tmp_path):
    class Fine(WholeBatches):
        def batch(self, rows, seeds):
            pairs = [self.inner.sample(row, seed) for row, seed in zip(rows, seeds, strict=True)]
            return {"x": torch.stack([x["x"] for x, _ in pairs])}, torch.stack([y for _, y in pairs])

    config = TrainConfig(epochs=1, steps_per_epoch=6, batch_size=8, schedule="constant", learning_rate=1e-2)
    _, expected = train(tmp_path / "rows", config, model=ToyModel())
    model = ToyModel()
    run = Run.begin(tmp_path / "batches", make_info(config))
    fit(model, LOSSES, {task: Fine(task) for task in SIZES}, config, run, progress="quiet")
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_stepped_schedules_have_closed_forms():
    staircase = TrainConfig(schedule="staircase", decay=0.95, decay_every=1000)
    rates = [staircase.learning_rate_at(1e-3, step, 10) for step in (0, 999, 1000, 2500, 100_000)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.95e-3, 0.9025e-3, 1e-3 * 0.95**100], rel=1e-12)
    pieces = TrainConfig(schedule="pieces", pieces=((5001, 0.5), (8001, 0.1)), warmup_steps=1)
    rates = [pieces.learning_rate_at(1e-3, step, 10) for step in (0, 1, 5000, 5001, 8000, 8001, 30_000)]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 5e-4, 5e-4, 1e-4, 1e-4], rel=1e-12)
    for bad in ({"decay": 0}, {"decay_every": 0}, {"pieces": ((5, -1.0),)}, {"betas": (0.9, 1.0)}):
        with pytest.raises(ValidationError):
            TrainConfig(**bad)


def test_betas_reach_the_optimiser(tmp_path):
    """After one step from zero moments Adam moves every weight by the rate, whatever the betas; later it does not."""
    steps = {}
    for betas in ((0.9, 0.999), (0.5, 0.6)):
        config = TrainConfig(
            epochs=1, steps_per_epoch=2, learning_rate=1e-3, weight_decay=0, schedule="constant", betas=betas
        )
        model = ToyModel()
        before = [parameter.clone() for parameter in model.parameters()]
        train(tmp_path / str(betas[0]), config, model=model, validate=None)
        steps[betas] = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), before, strict=True)])
    assert not torch.allclose(*steps.values(), rtol=1e-3, atol=0)
