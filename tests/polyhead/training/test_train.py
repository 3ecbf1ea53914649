"""The training loop by value: what moves, what does not, what is saved, and every error in one line."""

import copy
import itertools
import math

import pytest
import torch
from pydantic import ValidationError
from training_toy import LOSSES, TASKS, ToyModel, make_data, make_info, train, validator

from polyhead.runs.run import Run
from polyhead.train import TrainConfig, TrainingDiverged, Validation, fit
from polyhead.training.sampling import TaskSampler

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_learns_and_saves_the_best_weights(tmp_path):
    config = TrainConfig(epochs=12, batch_size=8, learning_rate=3e-3, sampler="proportional", clip_norm=1.0)
    result, model = train(tmp_path / "run", config, model=ToyModel())
    run = Run.open(tmp_path / "run")
    lines = run.metrics()
    scores = [line["score"] for line in lines if line["split"] == "validation"]
    assert len(scores) == 12 and result.stopped == "finished" and result.epoch == 12
    assert scores[-1] > scores[0] + 0.1
    assert result.metrics["score"] == max(scores) and run.info.finished
    assert run.info.metrics == dict(result.metrics)
    assert run.info.metrics["metrics"]["side"]["undefined"] is None
    # 23, 17 and 9 rows at 8 are 3, 3 and 2 batches.
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, 97))
    first = lines[0]
    assert set(first) == {"step", "epoch", "split", "losses", "lr", "gradient_norm", "seconds"}
    model.load_state_dict(run.load_weights())
    with torch.no_grad():
        again = validator(make_data())(model.eval())
    assert sum(again.scores.values()) / 3 == pytest.approx(max(scores), abs=1e-6)


def test_one_run_equals_a_plain_loop(tmp_path):
    """An independent loop over the same sampler, one AdamW with groups, no frills."""
    config = TrainConfig(
        epochs=2,
        steps_per_epoch=6,
        batch_size=8,
        tasks_per_step=2,
        learning_rate=1e-2,
        weight_decay=0.1,
        clip_norm=0.5,
        schedule="constant",
    )
    _, trained = train(tmp_path / "run", config, model=ToyModel())
    model, data = ToyModel(), make_data()
    groups = [{"params": model.shared_parameters()}]
    groups += [{"params": model.head_parameters(t), "lr": 1e-2 * TASKS[t].lr_scale} for t in TASKS]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)
    sampler = TaskSampler({t: len(d) for t, d in data.items()}, batch_size=8, tasks_per_step=2, seed=0)
    for step in itertools.islice(sampler, 12):
        optimizer.zero_grad()
        total = 0
        for batch in step.batches:
            samples = [data[batch.name].sample(r, s) for r, s in zip(batch.rows, batch.seeds, strict=True)]
            x = torch.stack([sample[0]["x"] for sample in samples])
            y = torch.stack([sample[1] for sample in samples])
            (task,) = batch.tasks
            total = total + TASKS[task].weight * LOSSES[task](model({"x": x}, task), y) / 2
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, msg=name)


def test_absent_heads_do_not_move(tmp_path):
    """Heads move in the first steps, so they have momentum; then they stand still while others train."""
    config = TrainConfig(
        epochs=1, steps_per_epoch=12, batch_size=8, sampler="round_robin", learning_rate=1e-2, weight_decay=0.5
    )
    model = ToyModel()
    states = [copy.deepcopy(model.state_dict())]
    train(tmp_path / "run", config, model=model, on_step=lambda _: states.append(copy.deepcopy(model.state_dict())))
    for done, task in zip(range(1, 13), itertools.cycle(TASKS), strict=False):
        for name, value in states[done].items():
            moved = not torch.equal(value, states[done - 1][name])
            assert moved == (name.startswith("trunk") or name.split(".")[1] == task), (done, name)


def test_average_weights_are_saved(tmp_path):
    config = TrainConfig(epochs=1, steps_per_epoch=7, batch_size=8, learning_rate=1e-2, ema_decay=0.8)
    model = ToyModel(batch_norm=True)
    states = []
    train(tmp_path / "run", config, model=model, on_step=lambda _: states.append(copy.deepcopy(model.state_dict())))
    saved = Run.open(tmp_path / "run").load_weights()
    for name, value in states[0].items():
        average = value
        for state in states[1:]:
            average = 0.8 * average + 0.2 * state[name] if value.is_floating_point() else state[name]
        torch.testing.assert_close(saved[name], average, msg=name)
    assert saved["trunk.1.num_batches_tracked"] == 7


def test_frozen_parameters_stay(tmp_path):
    config = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-2, weight_decay=0.5, balancer="uncertainty")
    model = ToyModel()
    model.trunk[0].weight.requires_grad_(False)
    before = model.trunk[0].weight.clone()
    train(tmp_path / "run", config, model=model)
    assert torch.equal(model.trunk[0].weight, before)
    with pytest.raises(ValueError, match="nothing to train"):
        train(tmp_path / "none", config, model=ToyModel().requires_grad_(False))


def test_gradient_balancing_and_bf16(tmp_path):
    config = TrainConfig(epochs=2, batch_size=8, tasks_per_step=3, balancer="UPGrad", learning_rate=3e-3)
    result, _ = train(tmp_path / "a", config)
    assert result.stopped == "finished"
    half, model = train(tmp_path / "b", config.model_copy(update={"precision": "bf16"}))
    assert abs(half.metrics["score"] - result.metrics["score"]) < 0.05
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    with pytest.raises(ValueError, match="set tasks_per_step to at least 2"):
        train(tmp_path / "c", config.model_copy(update={"tasks_per_step": 1}))


def test_early_stop_counts_validations_without_gain(tmp_path):
    scores = iter([0.2, 0.5, 0.5, 0.4, 0.3, 0.9])

    def validate(model):
        score = next(scores)
        return Validation(metrics={}, scores={"length": score, "side": score, "angle": score})

    config = TrainConfig(epochs=6, steps_per_epoch=2, batch_size=4, patience=3)
    result, _ = train(tmp_path / "run", config, validate=validate)
    assert (result.stopped, result.epoch) == ("patience", 5)
    assert (result.metrics["score"], result.metrics["epoch"], result.metrics["step"]) == (0.5, 2, 4)
    assert Run.open(tmp_path / "run").info.finished


def test_time_limit_stops_ready_to_go_on(tmp_path):
    config = TrainConfig(epochs=3, steps_per_epoch=4, batch_size=8, max_minutes=1e-9)
    result, _ = train(tmp_path / "run", config)
    assert (result.stopped, result.step) == ("time", 1)
    run = Run.open(tmp_path / "run")
    assert run.has_weights and not run.info.finished
    whole, model = train(tmp_path / "whole", config.model_copy(update={"max_minutes": None}))
    after, resumed = train(tmp_path / "run", config.model_copy(update={"max_minutes": None}), resume=True)
    assert after.stopped == whole.stopped == "finished" and after.metrics == whole.metrics
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in model.state_dict().items())
    again, _ = train(tmp_path / "run", config, resume=True)
    assert again.stopped == "finished" and again.metrics == after.metrics and again.step == 12


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    result, model = train(tmp_path / "run", TrainConfig(epochs=2, steps_per_epoch=3, batch_size=8), validate=None)
    saved = Run.open(tmp_path / "run").load_weights()
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert result.metrics["epoch"] == 2 and "score" not in result.metrics


def test_schedules():
    config = TrainConfig(epochs=5, learning_rate=0.1, min_learning_rate=0.01, schedule="cosine-epoch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5, eta_min=0.01)
    for epoch in range(5):
        for step in range(7):
            rate = config.learning_rate_at(0.1, 7 * epoch + step, 7)
            assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()
    config = TrainConfig(epochs=2, schedule="cosine", warmup_steps=4, min_learning_rate=0.01)
    rates = [config.learning_rate_at(0.1, step, 10) for step in range(20)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[12] == pytest.approx(0.055)  # half way from step 4 to step 20
    assert all(a > b for a, b in itertools.pairwise(rates[4:])) and rates[-1] > 0.01
    assert config.learning_rate_at(0.001, 19, 10) == 0.001
    flat = TrainConfig(schedule="constant", warmup_steps=1)
    assert [flat.learning_rate_at(0.1, step, 10) for step in range(3)] == [0.05, 0.1, 0.1]


def test_configuration_refuses_the_unknown():
    for bad in ({"epoch": 3}, {"epochs": 0}, {"schedule": "linear"}, {"ema_decay": 1.0}):
        with pytest.raises(ValidationError):
            TrainConfig(**bad)


def test_non_finite_loss_names_step_task_and_rows(tmp_path):
    data = make_data()
    calls = itertools.count(1)

    def broken(output, target):
        return torch.nn.functional.mse_loss(output, target) * (math.nan if next(calls) == 3 else 1.0)

    config = TrainConfig(epochs=2, steps_per_epoch=9, batch_size=4, sampler="round_robin", snapshot_every=5)
    run = Run.begin(tmp_path / "run", make_info(config))
    model = ToyModel()
    states = []
    with pytest.raises(TrainingDiverged) as caught:
        fit(
            model,
            LOSSES | {"angle": broken},
            data,
            config,
            run,
            progress="quiet",
            on_step=lambda _: states.append(copy.deepcopy(model.state_dict())),
        )
    sampler = TaskSampler({t: len(d) for t, d in data.items()}, batch_size=4, policy="round_robin")
    rows = list(itertools.islice(sampler, 9))[8].batches[0].rows
    message = str(caught.value)
    assert message.startswith(f"step 9: the loss of task 'angle' is nan (rows: angle {', '.join(map(str, rows))})")
    assert "the snapshot of step 5" in message and "\n" not in message
    assert all(torch.equal(value, states[-1][name]) for name, value in model.state_dict().items())
    assert [path.name for path in run.snapshots.iterdir()] == ["step-0000000005"]


def test_non_finite_gradient_is_found(tmp_path):
    losses = LOSSES | {"length": lambda output, target: (output * 0).sum().sqrt()}
    config = TrainConfig(epochs=1, batch_size=4, sampler="round_robin")
    with pytest.raises(TrainingDiverged, match="step 1: the norm of the gradient is nan"):
        fit(ToyModel(), losses, make_data(), config, Run.begin(tmp_path, make_info(config)), progress="quiet")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"length": 0.5, "side": 0.5}, "no score for: angle"),
        ({"length": 0.5, "side": 0.5, "angle": 0.5, "x": 1}, "model lacks: x"),
        ({"length": 0.5, "side": 1.5, "angle": 0.5}, r"score of task 'side' must lie in \[0, 1\], got 1.5"),
        ({"length": 0.5, "side": math.nan, "angle": 0.5}, r"score of task 'side' must lie in \[0, 1\], got nan"),
    ],
)
def test_every_task_must_be_scored(tmp_path, scores, message):
    config = TrainConfig(epochs=1, steps_per_epoch=1, batch_size=4)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", config, validate=lambda model: Validation({}, scores))


def test_errors_at_the_border(tmp_path):
    config = TrainConfig(epochs=1, steps_per_epoch=2, batch_size=4, sampler="round_robin")
    run = Run.begin(tmp_path / "run", make_info(config))
    data = make_data()
    with pytest.raises(ValueError, match="data and tasks of the model differ in: angle"):
        fit(ToyModel(), LOSSES, {t: d for t, d in data.items() if t != "angle"}, config, run)
    for loss, got in [
        (lambda output, target: (output - target).square(), r"Tensor of torch.float32 and shape \(4, 1\)"),
        (lambda output, target: (output - target).mean().to(torch.complex64), r"Tensor of torch.complex64 and shape"),
        (lambda output, target: 0.5, "float$"),
    ]:
        with pytest.raises(ValueError, match=rf"^the loss of task 'length' must be a scalar, .* got a {got}"):
            fit(ToyModel(), LOSSES | {"length": loss}, data, config, run, progress="quiet")
    with pytest.raises(ValueError, match="device 'cuda:99' cannot be used here"):
        fit(ToyModel(), LOSSES, data, config.model_copy(update={"device": "cuda:99"}), run, progress="quiet")
    data["length"].target = lambda x: 1 / 0
    with pytest.raises(ValueError, match=r"task 'length', row \d+: ZeroDivisionError: division by zero"):
        fit(ToyModel(), LOSSES, data, config, run, progress="quiet")
    train(tmp_path / "done", config)
    with pytest.raises(ValueError, match="has been trained already"):
        fit(ToyModel(), LOSSES, make_data(), config, Run.open(tmp_path / "done"))
    imported = Run.begin(tmp_path / "imported", make_info(config))  # weights, and no line of a training
    imported.save_weights(ToyModel().state_dict())
    with pytest.raises(ValueError, match="has been trained already"):
        fit(ToyModel(), LOSSES, make_data(), config, imported)
    model = ToyModel()
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"neither the shared part nor a head: extra\.weight, extra\.bias"):
        fit(model, LOSSES, make_data(), config, run, progress="quiet")


def test_plain_progress(tmp_path, capsys):
    config = TrainConfig(epochs=2, steps_per_epoch=2, batch_size=4)
    train(tmp_path / "run", config, progress="auto")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1: score 0.")
