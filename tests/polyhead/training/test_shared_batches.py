"""Tasks that share their rows: one load, one encoding and one graph a step, and the gradients of separate closures."""

import pytest
import torch
from shared_toy import LOSSES, TASKS, CountedEncoder, Head, Volumes, make_info, make_model, train_shared
from torch import nn

from polyhead.balance import Parameters, StepLosses, make_balancer
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.train import TrainConfig, fit
from polyhead.training.loading import LoadedBatch
from polyhead.training.sampling import TaskBatch
from polyhead.training.step_losses import LossMaker

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("balancer", ["equal", "UPGrad", "uncertainty"])
def test_a_joint_training_encodes_once_a_step(tmp_path, balancer):
    config = TrainConfig(epochs=8, steps_per_epoch=5, batch_size=8, balancer=balancer, learning_rate=1e-2)
    model, data, result = train_shared(tmp_path / "run", config)
    assert result.step == 40 and model.backbone.passes == 40 and data.loads == 40
    lines = Run.open(tmp_path / "run").metrics()
    assert all(set(line["losses"]) == set(TASKS) for line in lines)
    for task in TASKS:
        assert lines[-1]["losses"][task] < 0.8 * lines[0]["losses"][task]


def step_losses(model, *, rows=range(8), parts=1):
    batch = TaskBatch(("reconstruct", "segment"), tuple(rows), tuple(rows))
    cuts = [list(rows)[i::parts] for i in range(parts)]
    loaded = [
        [
            LoadedBatch(
                TaskBatch(batch.tasks, tuple(cut), tuple(cut), len(cut) * parts / len(rows)), *Volumes().batch(cut, cut)
            )
        ]
        for cut in cuts
    ]
    return LossMaker(model, TASKS, LOSSES, torch.device("cpu")).make(loaded)


def gradients(model, balancer, losses):
    model.zero_grad(set_to_none=True)
    heads = {task: model.head_parameters(task) for task in TASKS}
    values = make_balancer(balancer, None, TASKS).backward(
        losses, Parameters(model.shared_parameters(), heads, model.last_shared_parameters())
    )
    return values, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("balancer", ["equal", "fixed", "uncertainty", "dwa", "UPGrad", "PCGrad"])
def test_gradients_are_those_of_separate_closures(balancer):
    model = make_model(dropout=0.3).train()
    torch.manual_seed(1)
    losses, _ = step_losses(model)
    before = model.backbone.passes
    values, together = gradients(model, balancer, losses)
    assert model.backbone.passes == before + 1
    torch.manual_seed(1)
    losses, _ = step_losses(model)
    other, separate = gradients(model, balancer, StepLosses(dict(losses)))
    assert model.backbone.passes == before + 3
    assert values == pytest.approx(other, rel=1e-6)
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, separate[name], rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("balancer", ["equal", "uncertainty", "UPGrad"])
@pytest.mark.parametrize("together", [True, False])
def test_accumulated_gradients_are_those_of_the_whole_batch(balancer, together):
    model = make_model()
    model.backbone.norm.eval()  # its statistics would be those of a part
    whole, _ = step_losses(model, rows=range(7))
    parts, batches = step_losses(model, rows=range(7), parts=3)
    assert [len(part.of.rows) for part in batches[0].parts] == [3, 2, 2]
    if not together:
        whole, parts = StepLosses(dict(whole)), StepLosses(dict(parts))
    values, expected = gradients(model, balancer, whole)
    found, got = gradients(model, balancer, parts)
    assert found == pytest.approx(values, rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
    with torch.no_grad():
        assert parts["segment"]().item() == pytest.approx(whole["segment"]().item(), rel=1e-6)


def test_micro_batches_train_to_the_same_weights(tmp_path):
    class Plain(CountedEncoder):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(16)

    def model():
        torch.manual_seed(0)
        return MultiHeadModel(Plain(), {task: Head(spec.outputs) for task, spec in TASKS.items()}, TASKS)

    config = TrainConfig(epochs=1, steps_per_epoch=6, batch_size=7, learning_rate=1e-2, optimizer="sgd")
    whole, _, _ = train_shared(tmp_path / "whole", config, model=model())
    parts, data, _ = train_shared(tmp_path / "parts", config.model_copy(update={"micro_batches": 3}), model=model())
    assert data.loads == 18 and parts.backbone.passes == 18
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_loss_called_again_is_a_function_of_the_parameters():
    """Dropout draws the same, running statistics move once, and the generators go on as if it had not been called."""
    model = make_model(dropout=0.5).train()
    losses, _ = step_losses(model)
    first = losses["segment"]().item()
    statistics = model.backbone.norm.running_mean.clone()
    torch.rand(3)  # as the first evaluation of another batch
    drawn = torch.get_rng_state()
    assert [losses["segment"]().item() for _ in range(3)] == [first] * 3
    losses.together(("reconstruct", "segment"))
    assert torch.equal(model.backbone.norm.running_mean, statistics)
    assert model.backbone.norm.num_batches_tracked == 1
    assert torch.equal(torch.get_rng_state(), drawn)
    moved = {parameter: 0.05 * torch.ones_like(parameter) for parameter in model.parameters()}
    kept = [parameter.clone() for parameter in model.parameters()]
    with losses.at(moved):
        assert losses["segment"]().item() != first
    assert all(torch.equal(a, b) for a, b in zip(kept, model.parameters(), strict=True))
    # The directional derivative by differences is that of the gradient: no noise is left.
    direction = [torch.randn(parameter.shape) for parameter in model.parameters()]
    gradient = torch.autograd.grad(losses["segment"](), list(model.parameters()), allow_unused=True)
    slope = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True) if g is not None)
    step = 1e-3
    ends = []
    for sign in (1, -1):
        with losses.at({p: sign * step * d for p, d in zip(model.parameters(), direction, strict=True)}):
            ends.append(losses["segment"]().item())
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=2e-2)


def test_named_parts_of_losses_reach_the_metrics(tmp_path):
    def parted(output, target):
        size, error = output.square().mean(), nn.functional.mse_loss(output, target)
        return {"loss": error + 0.1 * size, "error": error, "size": size}

    config = TrainConfig(epochs=1, steps_per_epoch=3, batch_size=8, micro_batches=2)
    losses = LOSSES | {"reconstruct": parted}
    train_shared(tmp_path / "run", config, losses=losses)
    for line in Run.open(tmp_path / "run").metrics():
        assert set(line["parts"]) == {"reconstruct"} and set(line["parts"]["reconstruct"]) == {"error", "size"}
        named = line["parts"]["reconstruct"]
        assert line["losses"]["reconstruct"] == pytest.approx(named["error"] + 0.1 * named["size"], rel=1e-5)
    for value, message in [
        (
            torch.tensor([1.0]),
            r"must be a scalar, a real tensor of shape \(\), got a Tensor of torch.float32 and shape",
        ),
        (0.5, "must be a scalar, .* got a float$"),
        (torch.tensor(float("nan")), r"is nan \(rows: "),
    ]:
        bad = LOSSES | {"reconstruct": lambda o, t, value=value: {"loss": o.mean(), "sharpness": value}}
        model = make_model()
        before = [parameter.clone() for parameter in model.parameters()]
        with pytest.raises(ValueError, match=f"the part 'sharpness' of the loss of task 'reconstruct' {message}"):
            train_shared(tmp_path / f"part {value}", config, model=model, losses=bad)
        assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    with pytest.raises(ValueError, match="loss of task 'reconstruct' has the parts error and no 'loss'"):
        train_shared(tmp_path / "bad", config, losses=LOSSES | {"reconstruct": lambda o, t: {"error": o.mean()}})


def test_targets_of_shared_rows_are_one_a_task(tmp_path):
    class Bare(Volumes):
        def batch(self, rows, seeds):
            return {"x": self.x[list(rows)]}, self.x[list(rows)]

    with pytest.raises(ValueError, match=r"'reconstruct \+ segment' share their rows, so their targets must be a dict"):
        train_shared(tmp_path / "run", TrainConfig(epochs=1, batch_size=8), data=Bare())

    class Half(Volumes):
        def batch(self, rows, seeds):
            inputs, targets = super().batch(rows, seeds)
            return inputs, {"segment": targets["segment"]}

    with pytest.raises(ValueError, match=r"'reconstruct \+ segment' share their rows, so their targets must be a dict"):
        train_shared(tmp_path / "half", TrainConfig(epochs=1, batch_size=8), data=Half())


def test_a_task_of_weight_zero_is_left_alone_in_a_shared_batch(tmp_path):
    from dataclasses import replace

    from polyhead.tasks import TaskSet

    tasks = TaskSet([TASKS["reconstruct"], replace(TASKS["segment"], weight=0.0)])
    named = {"again": tasks["reconstruct"], "more": tasks["segment"]}
    both = TaskSet([*tasks.values(), *(replace(task, name=name) for name, task in named.items())])
    model = MultiHeadModel(CountedEncoder(), {task: Head(spec.outputs) for task, spec in tasks.items()}, tasks)
    before = {name: value.clone() for name, value in model.head("segment").named_parameters()}
    config = TrainConfig(epochs=1, steps_per_epoch=4, batch_size=8, weight_decay=0.5, learning_rate=0.1)
    train_shared(tmp_path / "run", config, model=model)
    assert all(torch.equal(before[name], value) for name, value in model.head("segment").named_parameters())
    assert set(Run.open(tmp_path / "run").metrics()[0]["losses"]) == {"reconstruct"}
    with pytest.raises(ValueError, match="'PCGrad' weighs tasks of one step"):  # a task alone, whatever its batch says
        lone = MultiHeadModel(CountedEncoder(), {task: Head(spec.outputs) for task, spec in both.items()}, both)
        run = Run.begin(tmp_path / "lone", make_info(config, both))
        data = {("reconstruct", "segment"): Volumes(), ("again", "more"): Volumes()}
        gradients = config.model_copy(update={"balancer": "PCGrad"})
        fit(lone, dict.fromkeys(both, nn.functional.mse_loss), data, gradients, run, progress="quiet")
    none = TaskSet(replace(task, weight=0.0) for task in TASKS.values())
    model = MultiHeadModel(CountedEncoder(), {task: Head(spec.outputs) for task, spec in none.items()}, none)
    with pytest.raises(ValueError, match="nothing to train: every task has the weight 0"):
        train_shared(tmp_path / "none", config, model=model)


def test_rows_of_several_shapes_meet_by_shape(tmp_path):
    """Sequences of two lengths cannot be stacked; with keys every batch is of one length, and none is lost."""

    class Ragged:
        def __init__(self):
            self.lengths = [3 if row % 3 else 5 for row in range(17)]
            self.batch_keys = self.lengths
            self.seen = []

        def __len__(self):
            return 17

        def sample(self, row, seed):
            self.seen.append(row)
            x = torch.full((self.lengths[row], 6), row / 17)
            return {"x": x.mean(dim=0), "length": torch.zeros(self.lengths[row])}, x[0]

    tasks = TASKS.subset(["reconstruct"])
    model = MultiHeadModel(CountedEncoder(), {"reconstruct": Head(6)}, tasks)
    data = Ragged()
    config = TrainConfig(epochs=2, batch_size={"reconstruct": 4}, sampler="proportional")
    run = Run.begin(tmp_path / "run", make_info(config, tasks))
    result = fit(model, {"reconstruct": LOSSES["reconstruct"]}, {"reconstruct": data}, config, run, progress="quiet")
    # 6 rows of length 5 and 11 of length 3 are 2 and 3 batches.
    assert result.step == 10
    assert sorted(data.seen) == sorted([*range(17)] * 2)
    del Ragged.__init__
    blind = Ragged.__new__(Ragged)
    blind.lengths, blind.seen = data.lengths, []
    run = Run.begin(tmp_path / "blind", make_info(config, tasks))
    with pytest.raises(ValueError, match=r"task 'reconstruct', rows [\d, ]+: RuntimeError: stack expects"):
        fit(model, {"reconstruct": LOSSES["reconstruct"]}, {"reconstruct": blind}, config, run, progress="quiet")


def test_heads_see_inputs_of_their_own_rows():
    model = make_model().eval()
    x = torch.randn(5, 6)
    rows = {"reconstruct": torch.tensor([1, 4]), "segment": torch.tensor([0, 1, 2, 3, 4])}
    with torch.no_grad():
        whole, mixed = model({"x": x}, list(TASKS)), model.answer_rows({"x": x}, rows)
    torch.testing.assert_close(mixed["reconstruct"], whole["reconstruct"][[1, 4]])
    torch.testing.assert_close(mixed["segment"], whole["segment"])


def test_the_last_shared_layer_can_be_named():
    encoder = CountedEncoder()
    heads = {task: Head(spec.outputs) for task, spec in TASKS.items()}
    named = MultiHeadModel(encoder, heads, TASKS, last_shared=encoder.first)
    assert named.last_shared_parameters()[0] is encoder.first.weight
    assert len(list(named.parameters())) == len(list(MultiHeadModel(encoder, heads, TASKS).parameters()))
    assert MultiHeadModel(encoder, heads, TASKS).last_shared_parameters()[0] is encoder.norm.weight
    encoder.requires_grad_(False)
    assert MultiHeadModel(encoder, heads, TASKS).last_shared_parameters() == []


def with_weights(**weights):
    from dataclasses import replace

    from polyhead.tasks import TaskSet

    tasks = TaskSet(replace(spec, weight=weights.get(task, spec.weight)) for task, spec in TASKS.items())
    return MultiHeadModel(CountedEncoder(), {task: Head(spec.outputs) for task, spec in tasks.items()}, tasks)


class Half(Volumes):
    """The rows of one task alone."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def batch(self, rows, seeds):
        inputs, targets = super().batch(rows, seeds)
        return inputs, targets[self.task]


def test_a_batch_size_may_name_a_task_of_weight_zero(tmp_path):
    config = TrainConfig(epochs=1, steps_per_epoch=2, batch_size={"reconstruct": 4, "segment": 8})
    model = with_weights(segment=0.0)
    run = Run.begin(tmp_path / "run", make_info(config, model.tasks))
    data = {task: Half(task) for task in TASKS}
    fit(model, LOSSES, data, config, run, progress="quiet")
    assert [set(line["losses"]) for line in run.metrics()] == [{"reconstruct"}] * 2
    wrong = config.model_copy(update={"batch_size": {"reconstruct": 4, "segmnt": 8}})
    run = Run.begin(tmp_path / "wrong", make_info(wrong, model.tasks))
    with pytest.raises(ValueError, match="batch_size names segmnt, which is no task"):
        fit(model, LOSSES, data, wrong, run, progress="quiet")


def test_what_a_balancer_needs_counts_tasks_that_are_trained(tmp_path):
    """Two shared batches of two tasks each, one of which has no weight: a step of one batch trains one task."""
    from polyhead.tasks import TaskSet, TaskSpec

    names = ("a", "b", "c", "d")
    tasks = TaskSet(TaskSpec(name, "regression", "maps", 3, weight=float(name in "ac")) for name in names)
    model = MultiHeadModel(CountedEncoder(), {name: Head(3) for name in names}, tasks)
    losses = dict.fromkeys(names, nn.functional.mse_loss)

    class Rows(Volumes):
        def batch(self, rows, seeds):
            inputs, _ = super().batch(rows, seeds)
            return inputs, dict.fromkeys(self.tasks, inputs["x"][:, :3])

    data = {}
    for group in (("a", "b"), ("c", "d")):
        data[group] = Rows()
        data[group].tasks = group

    def train(**options):
        config = TrainConfig(epochs=1, steps_per_epoch=1, batch_size=4, **options)
        run = Run.begin(tmp_path / "run", make_info(config, tasks), overwrite=True)
        fit(model, losses, data, config, run, progress="quiet")
        return run.metrics()[0]["losses"]

    with pytest.raises(ValueError, match="set tasks_per_step to at least 2"):
        train(balancer="UPGrad")
    assert set(train(balancer="UPGrad", tasks_per_step=2)) == {"a", "c"}
    with pytest.raises(ValueError, match="set tasks_per_step to 2 and a sampler other than proportional"):
        train(balancer="GradVac", tasks_per_step=2, sampler="proportional")
    assert set(train(balancer="GradVac", tasks_per_step=2)) == {"a", "c"}
