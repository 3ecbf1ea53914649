"""One backbone, many heads: routing, mixed batches, and who owns which parameter."""

import pytest
import torch
from torch import nn

from polyhead.model import MultiHeadModel, feature_rows, task_rows
from polyhead.registry import UnknownName
from polyhead.tasks import TaskSet, TaskSpec

ODD = ("a.b", "darcy/circle", "pop", "keys", "ä b,c", "a%2Eb", "training")


class TwoFeatures(nn.Module):
    """Features "low" (x W) and "high" (tanh of it), and the calls that were made."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
        self.seen = []

    def forward(self, inputs, needed):
        self.seen.append(
            (len(inputs), {name: None if rows is None else rows.tolist() for name, rows in needed.items()})
        )
        low = inputs @ self.weight
        whole = {"low": low, "high": torch.tanh(low)}
        return {name: whole[name] if rows is None else whole[name][rows] for name, rows in needed.items()}


def build(**reads: str) -> MultiHeadModel:
    torch.manual_seed(0)
    tasks = TaskSet(TaskSpec(name, "classification", feature, 2 + k) for k, (name, feature) in enumerate(reads.items()))
    heads = {task.name: nn.Linear(4, task.outputs, dtype=torch.float64) for task in tasks.values()}
    return MultiHeadModel(TwoFeatures(), heads, tasks).eval()


@pytest.fixture
def model():
    return build(a="low", b="high", c="low")


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "asked",
    [
        [("a", "b", "c")] * 5,
        [("a",), ("b",), ("c",), ("a", "b"), ("c", "b", "a")],
        [("b",), (), ("b",), (), ("b",)],
        [(), (), (), (), ("c",)],
        [("a", "a"), ("c", "a", "c"), (), ("b",), ("b", "b")],
    ],
)
def test_a_mixed_batch_gets_the_answers_of_single_tasks_with_one_encoding(model, inputs, asked):
    rows = task_rows(asked)
    with torch.no_grad():
        expected = {task: model(inputs, task) for task in model.tasks}
        model.backbone.seen.clear()
        answers = model.answer_rows(inputs, rows)
    assert len(model.backbone.seen) == 1
    assert set(answers) == {task for tasks in asked for task in tasks}
    for task, answer in answers.items():
        concerned = [index for index, tasks in enumerate(asked) if task in tasks]
        assert rows[task].tolist() == concerned
        torch.testing.assert_close(answer, expected[task][concerned], rtol=1e-12, atol=1e-12)


def test_the_backbone_is_asked_for_the_features_and_rows_that_are_needed_and_no_others(model, inputs):
    model.answer_rows(inputs, task_rows([("a",), (), ("b", "c"), ("c",), ()]))
    model(inputs, "b")
    assert model.backbone.seen == [(5, {"low": [0, 2, 3], "high": [2]}), (5, {"high": None})]


def test_a_stand_in_for_the_backbone_is_called_in_its_place(model, inputs):
    rows = task_rows([("a",)] * 5)
    answers = model.answer_rows(inputs, rows, encode=lambda x, needed: {"low": torch.ones(5, 4, dtype=torch.float64)})
    assert model.backbone.seen == []
    torch.testing.assert_close(answers["a"], model.head("a")(torch.ones(5, 4, dtype=torch.float64)))


def test_answer_runs_only_the_heads_asked_for(model, inputs):
    features = model.encode(inputs, {"low": None})
    answers = model.answer(features, ["c"])
    assert list(answers) == ["c"]
    torch.testing.assert_close(answers["c"], model(inputs, "c"))


def test_feature_rows_are_ascending_and_each_once():
    tasks = TaskSet([TaskSpec("a", "k", "x", 1), TaskSpec("b", "k", "x", 1), TaskSpec("c", "k", "y", 1)])
    rows = {"a": torch.tensor([1, 4]), "b": torch.tensor([0, 4]), "c": torch.tensor([3])}
    found = feature_rows(tasks, rows)
    assert {name: index.tolist() for name, index in found.items()} == {"x": [0, 1, 4], "y": [3]}


def test_tasks_of_any_name_have_their_own_head_in_the_state_dict():
    names = list(ODD)
    model = build(**dict.fromkeys(names, "low"))
    assert len({id(model.head(name)) for name in names}) == len(names)
    assert [model.head(name).out_features for name in names] == [2 + k for k in range(len(names))]
    keys = [key for key in model.state_dict() if key.startswith("heads.")]
    assert len(keys) == 2 * len(names) and all(key.count(".") == 2 for key in keys)
    again = build(**dict.fromkeys(names, "low"))
    again.load_state_dict(model.state_dict())


def test_parameters_belong_to_the_shared_part_or_to_one_head(model):
    shared = {id(parameter) for parameter in model.shared_parameters()}
    owned = [{id(parameter) for parameter in model.head_parameters(task)} for task in model.tasks]
    assert shared == {id(model.backbone.weight)}
    assert shared.union(*owned) == {id(parameter) for parameter in model.parameters()}
    assert sum(map(len, owned)) + len(shared) == len(list(model.parameters()))


def test_a_wrong_set_of_heads_and_an_unknown_task_are_named(model, inputs):
    with pytest.raises(ValueError, match=r"differ.*'b'"):
        MultiHeadModel(TwoFeatures(), {"a": nn.Identity()}, model.tasks.subset(["a", "b"]))
    for ask in (
        lambda: model(inputs, "d"),
        lambda: model.answer_rows(inputs, {"d": torch.tensor([0])}),
        lambda: model.head_parameters("d"),
    ):
        with pytest.raises(UnknownName, match="'d'"):
            ask()
