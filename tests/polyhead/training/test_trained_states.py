"""What is trained and what is frozen, by name: tied weights have two names, buffers that are not saved none."""

import torch
from torch import nn

from polyhead.training.states import frozen_state, load_trained_state, trained_state


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(4, 3)
        self.free = nn.Linear(3, 3)
        self.answer = nn.Linear(3, 4, bias=False)
        self.answer.weight = self.words.weight
        self.register_buffer("kept", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)


def test_a_frozen_weight_of_two_names_is_frozen_under_both():
    model = Tied()
    model.words.weight.requires_grad_(False)
    assert set(frozen_state(model)) == {"words.weight", "answer.weight"}
    assert set(trained_state(model)) == {"free.weight", "free.bias", "kept"}


def test_what_was_trained_is_loaded_and_the_rest_stays():
    model, other = Tied(), Tied()
    model.words.weight.requires_grad_(False), other.words.weight.requires_grad_(False)
    frozen, scratch = model.words.weight.clone(), model.scratch
    load_trained_state(model, {name: value + 1 for name, value in trained_state(other).items()})
    assert torch.equal(model.words.weight, frozen) and model.answer.weight is model.words.weight
    assert torch.equal(model.free.weight, other.free.weight + 1) and model.kept.item() == 1.0
    assert model.scratch is scratch
    trained = Tied()
    assert frozen_state(trained) == {} and len(trained_state(trained)) == 5
