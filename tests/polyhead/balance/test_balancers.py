"""Balancers against closed forms on losses whose gradients are known."""

import math

import pytest
import torch
from torch.nn import Parameter

from polyhead.balance import NonFiniteLoss, Parameters, StepLosses, make_balancer
from polyhead.registry import UnknownName
from polyhead.tasks import TaskSet, TaskSpec

TASKS = TaskSet(TaskSpec(name, "regression", "f", 1) for name in "abc")
PAIR = TASKS.subset(["a", "b"])
WEIGHTS = {"a": 1.0, "b": 3.0, "c": 0.5}
WEIGHTED = TaskSet(TaskSpec(name, "regression", "f", 1, weight=weight) for name, weight in WEIGHTS.items())
NONE = Parameters([])


def quadratics(names, seed=0):
    """Shared theta (4,), a head phi_k (2,) a task; L_k = |theta - t_k|^2 / 2 + |phi_k|^2 / 2 * (1 + k)."""
    generator = torch.Generator().manual_seed(seed)
    theta = Parameter(torch.randn(4, generator=generator))
    heads = {name: Parameter(torch.randn(2, generator=generator)) for name in TASKS}
    targets = {name: torch.randn(4, generator=generator) for name in TASKS}
    factors = {"a": 1.0, "b": 2.0, "c": 3.0}
    losses = {
        name: lambda name=name: (
            0.5 * (theta - targets[name]).square().sum() + 0.5 * factors[name] * heads[name].square().sum()
        )
        for name in names
    }
    gradients = {name: (theta - targets[name]).detach() for name in names}
    head_gradients = {name: factors[name] * heads[name].detach() for name in names}
    return theta, heads, losses, gradients, head_gradients


def fixed_gradients(*rows):
    """Losses that are linear in theta, so that their gradients are `rows`."""
    theta = Parameter(torch.zeros(len(rows[0])))
    losses = {
        name: lambda row=row: (theta * torch.tensor(row)).sum()
        for name, row in zip("abc"[: len(rows)], rows, strict=True)
    }
    return theta, losses


@pytest.mark.parametrize("name", ["equal", "Mean"])
@pytest.mark.parametrize("step", ["a", "ab", "cab"])
def test_equal_weights_are_the_mean(name, step):
    theta, heads, losses, gradients, head_gradients = quadratics(step)
    values = make_balancer(name, {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))
    assert theta.grad is not None
    torch.testing.assert_close(theta.grad, sum(gradients.values()) / len(step))
    for task in TASKS:
        if task in step:
            torch.testing.assert_close(heads[task].grad, head_gradients[task] / len(step))
            assert values[task] == losses[task]().item()
        else:
            assert heads[task].grad is None
    assert list(values) == list(step)


def weighted(losses):
    """What the training loop gives: each loss times the weight of its task."""
    return {task: lambda task=task: WEIGHTS[task] * losses[task]() for task in losses}


def test_fixed_weights_stand_in_for_those_of_the_tasks():
    for options, weights in [
        ({}, WEIGHTS),
        ({"weights": {"b": 0.25}}, {"a": 1, "b": 0.25, "c": 0.5}),
    ]:
        theta, heads, losses, gradients, head_gradients = quadratics("abc")
        values = make_balancer("fixed", options, WEIGHTED).backward(StepLosses(weighted(losses)), Parameters([theta]))
        torch.testing.assert_close(theta.grad, sum(weights[t] * gradients[t] for t in "abc") / 3)
        torch.testing.assert_close(heads["b"].grad, weights["b"] * head_gradients["b"] / 3)
        assert values["b"] == pytest.approx(3 * losses["b"]().item())
    with pytest.raises(ValueError, match="weight of task 'a' must be finite"):
        make_balancer("fixed", {"weights": {"a": math.nan}}, TASKS)
    with pytest.raises(UnknownName, match="unknown task 'z'"):
        make_balancer("fixed", {"weights": {"z": 1.0}}, TASKS)
    with pytest.raises(ValueError, match="do not fit"):
        make_balancer("equal", {"weights": {"a": 1.0}}, TASKS)


def test_a_fixed_weight_of_zero_leaves_the_head_without_gradient():
    theta, heads, losses, gradients, _ = quadratics("abc")
    balancer = make_balancer("fixed", {"weights": {"b": 0.0}}, TASKS)
    values = balancer.backward(StepLosses.of(losses), Parameters([theta]))
    torch.testing.assert_close(theta.grad, (gradients["a"] + gradients["c"]) / 3)
    assert heads["b"].grad is None and heads["a"].grad is not None
    assert values["b"] == pytest.approx(losses["b"]().item())


@pytest.mark.parametrize("name", ["equal", "dwa", "Mean", "Sum"])
def test_weights_of_the_tasks_act(name):
    theta, heads, losses, gradients, head_gradients = quadratics("abc")
    make_balancer(name, {}, WEIGHTED).backward(StepLosses(weighted(losses)), Parameters([theta]))
    torch.testing.assert_close(theta.grad, sum(WEIGHTS[t] * gradients[t] for t in "abc") / 3)
    torch.testing.assert_close(heads["b"].grad, 3 * head_gradients["b"] / 3)


def test_uncertainty_does_not_absorb_the_weight():
    balancer = make_balancer("uncertainty", {}, WEIGHTED)
    optimizer = torch.optim.SGD(balancer.parameters(), lr=1.0)
    plain = {"a": lambda: torch.tensor(5.0), "b": lambda: torch.tensor(0.2), "c": lambda: torch.tensor(2.0)}
    for _ in range(800):
        optimizer.zero_grad()
        balancer.backward(StepLosses(weighted(plain)), NONE)
        optimizer.step()
    s = [parameter.item() for parameter in balancer.parameters()]
    assert s == pytest.approx([math.log(5.0), math.log(0.2), math.log(2.0)], abs=1e-3)
    theta, _, losses, gradients, _ = quadratics("ab")
    make_balancer("uncertainty", {"initial": 0.7}, WEIGHTED).backward(StepLosses(weighted(losses)), Parameters([theta]))
    expected = 0.5 * math.exp(-0.7) * (gradients["a"] + 3 * gradients["b"]) / 2
    torch.testing.assert_close(theta.grad, expected)


def test_tasks_of_weight_zero_count_for_nothing():
    tasks = TaskSet([*TASKS.values(), TaskSpec("idle", "regression", "f", 1, weight=0.0)])
    assert make_balancer("dwa", {}, tasks).weights == {"a": 1.0, "b": 1.0, "c": 1.0}
    theta, _, losses, _, _ = quadratics("abc")
    make_balancer("GradVac", {}, tasks).backward(StepLosses.of(losses), Parameters([theta]))
    assert theta.grad is not None
    with pytest.raises(ValueError, match="cannot weigh task 'idle': its own weight is 0"):
        make_balancer("fixed", {"weights": {"idle": 2.0}}, tasks)
    with pytest.raises(ValueError, match="every task has weight 0"):
        make_balancer("equal", {}, TaskSet([TaskSpec("idle", "regression", "f", 1, weight=0.0)]))


def test_uncertainty_gradients_and_optimum():
    theta, _, losses, gradients, _ = quadratics("ab")
    balancer = make_balancer("uncertainty", {"initial": 0.7}, TASKS)
    values = balancer.backward(StepLosses.of(losses), Parameters([theta]))
    torch.testing.assert_close(theta.grad, 0.5 * math.exp(-0.7) * (gradients["a"] + gradients["b"]) / 2)
    a, b, c = balancer.parameters()
    assert a.grad.item() == pytest.approx((0.5 - 0.5 * math.exp(-0.7) * values["a"]) / 2)
    assert b.grad is not None and c.grad is None

    balancer = make_balancer("uncertainty", {}, PAIR)
    optimizer = torch.optim.SGD(balancer.parameters(), lr=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        balancer.backward(StepLosses({"a": lambda: torch.tensor(5.0), "b": lambda: torch.tensor(0.2)}), NONE)
        optimizer.step()
    s = [parameter.item() for parameter in balancer.parameters()]
    assert s == pytest.approx([math.log(5.0), math.log(0.2)], abs=1e-4)


def test_dynamic_weight_average_formula():
    balancer = make_balancer("dwa", {}, TASKS)
    x = Parameter(torch.tensor(0.0))

    def epoch(**means):
        for offset in (-0.5, 0.5):
            balancer.backward(StepLosses({t: lambda m=m, o=offset: x * 0 + m + o for t, m in means.items()}), NONE)
        balancer.epoch_end()

    assert balancer.weights == pytest.approx({"a": 1, "b": 1, "c": 1})
    epoch(a=4.0, b=2.0, c=1.0)
    assert balancer.weights == pytest.approx({"a": 1, "b": 1, "c": 1})
    epoch(a=2.0, b=2.0)
    rates = {"a": 0.5, "b": 1.0, "c": 1.0}
    total = sum(math.exp(rate / 2) for rate in rates.values())
    expected = {task: 3 * math.exp(rate / 2) / total for task, rate in rates.items()}
    assert balancer.weights == pytest.approx(expected)

    copy = make_balancer("dwa", {}, TASKS)
    copy.load_state_dict(balancer.state_dict())
    assert copy.weights == balancer.weights
    theta, _, losses, gradients, _ = quadratics("ac")
    copy.backward(StepLosses.of(losses), Parameters([theta]))
    torch.testing.assert_close(theta.grad, (expected["a"] * gradients["a"] + expected["c"] * gradients["c"]) / 2)


def test_conflicting_gradients():
    g1, g2 = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    theta, losses = fixed_gradients([1.0, 0.0], [-1.0, 1.0])
    make_balancer("PCGrad", {}, PAIR).backward(StepLosses.of(losses), Parameters([theta]))
    p1 = g1 - (g1 @ g2) / (g2 @ g2) * g2
    p2 = g2 - (g2 @ g1) / (g1 @ g1) * g1
    torch.testing.assert_close(theta.grad, (p1 + p2) / 2)

    for seed in range(5):
        rows = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed))
        rows[1] -= 2 * rows[0]
        assert (rows @ rows.T).min() < 0
        theta, losses = fixed_gradients(*rows.tolist())
        make_balancer("UPGrad", {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))
        assert (rows @ theta.grad).min() > -1e-3


@pytest.mark.parametrize("name", ["UPGrad", "PCGrad", "GradVac", "GradDrop", "ConFIG", "AlignedMTL", "MGDA", "IMTLG"])
def test_orthogonal_gradients_of_one_length_give_their_mean(name):
    theta, losses = fixed_gradients([2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0])
    make_balancer(name, {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))
    torch.testing.assert_close(theta.grad, torch.tensor([2 / 3, 2 / 3, 2 / 3, 0]), atol=1e-3, rtol=1e-3)


def test_shared_parameters_that_no_task_reaches_keep_no_gradient():
    used, unused = Parameter(torch.ones(2)), Parameter(torch.ones(3))
    wave = Parameter(torch.tensor([1 + 2j, 3 - 1j]))
    frozen = Parameter(torch.ones(1), requires_grad=False)
    losses = {"a": lambda: used.sum() + wave.abs().square().sum(), "b": lambda: 3 * used.sum()}
    make_balancer("Mean", {}, PAIR).backward(StepLosses.of(losses), Parameters([unused, used, wave, frozen]))
    assert unused.grad is None and frozen.grad is None
    torch.testing.assert_close(used.grad, torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(wave.grad, wave.detach() * 2 / 2)


@pytest.mark.parametrize("name", ["GradVac", "PCD", "ExcessMTL", "PCGrad", "uncertainty", "dwa"])
def test_state_round_trip_goes_on_alike(name):
    def play(balancer, seeds):
        gradients = []
        for seed in seeds:
            theta, _, losses, _, _ = quadratics("abc", seed)
            balancer.backward(StepLosses.of(losses), Parameters([theta]))
            gradients.append(theta.grad)
            balancer.epoch_end()
        return gradients

    whole = make_balancer(name, {}, TASKS)
    expected = play(whole, range(6))[3:]
    first = make_balancer(name, {}, TASKS)
    play(first, range(3))
    second = make_balancer(name, {}, TASKS)
    second.load_state_dict(first.state_dict())
    torch.manual_seed(99)
    assert all(torch.equal(x, y) for x, y in zip(play(second, range(3, 6)), expected, strict=True))


def test_random_aggregators_leave_the_global_generator_alone():
    theta, _, losses, _, _ = quadratics("abc")
    before = torch.get_rng_state()
    make_balancer("PCGrad", {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["equal", "uncertainty", "dwa", "UPGrad"])
def test_non_finite_loss_names_its_task(name):
    theta, _, losses, _, _ = quadratics("ab")
    losses["b"] = lambda: theta.sum() * math.nan
    with pytest.raises(NonFiniteLoss, match="the loss of task 'b' is nan"):
        make_balancer(name, {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))


def test_losses_and_rows_are_averaged_over_ranks():
    theta, _, losses, gradients, _ = quadratics("ab")
    seen = []

    def reduce(tensor):
        seen.append(tuple(tensor.shape))
        return tensor * 0.5

    values = make_balancer("Mean", {}, TASKS, reduce=reduce).backward(StepLosses.of(losses), Parameters([theta]))
    assert seen == [(2, 4), (2,)]
    torch.testing.assert_close(theta.grad, (gradients["a"] + gradients["b"]) / 4)
    assert values["a"] == pytest.approx(losses["a"]().item() / 2)


def test_clear_errors():
    with pytest.raises(UnknownName, match="unknown balancer 'upgrad'; known: UPGrad"):
        make_balancer("upgrad", {}, TASKS)
    with pytest.raises(UnknownName, match="known: equal"):
        make_balancer("equals", {}, TASKS)
    with pytest.raises(ValueError, match=r"options \{'speed': 3\} do not fit"):
        make_balancer("dwa", {"speed": 3}, TASKS)
    theta, _, losses, _, _ = quadratics("ab")
    with pytest.raises(ValueError, match="set tasks_per_step to 3"):
        make_balancer("GradVac", {}, TASKS).backward(StepLosses.of(losses), Parameters([theta]))


def test_a_missing_extra_is_one_line(monkeypatch):
    import torchjd._mixins

    monkeypatch.setattr(torchjd._mixins, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"'CAGrad' needs more than is installed.*torchjd\[cagrad\]"):
        make_balancer("CAGrad", {"c": 0.4}, TASKS)
