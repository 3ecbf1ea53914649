from __future__ import annotations

import os

import pytest

from polyhead.batch.states import settled_state, state_of

MILLISECOND, SECOND = 10**6, 10**9
CHANGED = 1_700_000_000 * SECOND + 123 * MILLISECOND


@pytest.mark.parametrize(
    ("changed", "later", "sure"),
    [
        (CHANGED, 0, False),
        (CHANGED, 20 * MILLISECOND, False),
        (CHANGED, 60 * MILLISECOND, True),
        (CHANGED, -SECOND, False),  # a clock that is ahead
        (CHANGED // SECOND * SECOND, SECOND, False),  # a file system that counts whole seconds
        (CHANGED // SECOND * SECOND, 3 * SECOND, True),
    ],
)
def test_a_state_counts_only_when_a_later_change_would_show(tmp_path, changed, later, sure):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    os.utime(path, ns=(changed, changed))
    assert settled_state({"x": path}, changed + later) == (state_of({"x": path}) if sure else None)


def test_a_state_knows_size_time_inode_and_name(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    os.utime(path, ns=(CHANGED, CHANGED))
    states = [state_of({"x": path}), state_of({"y": path})]
    os.utime(path, ns=(CHANGED + 1, CHANGED + 1))
    states.append(state_of({"x": path}))
    path.write_bytes(b"abcd")
    os.utime(path, ns=(CHANGED, CHANGED))
    states.append(state_of({"x": path}))
    (tmp_path / "z").write_bytes(b"abc")
    os.utime(tmp_path / "z", ns=(CHANGED, CHANGED))
    states.append(state_of({"x": tmp_path / "z"}))
    assert len(set(states)) == 5
