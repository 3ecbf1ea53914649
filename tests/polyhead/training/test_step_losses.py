"""The losses of a step: real scalars of float32 outputs, evaluated again as they were, with the weights of all rows."""

import itertools

import pytest
import torch
from shared_toy import TASKS, Volumes
from torch import nn

from polyhead.tasks import TaskSet, TaskSpec
from polyhead.training.loading import LoadedBatch
from polyhead.training.sampling import Step, TaskBatch, shard
from polyhead.training.step_losses import LossMaker, unchanged_buffers

CPU = torch.device("cpu")
ONE = TaskSet([TaskSpec("size", "regression", "latent", 1)])


class Plain(nn.Module):
    """One weight; what the task gives is it times the inputs."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs, task):
        return self.weight * inputs


def losses_of(model, loss, *parts, tasks=ONE, **options):
    loaded = [[LoadedBatch(TaskBatch(("size",), (0,), (0,)), part, part)] for part in parts or [torch.ones(2)]]
    return LossMaker(model, tasks, {"size": loss}, CPU, **options).make(loaded)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: o.mean() * 1j, r"must be a scalar, .* got a Tensor of torch\.complex64 and shape"),
        (lambda o, t: o, r"must be a scalar, .* of torch\.float32 and shape \(2,\)"),
    ],
)
def test_a_loss_that_is_no_real_scalar_is_refused(loss, message):
    step, _ = losses_of(Plain(), loss)
    with pytest.raises(ValueError, match="loss of task 'size' " + message):
        step["size"]()


def test_a_loss_sees_float32_and_keeps_wider_numbers():
    def under():
        return torch.autocast("cpu", torch.bfloat16)

    class Linear(nn.Linear):
        def forward(self, inputs, task):
            return {"low": super().forward(inputs), "wide": inputs.double()}

    seen = []

    def loss(output, target):
        seen.append((output["low"].dtype, output["wide"].dtype, torch.is_autocast_enabled("cpu")))
        return output["low"].mean()

    losses_of(Linear(2, 1), loss, autocast=under)[0]["size"]()
    assert seen == [(torch.float32, torch.float64, False)]


def test_named_parts_are_those_of_the_first_evaluation():
    """Also of a task that is evaluated after another of its batch, and summed over parts by their share."""
    model = Plain()

    def loss(output, target):
        return {"loss": output.mean(), "twice": 2 * output.mean()}

    step, batches = losses_of(model, loss, torch.ones(2), 3 * torch.ones(2))
    step["size"]()
    assert batches[0].named["size"]["twice"].item() == 8.0  # 2 * 2 * (1 + 3) / 2
    with step.at({model.weight: torch.tensor(5.0)}):
        assert step["size"]().item() == 14.0
    assert batches[0].named["size"]["twice"].item() == 8.0
    with torch.no_grad():
        step["size"]()
    assert batches[0].named["size"]["twice"].item() == 8.0


def test_a_graph_of_a_later_evaluation_keeps_the_buffers_it_was_made_with():
    """A buffer that moves before it is used: its gradient factor must be the moved one, as in the first evaluation."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))
            self.register_buffer("scale", torch.tensor(1.0))

        def forward(self, inputs, task):
            self.scale.add_(10.0)
            return self.weight * self.scale * inputs

    model = Scaled()
    step, _ = losses_of(model, lambda output, target: output.mean())
    step["size"]().backward()
    assert model.weight.grad.item() == 11.0
    model.weight.grad = None
    step["size"]().backward()  # begins at the 11 of the first, which stays
    assert model.weight.grad.item() == 21.0 and model.scale.item() == 11.0


def test_buffers_that_are_shared_or_not_there_come_back():
    first, second = nn.Module(), nn.Module()
    model = nn.ModuleList([first, second])
    shared = torch.zeros(2)
    first.register_buffer("mine", shared)
    second.register_buffer("yours", shared)
    second.register_buffer("late", None)
    with pytest.raises(KeyError), unchanged_buffers(model):
        first.mine.add_(1.0)
        assert second.yours is first.mine and second.yours.tolist() == [1.0, 1.0]
        second.late = torch.ones(1)
        raise KeyError
    assert first.mine is shared and second.yours is shared and shared.tolist() == [0.0, 0.0] and second.late is None


def test_parts_are_worked_on_one_graph_at_a_time():
    """Of a part all graphs but the last are kept, and the last frees them."""

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, inputs, tasks):
            both = (self.weight * inputs["x"]).exp()
            kept.append(both)
            return dict.fromkeys(tasks, both)

    kept = []
    loaded = [
        [LoadedBatch(TaskBatch(tuple(TASKS), tuple(rows), tuple(rows)), *Volumes().batch(rows, rows))]
        for rows in ([0, 1], [2, 3])
    ]
    losses = dict.fromkeys(TASKS, lambda output, target: output.square().mean())
    LossMaker(Pair(), TASKS, losses, CPU).make(loaded)[0].together(tuple(TASKS))
    for both in kept:
        with pytest.raises(RuntimeError, match="second time"):
            both.sum().backward()


@pytest.mark.parametrize(("world", "parts", "rows"), list(itertools.product([1, 2, 3], [1, 2, 4], [1, 5, 13])))
def test_shares_of_ranks_times_parts_give_the_mean_over_rows(world, parts, rows):
    """Value and gradient, mean over ranks, are those of the whole batch."""
    inputs = torch.arange(1.0, rows + 1)
    whole = Step(0, (TaskBatch(("size",), tuple(range(rows)), tuple(range(rows))),))
    value = gradient = 0.0
    for rank in range(world):
        model = Plain()
        cut = [shard(whole, rank * parts + part, world * parts).batches[0] for part in range(parts)]
        loaded = [[LoadedBatch(each, inputs[list(each.rows)], inputs[list(each.rows)])] for each in cut]
        step, _ = LossMaker(model, ONE, {"size": lambda o, t: (o * t).mean()}, CPU).make(loaded)
        loss = step["size"]()
        loss.backward()
        value, gradient = value + loss.item() / world, gradient + model.weight.grad.item() / world
    mean = inputs.square().mean().item()
    assert value == pytest.approx(2 * mean, rel=1e-6) and gradient == pytest.approx(mean, rel=1e-6)
