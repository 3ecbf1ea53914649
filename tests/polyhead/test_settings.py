"""Changed settings by value: names that fit once, sections, and settings that are mappings by themselves."""

import pytest
from pydantic import BaseModel

from polyhead.settings import changed, validated, with_defaults
from polyhead.training.settings import MAPPINGS

VALUES = {"preset": "small", "training": {"batch_size": 16, "epochs": 3, "balancer_options": {}}, "data": {"seed": 1}}


def training(**values):
    return VALUES | {"training": VALUES["training"] | values}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epochs": 5}, training(epochs=5)),
        ({"training.epochs": 5, "seed": 2}, training(epochs=5) | {"data": {"seed": 2}}),
        ({"training": {"epochs": 5}}, training(epochs=5)),
        ({"data": None}, VALUES | {"data": None}),
        ({"batch_size": {"a": 4}}, training(batch_size={"a": 4})),
        ({"training.batch_size": {"a": 4}}, training(batch_size={"a": 4})),
        ({"training": {"batch_size": {"a": 4}}}, training(batch_size={"a": 4})),
        ({"batch_size": {"a": 4}, "training.batch_size": {"b": 2}}, training(batch_size={"b": 2})),
        ({"batch_size": {"a": 4}, "training": {"batch_size": 8}}, training(batch_size=8)),
        ({"balancer_options": {"temperature": 2}}, training(balancer_options={"temperature": 2})),
    ],
)
def test_changes_by_name(changes, expected):
    before = {key: dict(value) if isinstance(value, dict) else value for key, value in VALUES.items()}
    assert changed(VALUES, changes, whole=MAPPINGS) == expected
    assert before == VALUES


def test_names_that_fit_none_or_several_are_told():
    with pytest.raises(ValueError, match="unknown setting 'epoch'; near: epochs"):
        changed(VALUES, {"epoch": 3})
    with pytest.raises(ValueError, match=r"the setting 'seed' fits training\.seed and data\.seed: name one"):
        changed(training(seed=0), {"seed": 3})


class Small(BaseModel):
    epochs: int = 1
    rate: float = 0.5


def test_values_that_do_not_fit_are_one_line_and_older_settings_get_defaults():
    with pytest.raises(ValueError, match=r"^settings that do not fit: epochs: Input should be .*, got 'x'$"):
        validated(Small, {"epochs": "x"})
    assert with_defaults(Small, {"epochs": 3}) == {"epochs": 3, "rate": 0.5}
    assert with_defaults(Small, {"epochs": "x"}) == {"epochs": "x"}
