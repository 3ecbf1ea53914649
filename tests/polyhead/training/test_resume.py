"""A training that is killed, interrupted or torn goes on to the same weights, bit for bit."""

import json
import shutil
import signal

import pytest
import torch
import training_toy
from training_toy import TASKS, ToyModel, finish, start, train, train_and_signal

from polyhead.runs.run import Run
from polyhead.runs.snapshots import latest_snapshot, save_snapshot
from polyhead.train import TrainConfig

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Tests of solvers load JAX into the process that these fork loaders from; the loaders never touch JAX.
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
]

# Momentum (AdamW), dropout, batch norm, averaged weights, learned balancing, augmentation seeds, a schedule.
CONFIG = TrainConfig(
    epochs=4,
    steps_per_epoch=8,
    batch_size=6,
    tasks_per_step=2,
    sampler="temperature",
    balancer="uncertainty",
    learning_rate=5e-3,
    warmup_steps=5,
    ema_decay=0.9,
    clip_norm=1.0,
    snapshot_every=5,
    patience=4,
    seed=7,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run, in this process with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("whole") / "run"
    train(path, CONFIG)
    torch.set_num_threads(threads)
    return Run.open(path)


def interrupted(path, config, number, step):
    """Trains in another process until a signal at `step`; its exit status and its last words."""
    message = path.with_suffix(".txt")
    status = finish(start(train_and_signal, path, config, number, step, message))
    return status, message.read_text() if message.exists() else ""


def assert_same_run(run, whole):
    a, b = run.load_weights(), whole.load_weights()
    assert list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)
    assert run.weights_hash() == whole.weights_hash()
    assert run.info.metrics == whole.info.metrics and run.info.finished
    strip = [[{k: v for k, v in line.items() if k != "seconds"} for line in r.metrics()] for r in (run, whole)]
    assert strip[0] == strip[1]
    assert not run.snapshots.exists() and not whole.snapshots.exists()


@pytest.mark.parametrize(("workers", "at"), [(0, 13), (2, 17)])
def test_kill_and_resume_is_bit_for_bit(tmp_path, whole, workers, at):
    path = tmp_path / "run"
    config = CONFIG.model_copy(update={"workers": workers})
    assert interrupted(path, config, signal.SIGKILL, at) == (-signal.SIGKILL, "")
    run = Run.open(path)
    assert not run.info.finished and run.metrics()[-1]["step"] == at
    assert latest_snapshot(run.snapshots)[0] == at // 5 * 5
    train(path, config, resume=True)
    assert_same_run(Run.open(path), whole)


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 0)])
def test_interrupt_snapshots_and_resumes(tmp_path, whole, number, workers):
    path = tmp_path / "run"
    config = CONFIG.model_copy(update={"workers": workers})
    # The signal comes after step 12 is over, so it is the next step that sees it.
    assert interrupted(path, config, number, 12) == (130, "stopped at step 13 of 32; resume it to go on")
    assert latest_snapshot(Run.open(path).snapshots)[0] == 13
    train(path, config, resume=True)
    assert_same_run(Run.open(path), whole)


def test_resume_of_stateful_balancers_and_decks_in_one_process(tmp_path):
    for balancer, sampler, tasks in [
        ("dwa", "proportional", 2),
        ("GradVac", "round_robin", 3),
        ("PCGrad", "uniform", 2),
    ]:
        config = CONFIG.model_copy(
            update={"balancer": balancer, "sampler": sampler, "tasks_per_step": tasks, "epochs": 3}
        )
        path = tmp_path / balancer
        _, model = train(path / "whole", config)

        class Stop(Exception):
            pass

        def stop(done):
            if done == 19:
                raise Stop

        with pytest.raises(Stop):
            train(path / "run", config, on_step=stop)
        torch.manual_seed(123)
        _, resumed = train(path / "run", config, resume=True)
        assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in model.state_dict().items()), balancer
        assert Run.open(path / "run").weights_hash() == Run.open(path / "whole").weights_hash()


def test_resume_with_other_settings_or_data_is_refused(tmp_path, whole, monkeypatch):
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGINT, 6)[0] == 130
    other = CONFIG.model_copy(update={"learning_rate": 1e-3, "workers": 3})
    with pytest.raises(ValueError, match=r"these differ: config.learning_rate \(was 0.005, now 0.001\)$"):
        train(path, other, resume=True)
    monkeypatch.setitem(training_toy.SIZES, "side", 18)
    with pytest.raises(ValueError, match=r"these differ: rows.side \(was 17, now 18\)$"):
        train(path, CONFIG, resume=True)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"rows.angle \(only in the run\); tasks\[angle\] \(only in the run\)$"):
        train(path, CONFIG, resume=True, model=ToyModel(TASKS.subset(["length", "side"]), batch_norm=True))


def test_settings_that_came_later_are_at_their_defaults(tmp_path, whole):
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGINT, 6)[0] == 130
    folder = Run.open(path).snapshots
    step, saved = latest_snapshot(folder)
    del saved["config"]["channels_last"]
    for task in saved["tasks"]:
        del task["unit"]
    save_snapshot(folder, step, saved)
    with pytest.raises(ValueError, match=r"these differ: config.channels_last \(was false, now true\)$"):
        train(path, CONFIG.model_copy(update={"channels_last": True}), resume=True)
    train(path, CONFIG, resume=True)
    assert_same_run(Run.open(path), whole)


@pytest.mark.parametrize("state", [["no", "mapping"], {"layout": 1}])
def test_snapshots_of_another_version_stop_a_resume_and_nothing_is_cut(tmp_path, state):
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGINT, 6)[0] == 130
    run = Run.open(path)
    lines = run.metrics()
    save_snapshot(run.snapshots, 9, state)
    with pytest.raises(ValueError, match=r"the snapshot of step 9 was made by another version of polyhead"):
        train(path, CONFIG, resume=True)
    assert run.metrics() == lines


def test_snapshots_that_cannot_be_read_stop_a_resume(tmp_path):
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGKILL, 13)[0] == -signal.SIGKILL
    run = Run.open(path)
    trees = sorted(run.snapshots.glob("step-*/state.json"))
    texts = [tree.read_text() for tree in trees]
    for tree, text in zip(trees, texts, strict=True):
        tree.write_text(json.dumps(json.loads(text) | {"format": 99}))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(ValueError) as caught:
        train(path, CONFIG, resume=True)
    said = str(caught.value)
    assert said.startswith(f"none of the snapshots in {run.snapshots} can be read (step-0000000010: it is of format 99")
    assert "step-0000000005: it is of format 99" in said and "\n" not in said
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    trees[0].write_text(texts[0])
    train(path, CONFIG, resume=True)
    assert Run.open(path).info.finished and Run.open(path).metrics()[5]["step"] == 6


def test_resume_before_the_first_snapshot_starts_anew(tmp_path, whole, capsys):
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGKILL, 3)[0] == -signal.SIGKILL
    metrics = path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes() + json.dumps({"step": 4})[:-3].encode())
    train(path, CONFIG, resume=True, progress="plain")
    assert "no snapshot: from the start" in capsys.readouterr().err
    assert_same_run(Run.open(path), whole)


def test_a_resume_whose_snapshots_are_gone_is_refused(tmp_path):
    """Nothing is cut: what was done may still be had from elsewhere."""
    path = tmp_path / "run"
    assert interrupted(path, CONFIG, signal.SIGKILL, 13)[0] == -signal.SIGKILL
    shutil.rmtree(path / "snapshots")
    before = {file: (path / file).read_bytes() for file in ("metrics.jsonl", "run.json")}
    with pytest.raises(
        ValueError, match=r"it has trained 13 steps and has no snapshot; bring back snapshots/, or begin"
    ):
        train(path, CONFIG, resume=True)
    assert before == {file: (path / file).read_bytes() for file in before}
