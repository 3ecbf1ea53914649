"""Snapshots: exact to the bit, damage told, the last two kept."""

import logging
import math
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from polyhead.runs.snapshots import latest_snapshot, save_snapshot


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b) and [type(k) for k in a] == [type(k) for k in b]
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape
        assert bytes(a.contiguous().flatten().view(torch.uint8)) == bytes(b.contiguous().flatten().view(torch.uint8))
    elif isinstance(a, np.ndarray | np.generic):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    else:
        assert repr(a) == repr(b)


def test_snapshot_round_trip_is_exact(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    shared = torch.randn(3)
    state = {
        "model": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "floats": [0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308],
        "numbers": [True, False, 1, 2**80, None, "text \u00a0 {tuple}"],
        "keys": {1: "a", "1": "b", (2, "x"): None, True and "tuple": {"dict": [], "tensor": "t0"}},
        "empty": [torch.zeros(0), torch.zeros(2, 0, 3), [], {}, ()],
        "tied": (shared, shared, shared[:2]),
        "dtypes": [
            torch.tensor([1.0, math.nan, -0.0]).to(dtype) for dtype in (torch.bfloat16, torch.half, torch.double)
        ],
        "kinds": [torch.tensor(True), torch.tensor(3, dtype=torch.uint8), torch.tensor([1 + 2j, 3j]), torch.eye(3).T],
        "arrays": [np.float32(0.1), np.int64(5), np.zeros((0, 2)), np.asfortranarray(np.arange(6.0).reshape(2, 3))],
    }
    save_snapshot(tmp_path / "s", 12, state)
    found = latest_snapshot(tmp_path / "s")
    assert found is not None and found[0] == 12
    assert_same(found[1], state)
    with pytest.raises(ValueError, match=r"state\.a\[0\] cannot be saved: it is a set"):
        save_snapshot(tmp_path / "s", 13, {"a": [{1}]})
    assert latest_snapshot(tmp_path / "s")[0] == 12


def test_damaged_snapshots_are_passed_over(tmp_path, caplog):
    folder = tmp_path / "s"
    assert latest_snapshot(folder) is None
    for step in (5, 10, 15):
        save_snapshot(folder, step, {"x": torch.full((100,), float(step)), "step": step})
    assert sorted(path.name for path in folder.iterdir()) == ["step-0000000010", "step-0000000015"]
    (folder / f".step-0000000020.{os.getpid()}.tmp").mkdir()
    assert latest_snapshot(folder)[0] == 15 and not caplog.records

    tensors = folder / "step-0000000015" / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        step, state = latest_snapshot(folder)
    assert step == 10 and state["step"] == 10 and torch.equal(state["x"], torch.full((100,), 10.0))
    assert (
        "cannot be read and is passed over: step-0000000015: state.safetensors does not match its hash" in caplog.text
    )

    (folder / "step-0000000010" / "state.json").write_text('{"format": 1, "st')
    with pytest.raises(ValueError) as caught:
        latest_snapshot(folder)
    said = str(caught.value)
    assert f"none of the snapshots in {folder} can be read (step-0000000015: state.safetensors does not match" in said
    assert "step-0000000010: Unterminated string" in said and said.endswith("overwriting the run or in another folder")
    assert "\n" not in said
    save_snapshot(folder, 15, {"x": 1})
    assert latest_snapshot(folder) == (15, {"x": 1})
    assert not list(folder.glob(".*"))


def test_the_snapshots_that_were_written_last_are_kept(tmp_path):
    # A training that had to go on from an earlier snapshot writes lower numbers than those that lie there.
    for step in (50, 55, 5, 10):
        save_snapshot(tmp_path, step, {"step": step})
        time.sleep(0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000000005", "step-0000000010"]
    assert latest_snapshot(tmp_path)[0] == 10


def test_only_what_dead_processes_left_is_swept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        pass
    mine, dead, alive = (f".step-0000000001.{number}.tmp" for number in (os.getpid(), gone.pid, os.getppid()))
    for name in (mine, dead, alive):
        (tmp_path / name).mkdir()
    save_snapshot(tmp_path, 2, {"x": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive, "step-0000000002"]
