"""Run folders and snapshots: round trips to the bit, and every kind of damage named in one line."""

import json
import logging
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from polyhead.runs import Run, RunInfo
from polyhead.snapshots import latest_snapshot, save_snapshot
from polyhead.tasks import TaskSet, TaskSpec

TASKS = TaskSet(
    [TaskSpec("organ", "segmentation", "fpn", 3, labels=("none", "left", "right")), TaskSpec("x", "k", "f", 1)]
)


def make_info(**changes):
    fields = {"application": "demo", "system": "toy", "preset": "tiny", "tasks": TASKS.to_json()}
    return RunInfo(**(fields | changes))


def test_create_open_round_trip(tmp_path):
    info = make_info(configuration={"train": {"epochs": 3}}, data={"rows": 7}, label_maps={"organ": {"1": "left"}})
    Run.create(tmp_path / "run", info)
    run = Run.open(tmp_path / "run")
    assert run.info == info
    assert run.info.task_set["organ"] == TASKS["organ"] and list(run.info.task_set) == ["organ", "x"]
    assert set(run.info.versions) == {"polyhead", "torch", "python"}
    assert not run.info.finished and not run.has_weights
    run.finish({"score": 0.5})
    assert Run.open(tmp_path / "run").info.metrics == {"score": 0.5}
    assert Run.open(tmp_path / "run").info.finished
    with pytest.raises(ValueError, match="JSON cannot"):
        run.finish({"score": math.nan})
    assert Run.open(tmp_path / "run").info.metrics == {"score": 0.5}


def test_reading_a_run_needs_no_torch(tmp_path):
    Run.create(tmp_path / "run", make_info())
    code = "import sys; from polyhead.runs import Run; Run.open(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)


def test_create_never_destroys_by_accident(tmp_path):
    run = Run.create(tmp_path / "run", make_info())
    run.append_metrics({"step": 1})
    (run.path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="holds a run already"):
        Run.create(run.path, make_info())
    again = Run.create(run.path, make_info(preset="other"), overwrite=True)
    assert again.metrics() == [] and (run.path / "mine.txt").read_text() == "keep"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="no run"):
        Run.create(tmp_path / "photos", make_info(), overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        Run.create(run.path / "mine.txt", make_info(), overwrite=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a run: it has no run.json"),
        ('{"format": 1', "run.json is damaged"),
        ("[]", "run.json is damaged"),
        ('{"format": 2, "new": 1}', "run format 2; this polyhead reads up to 1"),
        (json.dumps({"application": "demo"}), "run.json is damaged: system"),
        (json.dumps(make_info().model_dump() | {"tasks": [{"name": "x"}]}), "run.json is damaged: tasks"),
    ],
)
def test_open_says_what_is_wrong(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value) or "is damaged" in str(caught.value)


def test_resume_names_what_differs(tmp_path):
    info = make_info(configuration={"train": {"epochs": 3, "workers": 0}, "size": 64}, data={"hash": "a", "rows": 5})
    Run.create(tmp_path / "run", info)
    same = info.model_copy(update={"configuration": {"train": {"epochs": 3, "workers": 4}, "size": 64}})
    assert Run.resume(tmp_path / "run", same).info == info
    other = info.model_copy(
        update={"configuration": {"train": {"epochs": 4}, "new": 1}, "data": {"hash": "b", "rows": 5}}
    )
    with pytest.raises(ValueError) as caught:
        Run.resume(tmp_path / "run", other)
    for part in (
        "train.epochs (was 3, now 4)",
        "size (only in the run)",
        "new (not in",
        'data.hash (was "a", now "b")',
    ):
        assert part in str(caught.value)
    assert "workers" not in str(caught.value) and "rows" not in str(caught.value)


def test_weights_round_trip(tmp_path):
    run = Run.create(tmp_path / "run", make_info())
    with pytest.raises(ValueError, match="no weights yet"):
        run.load_weights()
    base = torch.arange(24.0)
    state = {
        "plain": torch.tensor([1.0, -0.0, math.inf]),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": torch.tensor([1.5, 3.25], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "empty2": torch.zeros(0, 3),
        "view": base[:12],
        "overlap": base[6:18],
    }
    state["tied"] = state["plain"]
    run.save_weights(state)
    loaded = run.load_weights()
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype and torch.equal(loaded[name], tensor)
    first = run.weights_hash()
    run.save_weights(state)
    assert run.weights_hash() == first and len(first) == 64
    run.save_weights(state | {"count": torch.tensor(8)})
    assert run.weights_hash() != first
    run.weights.write_bytes(run.weights.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        run.load_weights()
    assert sorted(path.name for path in run.path.iterdir()) == ["model.safetensors", "run.json"]


def test_metrics_survive_a_torn_line(tmp_path):
    run = Run.create(tmp_path / "run", make_info())
    assert run.metrics() == []
    for step in (1, 2, 3):
        run.append_metrics({"step": step, "loss": 0.1 * step})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes() + b'{"step": 4, "lo')
    again = Run.open(run.path)
    assert [line["step"] for line in again.metrics()] == [1, 2, 3]
    again.append_metrics({"step": 4})
    assert [line["step"] for line in again.metrics()] == [1, 2, 3, 4]
    assert again.metrics()[2]["loss"] == 0.1 * 3
    again.truncate_metrics(2)
    assert [line["step"] for line in again.metrics()] == [1, 2]
    with pytest.raises(ValueError, match="not JSON compliant"):
        again.append_metrics({"step": 3, "loss": math.inf})
    file.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match="damaged at line 2"):
        again.metrics()


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
    (folder / ".step-0000000020.1.tmp").mkdir()
    assert latest_snapshot(folder)[0] == 15 and not caplog.records

    tensors = folder / "step-0000000015" / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        step, state = latest_snapshot(folder)
    assert step == 10 and state["step"] == 10 and torch.equal(state["x"], torch.full((100,), 10.0))
    assert "step-0000000015 is damaged and passed over: state.safetensors does not match its hash" in caplog.text

    (folder / "step-0000000010" / "state.json").write_text('{"format": 1, "st')
    assert latest_snapshot(folder) is None
    save_snapshot(folder, 15, {"x": 1})
    assert latest_snapshot(folder) == (15, {"x": 1})
    assert not list(folder.glob(".*"))
