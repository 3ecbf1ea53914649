"""Models that begin with the weights of another."""

import pytest
import torch
from torch import nn

from polyhead.runs.run import Run, RunInfo
from polyhead.training.start import start_from


def make_model():
    return nn.ModuleDict({"body": nn.Linear(3, 2), "head": nn.Linear(2, 1)})


def filled(**shapes):
    return {
        name.replace("_", "."): torch.full(shape, float(number)) for number, (name, shape) in enumerate(shapes.items())
    }


def test_a_run_gives_its_weights(tmp_path):
    given = make_model()
    with Run.begin(tmp_path / "run", RunInfo(application="a", system="b", preset="c", tasks=[])) as run:
        run.save_frozen(given["body"].state_dict(prefix="body."))
        run.save_weights(given["head"].state_dict(prefix="head."))
    for source in (run, run.path, str(run.path)):
        model = make_model().double()
        found = start_from(model, source)
        assert str(found) == "4 weights loaded" and found.whole
        assert torch.equal(model["body"].weight, given["body"].weight.double())


def test_renamed_parts():
    model = make_model()
    state = filled(trunk_weight=(2, 3), trunk_bias=(2,), head_old_weight=(1, 2), head_old_bias=(1,))
    found = start_from(model, state, rename=[("trunk", "body"), ("head", "unused"), ("head.old", "head")])
    assert found.loaded == ("body.weight", "body.bias", "head.weight", "head.bias")
    assert model["body"].bias.tolist() == [1, 1] and model["head"].weight.tolist() == [[2, 2]]
    start_from(model["body"], {"weight": torch.zeros(2, 3), "bias": torch.ones(2)}, rename=[("", "")])
    assert model["body"].weight.abs().sum() == 0
    start_from(model, filled(weight=(2, 3), bias=(2,)), rename=[("", "body.")], strict=False)
    assert model["body"].bias.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"two weights would be called body\.weight"):
        start_from(model, filled(a_weight=(2, 3), b_weight=(2, 3)), rename=[("a", "body"), ("b", "body")])


def test_what_does_not_fit():
    model = make_model()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    state = filled(body_weight=(2, 4), body_bias=(2,), other=(1,))
    line = "2 missing: head.weight, head.bias; 1 unexpected: other; 1 of another shape: body.weight ((2, 4) for (2, 3))"
    with pytest.raises(ValueError) as caught:
        start_from(model, state)
    assert str(caught.value) == f"the weights do not fit the model: {line}"
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    found = start_from(model, state, strict=False)
    assert str(found) == f"1 weights loaded; {line}" and found.loaded == ("body.bias",)
    assert model["body"].bias.tolist() == [1, 1] and torch.equal(model["head"].weight, before["head.weight"])
