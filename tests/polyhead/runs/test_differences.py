"""Where settings differ, in words."""

import pytest

from polyhead.runs.differences import differences, refuse_differences

TASKS = [{"name": "a", "outputs": 2, "labels": ["x", "y"]}, {"name": "b", "outputs": 1}]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1, "workers": 0}}, {"a": {"b": 2, "workers": 4}}, ["a.b (was 1, now 2)"]),
        ({"a": 1}, {"b": 1}, ["a (only in the run)", "b (not in the run)"]),
        ({"betas": (0.9, 0.999)}, {"betas": [0.9, 0.99]}, ["betas[1] (was 0.999, now 0.99)"]),
        ({"pieces": [[1, 0.5]]}, {"pieces": [[1, 0.5], [9, 0.1]]}, ["pieces[1] (not in the run)"]),
        ({"t": TASKS}, {"t": TASKS[1:]}, ["t[a] (only in the run)"]),
        ({"t": TASKS}, {"t": [TASKS[0] | {"outputs": 3}, TASKS[1]]}, ["t[a].outputs (was 2, now 3)"]),
        ({"t": TASKS}, {"t": [TASKS[0] | {"labels": ["x", "z"]}, TASKS[1]]}, ['t[a].labels[1] (was "y", now "z")']),
        ({"t": TASKS}, {"t": TASKS[::-1]}, ['t (was in the order ["a", "b"], now ["b", "a"])']),
        ({"t": [TASKS[0], TASKS[0]]}, {"t": [TASKS[0], TASKS[1]]}, ['t[1].name (was "a", now "b")']),
        ({"t": [1, 2]}, {"t": {"a": 1}}, ['t (was [1, 2], now {"a": 1})']),
    ],
)
def test_differences(old, new, lines):
    assert differences(old, new)[: len(lines)] == lines and bool(differences(old, new)) == bool(lines)


def test_a_message_tells_a_few():
    refuse_differences("RUN", [])
    with pytest.raises(ValueError, match=r"^RUN cannot be resumed, these differ: 0; 1; 2; 3; 4; 5; 6; 7; and 2 more$"):
        refuse_differences("RUN", [str(number) for number in range(10)])
