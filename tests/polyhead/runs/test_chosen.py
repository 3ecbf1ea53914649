"""Validation rows choose among epochs only where there are several and they were scored."""

from typing import Any

import pytest

from polyhead.runs.chosen import chosen_epoch
from polyhead.runs.info import RunInfo


def info(metrics: dict[str, Any], every: int = 1) -> RunInfo:
    configuration = {"training": {"validate_every": every}}
    return RunInfo(application="a", system="s", preset="p", tasks=[], configuration=configuration, metrics=metrics)


def test_a_choice_among_epochs_is_told():
    words = chosen_epoch(info({"score": 0.25, "epoch": 3, "epochs_done": 9}))
    assert words is not None and "3 of 9" in words and "optimistic" in words


@pytest.mark.parametrize(
    ("metrics", "every"),
    [
        ({}, 1),
        ({"epoch": 9, "epochs_done": 9}, 1),  # trained without validation
        ({"score": 0.25, "epoch": 1, "epochs_done": 1}, 1),
        ({"score": 0.25, "epoch": 5, "epochs_done": 5}, 5),
    ],
)
def test_where_there_was_no_choice_nothing_is_told(metrics, every):
    assert chosen_epoch(info(metrics, every)) is None
