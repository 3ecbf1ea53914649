"""Averages by their closed forms: real and complex, with warm-up, exchanged and given back."""

import pytest
import torch
from torch import nn

from polyhead.training.average import Average


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.kernel = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("replaced", torch.zeros(1))


def move(model, value):
    with torch.no_grad():
        model.weight.fill_(value)
        model.kernel.fill_(value * 1j)
        model.phase.fill_(value + 2j * value)
        model.count += 1
    model.replaced = torch.full((1,), float(value))  # a new tensor in the old one's place


@pytest.mark.parametrize("warmup", [False, True])
def test_averages_have_their_closed_form(warmup):
    model = Mixed()
    average = Average(model, 0.9, warmup=warmup)
    expected = None
    for step, value in enumerate([1.0, 4.0, -2.0, 7.0, 3.0]):
        move(model, value)
        average.update()
        decay = min(0.9, 1 - (1 + step) ** (-2 / 3)) if warmup else 0.9
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert not warmup or expected != pytest.approx(0.9**4 + 0.1, abs=0.1)
    own = model.weight
    with average.applied():
        assert model.weight is own
        torch.testing.assert_close(model.weight.detach(), torch.full((3,), expected))
        torch.testing.assert_close(model.kernel.detach(), torch.full((2,), expected * 1j))
        torch.testing.assert_close(model.phase, torch.full((2,), expected * (1 + 2j)))
        torch.testing.assert_close(model.replaced, torch.tensor([expected]))
        assert model.count == 5
        state = average.state_dict()
    assert torch.equal(model.weight.detach(), torch.full((3,), 3.0)) and model.replaced.item() == 3.0
    state = average.state_dict()
    other = Average(Mixed(), 0.9, warmup=warmup)
    other.load_state_dict(state)
    assert other.state_dict()["updates"] == 5
    for mine, theirs in zip(other.state_dict()["averages"], state["averages"], strict=True):
        assert torch.equal(mine, theirs)


def test_an_error_within_gives_the_own_weights_back():
    model = Mixed()
    average = Average(model, 0.5)
    move(model, 1.0)
    average.update()
    move(model, 2.0)
    with pytest.raises(KeyError), average.applied():
        assert model.weight[0] == 1.0
        raise KeyError
    assert model.weight[0] == 2.0


def test_infinities_of_buffers_do_not_become_nan():
    """A causal mask of -inf, and the bounds of an observer, which are infinite until the first step."""
    model = nn.Linear(1, 1)
    mask = torch.full((3, 3), -torch.inf).triu(1)
    model.register_buffer("mask", mask.clone())
    model.register_buffer("lowest", torch.tensor(torch.inf))
    average = Average(model, 0.9)
    for lowest in (3.0, 2.0):
        model.lowest.fill_(lowest)
        average.update()
    with average.applied():
        assert torch.equal(model.mask, mask) and model.lowest.item() == 2.0


def test_a_buffer_that_grows_is_averaged_anew():
    """As a cache of positions does, that a longer sequence needs."""
    model = nn.Linear(1, 1)
    model.register_buffer("cache", torch.zeros(2), persistent=False)
    average = Average(model, 0.5)
    average.update()
    model.cache = torch.tensor([1.0, 2.0, 3.0])
    average.update()
    model.cache = torch.tensor([3.0, 2.0, 1.0])
    average.update()
    with average.applied():
        assert model.cache.tolist() == [2.0, 2.0, 2.0]
        model.cache = torch.zeros(4)  # within a validation, too
    assert model.cache.tolist() == [3.0, 2.0, 1.0]
    other = Average(nn.Linear(1, 1), 0.5)
    with pytest.raises(ValueError):
        other.load_state_dict(average.state_dict())
    small = nn.Linear(1, 1)
    small.register_buffer("cache", torch.zeros(2), persistent=False)
    other = Average(small, 0.5)
    other.load_state_dict(average.state_dict())
    assert [each.shape for each in other.state_dict()["averages"]] == [
        each.shape for each in average.state_dict()["averages"]
    ]


def test_a_conjugated_buffer_is_averaged():
    """A conjugate is a view that PyTorch does not make real; a module may keep one of its maps."""
    model = nn.Linear(1, 1)
    model.register_buffer("maps", torch.tensor([1 + 1j, 2j]))
    average = Average(model, 0.5)
    for factor in (1.0, 3.0):
        model.maps = (factor * torch.tensor([1 + 1j, 2j])).conj()
        average.update()
    with average.applied():
        assert model.maps.tolist() == [2 - 2j, -4j]
