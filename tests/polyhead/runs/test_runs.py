"""Run folders: begun once, locked while trained, round trips to the bit, every kind of damage named in one line."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel
from torch import nn

import polyhead
from polyhead.runs.run import Run, RunInfo, RunInUse
from polyhead.runs.snapshots import save_snapshot
from polyhead.tasks import TaskSet, TaskSpec

TASKS = TaskSet(
    [TaskSpec("organ", "segmentation", "fpn", 3, labels=("none", "left", "right")), TaskSpec("x", "k", "f", 1)]
)


def make_info(**changes):
    fields = {"application": "demo", "system": "toy", "preset": "tiny", "tasks": TASKS.to_json()}
    return RunInfo(**(fields | changes))


@pytest.mark.parametrize("choice", [{}, {"overwrite": True}, {"resume": True}])
def test_the_results_of_a_batch_are_never_taken_for_a_run(tmp_path, choice):
    content = '{"software": {"name": "polyhead"}, "model_hash": "00", "counts": {"ok": 3}}'
    (tmp_path / "batch.json").write_text(content)
    with pytest.raises(ValueError, match=r"holds the results of a batch"):
        Run.begin(tmp_path, make_info(), **choice)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("batch.json", content)]


def test_create_open_round_trip(tmp_path):
    info = make_info(configuration={"train": {"epochs": 3}}, data={"rows": 7}, label_maps={"organ": {"1": "left"}})
    Run.begin(tmp_path / "run", info)
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


def test_a_run_names_the_commit_of_the_checkout():
    checkout = Path(polyhead.__file__).parents[1]
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    assert make_info().git_commit == (commit if (checkout / ".git").exists() else None)


def test_reading_a_run_needs_no_torch(tmp_path):
    Run.begin(tmp_path / "run", make_info())
    code = "import sys; from polyhead.runs.run import Run; Run.open(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True)


def test_begin_never_destroys_by_accident(tmp_path):
    with Run.begin(tmp_path / "run", make_info()) as run:
        run.append_metrics({"step": 1})
        save_snapshot(run.snapshots, 1, {"x": 1})
    (run.path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="holds a run already") as refused:
        Run.begin(run.path, make_info())
    assert refused.tb is not None, "whoever keeps the error keeps its frames, and so what they hold: no lock"
    with Run.begin(run.path, make_info(preset="other"), overwrite=True) as again:
        assert again.metrics() == [] and (run.path / "mine.txt").read_text() == "keep"
        assert not again.snapshots.exists() and not again.resumed
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="no run"):
        Run.begin(tmp_path / "photos", make_info(), overwrite=True)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]
    with pytest.raises(ValueError, match="is a file"):
        Run.begin(run.path / "mine.txt", make_info(), overwrite=True)
    with pytest.raises(ValueError, match="is not a run"):
        Run.begin(tmp_path / "nowhere", make_info(), resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_hidden_files_make_no_folder_full(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    with Run.begin(tmp_path, make_info()) as run:
        assert run.info.preset == "tiny"


def test_an_overwriting_that_is_killed_leaves_a_run(tmp_path, monkeypatch):
    with Run.begin(tmp_path / "run", make_info()) as run:
        run.append_metrics({"step": 1})
        save_snapshot(run.snapshots, 1, {"x": 1})
    removed = []

    def killed(path, *_):
        removed.append(path.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        Run.begin(run.path, make_info(), overwrite=True)
    assert removed == ["snapshots"] and Run.open(run.path).metrics() == [{"step": 1}]
    monkeypatch.undo()
    with Run.begin(run.path, make_info(), overwrite=True) as again:
        assert again.metrics() == []


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    Run.begin(tmp_path, make_info()).close()
    (tmp_path / ".polyhead-tmp-1-0-model.safetensors").write_bytes(b"half")
    Run.begin(tmp_path, make_info(), resume=True).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "run.json"]


def begins(path, *options):
    """What another process is told when it begins the run."""
    code = (
        "import sys; from polyhead.runs.run import Run, RunInfo\n"
        "info = RunInfo.model_validate_json(sys.argv[2])\n"
        "try: Run.begin(sys.argv[1], info, **dict.fromkeys(sys.argv[3:], True)); print('begun')\n"
        "except ValueError as error: print(f'{type(error).__name__}: {error}')\n"
    )
    command = [sys.executable, "-c", code, str(path), make_info().model_dump_json(), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_is_locked_while_it_is_trained(tmp_path):
    path = tmp_path / "run"
    in_use = f"RunInUse: another training is writing to {path}; wait for it, or name another folder"
    run = Run.begin(path, make_info())
    for options in ((), ("resume",), ("overwrite",)):
        assert begins(path, *options) == in_use
    with pytest.raises(RunInUse, match="another training is writing"):
        Run.begin(path, make_info(), resume=True)
    run.finish({})
    assert begins(path, "resume") == in_use, "what is trained may be changed once more after its end"
    run.close()
    assert begins(path, "resume") == "begun"
    with Run.begin(path, make_info(), resume=True) as again:
        assert again.resumed and again.info.finished
    del run
    held = Run.begin(path, make_info(), overwrite=True)
    assert begins(path, "resume") == in_use
    del held
    assert begins(path, "resume") == "begun"


@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # other tests load JAX
def test_a_forked_loader_does_not_hold_the_lock(tmp_path):
    run = Run.begin(tmp_path / "run", make_info())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0)
    run.close()
    assert begins(run.path, "resume") == "begun"
    os.write(write, b"x")
    os.waitpid(child, 0)


def test_finish_drops_the_snapshots(tmp_path):
    with Run.begin(tmp_path / "run", make_info()) as run:
        save_snapshot(run.snapshots, 1, {"x": 1})
        run.finish({"score": 0.5})
        assert not run.snapshots.exists()
        save_snapshot(run.snapshots, 2, {"x": 1})
    with Run.begin(run.path, make_info(), resume=True) as again:
        assert not again.snapshots.exists(), "a kill may have come between"


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
    ids=["none", "cut short", "a list", "a later format", "no system", "damaged tasks"],
)
def test_open_says_what_is_wrong(tmp_path, text, message):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Run.open(tmp_path)
    assert "\n" not in str(caught.value) or "is damaged" in str(caught.value)


def test_resume_names_what_differs(tmp_path):
    info = make_info(configuration={"train": {"epochs": 3, "workers": 0}, "size": 64}, data={"hash": "a", "rows": 5})
    Run.begin(tmp_path / "run", info).close()
    same = info.model_copy(update={"configuration": {"train": {"epochs": 3, "workers": 4}, "size": 64}})
    with Run.begin(tmp_path / "run", same, resume=True) as run:
        assert run.info == info
    other = info.model_copy(
        update={"configuration": {"train": {"epochs": 4}, "new": 1}, "data": {"hash": "b", "rows": 5}}
    )
    with pytest.raises(ValueError) as caught:
        Run.begin(tmp_path / "run", other, resume=True)
    for part in (
        "train.epochs (was 3, now 4)",
        "size (only in the run)",
        "new (not in",
        'data.hash (was "a", now "b")',
    ):
        assert part in str(caught.value)
    assert "workers" not in str(caught.value) and "rows" not in str(caught.value)


class Settings(BaseModel):
    size: int = 64
    colour: str = "grey"


def test_a_new_setting_with_its_default_is_no_difference(tmp_path):
    old = make_info(configuration={"size": 32})
    del (tasks := json.loads(json.dumps(old.tasks)))[0]["lr_scale"]
    Run.begin(tmp_path / "run", old.model_copy(update={"tasks": tasks})).close()
    new = make_info(configuration=Settings(size=32).model_dump())
    with Run.begin(tmp_path / "run", new, resume=True, configuration=Settings) as run:
        assert run.resumed
    other = make_info(configuration=Settings(size=32, colour="red").model_dump())
    with pytest.raises(ValueError, match=r'differ: configuration.colour \(was "grey", now "red"\)$'):
        Run.begin(tmp_path / "run", other, resume=True, configuration=Settings)
    with pytest.raises(ValueError, match=r"differ: configuration.colour \(not in the run\)$"):
        Run.begin(tmp_path / "run", new, resume=True)


def test_weights_round_trip(tmp_path):
    run = Run.begin(tmp_path / "run", make_info())
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
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "model.safetensors", "run.json"]


def test_metrics_survive_a_torn_line(tmp_path):
    run = Run.begin(tmp_path / "run", make_info())
    assert run.metrics() == []
    for step in (1, 2, 3):
        run.append_metrics({"step": step, "loss": 0.1 * step})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes() + b'{"step": 4, "lo')
    again = Run.open(run.path)
    assert [line["step"] for line in again.metrics()] == [1, 2, 3]
    again.truncate_metrics(3)
    assert file.read_bytes().endswith(b"}\n"), "the torn line goes, whatever other programs read of the file"
    file.write_bytes(file.read_bytes() + b'{"step": 4, "lo')
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


def test_frozen_weights_lie_beside_the_trained(tmp_path):
    base = {"source": "somewhere/base", "sha256": "0" * 64}
    with Run.begin(tmp_path / "run", make_info(base=base)) as run:
        run.save_frozen({"trunk.weight": torch.ones(2, 2), "trunk.bias": torch.zeros(2)})
        run.save_weights({"head.weight": torch.full((1, 2), 3.0)})
        before = run.identity()
        loaded = run.load_weights()
        assert set(loaded) == {"trunk.weight", "trunk.bias", "head.weight"}
        assert torch.equal(loaded["trunk.weight"], torch.ones(2, 2)) and loaded["head.weight"].tolist() == [[3.0, 3.0]]
        run.save_frozen({"trunk.weight": torch.ones(2, 2), "trunk.bias": torch.ones(2)})
        assert run.identity() != before
        run.save_weights({"head.weight": torch.zeros(1, 2), "trunk.weight": torch.zeros(2, 2)})
        assert run.load_weights()["trunk.bias"].tolist() == [1, 1] and not run.load_weights()["trunk.weight"].any()
        run.save_weights(run.load_weights())
        run.drop_frozen()
        assert run.info.base is None and not (run.path / "frozen.safetensors").exists() and len(run.load_weights()) == 3
        run.save_frozen({"trunk.bias": torch.ones(2)})
    assert Run.open(run.path).info.base is None
    with Run.begin(run.path, make_info(), overwrite=True) as again:
        again.save_weights({"head.weight": torch.ones(1)})
        assert set(again.load_weights()) == {"head.weight"}


def test_load_into_names_what_does_not_fit(tmp_path):
    run = Run.begin(tmp_path / "run", make_info())
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    given = {
        "0.weight": torch.ones(2, 3),
        "0.bias": torch.ones(2),
        "1.weight": torch.ones(1, 2),
        "1.bias": torch.ones(1),
    }
    run.save_weights(given)
    run.load_into(model)
    assert model(torch.ones(1, 3)).tolist() == [[9.0]]
    run.save_weights({"0.weight": torch.ones(2, 4), "1.weight": torch.ones(1, 2), "2.bias": torch.ones(1)})
    with pytest.raises(ValueError) as caught:
        run.load_into(model)
    assert str(caught.value) == (
        f"{run.path}: the weights do not fit the model: 2 missing: 0.bias, 1.bias; 1 unexpected: 2.bias; "
        "1 of another shape: 0.weight ((2, 4) for (2, 3))"
    )


def test_open_for_an_application(tmp_path):
    Run.begin(tmp_path, make_info()).close()
    assert Run.open(tmp_path, application="demo").info.application == "demo"
    with pytest.raises(ValueError, match=r"is a run of 'demo', not of 'mri'$"):
        Run.open(tmp_path, application="mri")
