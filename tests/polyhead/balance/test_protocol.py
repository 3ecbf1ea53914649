"""The losses of a step: groups, one encoding for each, perturbed parameters, and values that are numbers."""

import math

import pytest
import torch
from torch.nn import Parameter

from polyhead.balance import NonFiniteLoss, StepLosses
from polyhead.balance.protocol import finite_values


def numbers(*names):
    return {name: lambda name=name: torch.tensor(float(ord(name))) for name in names}


def test_groups_hold_every_task_once_in_the_order_of_the_step():
    losses = StepLosses(numbers("d", "c", "b", "a"), {("a", "d"): lambda: {"a": torch.ones(()), "d": torch.zeros(())}})
    assert losses.groups() == [("a", "d"), ("c",), ("b",)]
    assert list(losses) == ["d", "c", "b", "a"] and len(losses) == 4
    assert {task: loss.item() for task, loss in losses.together(("a", "d")).items()} == {"a": 1.0, "d": 0.0}
    assert losses.together(("c",))["c"].item() == ord("c")
    assert StepLosses.of(losses) is losses
    assert StepLosses.of(numbers("x")).groups() == [("x",)]


@pytest.mark.parametrize("groups", [[("a", "z")], [("a", "b"), ("b", "c")]])
def test_groups_of_strange_or_repeated_tasks_are_refused(groups):
    with pytest.raises(ValueError, match="groups must hold tasks of the step, each once"):
        StepLosses(numbers("a", "b", "c"), dict.fromkeys(groups, dict))


def test_perturbed_parameters_come_back_bit_for_bit():
    one, other = Parameter(torch.tensor([0.1, 1e8])), Parameter(torch.tensor([1 + 2j]))
    before = [one.detach().clone(), other.detach().clone()]
    losses = StepLosses({"a": lambda: one.sum() + other.abs().sum()})
    with losses.at({one: torch.tensor([0.3, 1e-3]), other: torch.tensor([2j])}):
        assert one[0].item() == pytest.approx(0.4) and other.item() == 1 + 4j
        inside = losses["a"]()
    assert torch.equal(one, before[0]) and torch.equal(other, before[1])
    assert inside.item() != losses["a"]().item()
    with pytest.raises(KeyError), losses.at({one: torch.ones(2)}):
        raise KeyError
    assert torch.equal(one, before[0])


def test_values_are_numbers_and_finite():
    assert finite_values({"a": torch.tensor(1.5), "b": torch.tensor(2.0, dtype=torch.bfloat16)}, None) == {
        "a": 1.5,
        "b": 2.0,
    }
    assert finite_values({"a": torch.tensor(1.5)}, lambda values: values * 2) == {"a": 3.0}
    for value in (math.nan, math.inf):
        with pytest.raises(NonFiniteLoss, match=f"the loss of task 'b' is {value}") as caught:
            finite_values({"a": torch.tensor(1.0), "b": torch.tensor(value)}, None)
        assert caught.value.task == "b"
