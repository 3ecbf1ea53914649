"""Steps whose tasks share batches: one encoding a group, the gradients of separate closures, one graph at a time."""

import weakref

import pytest
import torch
from torch import nn

from polyhead.balance import Parameters, StepLosses, make_balancer
from polyhead.tasks import TaskSet, TaskSpec

NAMES = ("a", "b", "c", "d", "e")
TASKS = TaskSet(TaskSpec(name, "regression", "f", 1) for name in NAMES)
GROUPS = (("d", "a"), ("b", "e"))
OPTIONS = {
    "fixed": {"weights": {"a": 0.5, "e": 2.0}},
    "uncertainty": {"initial": 0.3},
    "Constant": {"weights": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "ConFIG": {"pref_vector": [1.0, 2.0, 3.0, 4.0, 5.0]},
    "FairGrad": {"alpha": 2.0},
    "TrimmedMean": {"trim_number": 1},
}
BALANCERS = [
    "equal",
    "fixed",
    "uncertainty",
    "dwa",
    "Mean",
    "UPGrad",
    "DualProj",
    "PCGrad",
    "GradDrop",
    "GradVac",
    "PCD",
]
BALANCERS += ["MGDA", "IMTLG", "ConFIG", "Constant", "FairGrad", "ExcessMTL", "TrimmedMean"]


class Saved:
    """What a graph keeps for its backward pass; it dies with the graph or with that pass."""

    def __init__(self, tensor):
        self.tensor = tensor


class Toy:
    """An encoder and five linear heads on two shared batches and one of its own; it counts and watches encodings."""

    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        torch.manual_seed(7)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Tanh()).double()
        self.heads = {name: nn.Linear(8, 1).double() for name in NAMES}
        home = {task: group for group in GROUPS for task in group}
        rows = {group: torch.randn(7, 6, generator=generator).double() for group in (*GROUPS, ("c",))}
        self.rows = {name: rows[home.get(name, (name,))] for name in NAMES}
        self.targets = {name: torch.randn(7, 1, generator=generator).double() for name in NAMES}
        self.encodings, self.alive = 0, weakref.WeakSet()

    def watched(self):
        assert not self.alive, "two graphs are alive"

        def keep(tensor):
            saved = Saved(tensor)
            self.alive.add(saved)
            return saved

        return torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved.tensor)

    def encode(self, rows):
        self.encodings += 1
        return self.encoder(rows)

    def loss(self, task, feature):
        return (self.heads[task](feature) - self.targets[task]).square().mean()

    def closure(self, task):
        def alone():
            with self.watched():
                return self.loss(task, self.encode(self.rows[task]))

        return alone

    def group(self, group):
        def together():
            with self.watched():
                feature = self.encode(self.rows[group[0]])
                return {task: self.loss(task, feature) for task in group}

        return together

    def step(self, *, shared, order=("d", "c", "b", "a", "e")):
        together = {group: self.group(group) for group in GROUPS} if shared else None
        return StepLosses({task: self.closure(task) for task in order}, together)

    @property
    def parameters(self):
        return Parameters(list(self.encoder.parameters()))

    def gradients(self):
        modules = [self.encoder, *self.heads.values()]
        return [parameter.grad.clone() for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize("name", BALANCERS)
def test_shared_batches_give_the_gradients_of_separate_closures_from_one_encoding(name):
    joint, apart = Toy(), Toy()
    balancers = [make_balancer(name, OPTIONS.get(name), TASKS) for _ in range(2)]
    for step in range(3):
        found = balancers[0].backward(joint.step(shared=True), joint.parameters)
        expected = balancers[1].backward(apart.step(shared=False), apart.parameters)
        assert found == pytest.approx(expected, rel=1e-6)
        assert list(found) == ["d", "c", "b", "a", "e"]
        for one, other in zip(joint.gradients(), apart.gradients(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
        assert joint.encodings == 3 * (step + 1) and apart.encodings == 5 * (step + 1)
        for toy, balancer in zip((joint, apart), balancers, strict=True):
            for weight in balancer.parameters():
                assert weight.grad is not None
                weight.grad = None
            for module in (toy.encoder, *toy.heads.values()):
                for parameter in module.parameters():
                    with torch.no_grad():
                        parameter -= 0.1 * parameter.grad
                    parameter.grad = None
            balancer.epoch_end()


@pytest.mark.parametrize("name", ["Constant", "ConFIG", "PCGrad", "GradDrop", "PCD", "GradVac"])
def test_rows_stand_in_the_order_of_the_model(name):
    found = []
    for order in (NAMES, ("e", "c", "a", "d", "b")):
        toy = Toy()
        make_balancer(name, OPTIONS.get(name), TASKS).backward(toy.step(shared=False, order=order), toy.parameters)
        found.append(toy.gradients())
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["UPGrad", "GradVac", "equal"])
def test_a_frozen_shared_part_leaves_the_mean_to_the_heads(name):
    toy = Toy()
    toy.encoder.requires_grad_(False)
    expected = {task: toy.loss(task, toy.encoder(toy.rows[task])) for task in NAMES}
    toy_losses = StepLosses({task: lambda task=task: toy.loss(task, toy.encoder(toy.rows[task])) for task in NAMES})
    values = make_balancer(name, None, TASKS).backward(toy_losses, toy.parameters)
    assert values == pytest.approx({task: loss.item() for task, loss in expected.items()}, rel=1e-6)
    for task in NAMES:
        (by_weight,) = torch.autograd.grad(expected[task] / 5, toy.heads[task].weight)
        torch.testing.assert_close(toy.heads[task].weight.grad, by_weight)
    assert all(parameter.grad is None for parameter in toy.encoder.parameters())


def test_a_lone_task_keeps_its_gradient():
    toy = Toy()
    make_balancer("UPGrad", None, TASKS).backward(toy.step(shared=False, order=("b",)), toy.parameters)
    found = toy.encoder[0].weight.grad
    (expected,) = torch.autograd.grad(toy.closure("b")(), toy.encoder[0].weight)
    torch.testing.assert_close(found, expected)


def test_dynamic_weights_move_with_the_epochs():
    toy = Toy()
    balancer = make_balancer("dwa", {"temperature": 0.1}, TASKS)
    means = []
    for _ in range(2):
        means.append(balancer.backward(toy.step(shared=True), toy.parameters))
        balancer.epoch_end()
        with torch.no_grad():
            for name, head in toy.heads.items():
                head.bias += 0.3 if name == "a" else -0.1
    rates = {task: means[1][task] / means[0][task] for task in NAMES}
    powers = {task: torch.tensor(rate / 0.1).double().exp().item() for task, rate in rates.items()}
    assert balancer.weights == pytest.approx({task: 5 * powers[task] / sum(powers.values()) for task in NAMES})
    assert max(balancer.weights.values()) > 1.2


@pytest.mark.parametrize("name", ["equal", "fixed", "dwa"])
def test_a_loss_that_reaches_no_parameter_leaves_the_others_of_its_group_theirs(name):
    weight = nn.Parameter(torch.tensor(2.0))
    losses = {"a": lambda: weight**2, "d": lambda: torch.tensor(3.0)}
    together = {("a", "d"): lambda: {task: loss() for task, loss in losses.items()}}
    balancer = make_balancer(name, {"weights": {"a": 0.5}} if name == "fixed" else None, TASKS)
    assert balancer.backward(StepLosses(losses, together), Parameters([weight])) == {"a": 4.0, "d": 3.0}
    # d/dw of factor * w² / 2 tasks
    assert weight.grad is not None and weight.grad.item() == pytest.approx(1.0 if name == "fixed" else 2.0)
