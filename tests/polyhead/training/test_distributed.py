"""Two processes train to the weights of one at the same total batch."""

import os
import socket

import pytest
import torch
from training_toy import LOSSES, ToyModel, finish, make_data, make_info, start, train, validator

from polyhead.runs.run import Run
from polyhead.train import TrainConfig, fit
from polyhead.training.sampling import TaskSampler, shard


def rank_of_two(rank, port, path, config):
    """One of two processes, as torchrun would start it."""
    from polyhead.system.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    ranks = Ranks(config.device)
    data, info = make_data(), make_info(config)
    run = Run.begin(path, info, ranks=ranks)
    # Ranks begin with different weights; those of the first count.
    model = ToyModel(seed=rank, batch_norm=config.ema_decay is None)
    result = fit(model, LOSSES, data, config, run, validate=validator(data), progress="quiet")
    flat = torch.cat([value.detach().flatten().double() for value in model.state_dict().values()])
    assert all(torch.equal(torch.tensor(other, dtype=flat.dtype), flat) for other in ranks.gather(flat.tolist()))
    assert (result.stopped, result.step) == ("finished", 10)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("balancer", ["uncertainty", "UPGrad"])
def test_two_processes_equal_one(tmp_path, balancer):
    # 23, 17 and 9 rows: odd batches, so the ranks' parts differ in size.
    config = TrainConfig(
        epochs=2,
        steps_per_epoch=5,
        batch_size=5,
        tasks_per_step=3 if balancer == "UPGrad" else 2,
        learning_rate=1e-2,
        balancer=balancer,
        ema_decay=0.5,
        clip_norm=1.0,
        device="cpu",
        snapshot_every=4,
    )
    single, _ = train(tmp_path / "one", config, model=ToyModel(seed=0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(rank_of_two, rank, port, tmp_path / "two", config) for rank in range(2)]
    assert [finish(process) for process in ranks] == [0, 0]
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    a, b = one.load_weights(), two.load_weights()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5, msg=name)
    assert two.info.metrics["score"] == pytest.approx(single.metrics["score"], abs=1e-4)
    for mine, other in zip(one.metrics(), two.metrics(), strict=True):
        assert mine["step"] == other["step"]
        if mine["split"] == "train":
            assert mine["losses"] == pytest.approx(other["losses"], rel=1e-3, abs=1e-5)


def test_running_statistics_are_those_of_all_processes(tmp_path):
    """Batch norm, no average: each rank sees the statistics of its rows, and all keep the mean of them."""
    config = TrainConfig(
        epochs=2,
        steps_per_epoch=5,
        batch_size=6,
        tasks_per_step=2,
        sampler="round_robin",
        learning_rate=1e-2,
        device="cpu",
        snapshot_every=4,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(rank_of_two, rank, port, tmp_path / "run", config) for rank in range(2)]
    assert [finish(process) for process in ranks] == [0, 0]
    saved = Run.open(tmp_path / "run").load_weights()
    assert saved["trunk.1.num_batches_tracked"] == 20
    # The statistics of the first step by hand: both tasks, in their order, each cut in halves of three rows.
    first = config.model_copy(update={"epochs": 1, "steps_per_epoch": 1})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(rank_of_one_step, rank, port, tmp_path / "first", first) for rank in range(2)]
    assert [finish(process) for process in ranks] == [0, 0]
    saved = Run.open(tmp_path / "first").load_weights()
    model, data = ToyModel(batch_norm=True), make_data()
    sizes = {task: len(rows) for task, rows in data.items()}
    step = next(TaskSampler(sizes, batch_size=6, tasks_per_step=2, policy="round_robin", seed=0))
    means = []
    for rank in range(2):
        running = torch.zeros(16)
        for batch in shard(step, rank, 2).batches:
            rows = zip(batch.rows, batch.seeds, strict=True)
            x = torch.stack([data[batch.name].sample(row, seed)[0]["x"] for row, seed in rows])
            with torch.no_grad():
                running = 0.9 * running + 0.1 * model.trunk[0](x).mean(dim=0)
        means.append(running)
    torch.testing.assert_close(saved["trunk.1.running_mean"], (means[0] + means[1]) / 2, rtol=1e-4, atol=1e-6)


def rank_of_one_step(rank, port, path, config):
    from polyhead.system.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    run = Run.begin(path, make_info(config), ranks=Ranks(config.device))
    fit(ToyModel(batch_norm=True), LOSSES, make_data(), config, run, progress="quiet")
    torch.distributed.destroy_process_group()


def rank_of_complex(rank, port, path, config):
    from complex_toy import make_model, train_complex

    from polyhead.system.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    ranks = Ranks(config.device)
    model = train_complex(path, config, model=make_model(seed=rank), ranks=ranks)
    mine = torch.view_as_real(model.backbone.statistic).flatten().tolist()
    assert ranks.gather(mine) == [mine, mine]
    torch.distributed.destroy_process_group()


def test_complex_numbers_ragged_rows_and_named_parts_over_two_processes(tmp_path):
    from complex_toy import TASKS, train_complex

    config = TrainConfig(
        epochs=2, steps_per_epoch=4, batch_size=5, learning_rate=1e-2, ema_decay=0.5, clip_norm=0.5, device="cpu"
    )
    train_complex(tmp_path / "one", config)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    halves = config.model_copy(update={"micro_batches": 2})
    ranks = [start(rank_of_complex, rank, port, tmp_path / "two", halves) for rank in range(2)]
    assert [finish(process) for process in ranks] == [0, 0]
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    a, b = one.load_weights(), two.load_weights()
    for name in a.keys() - {"backbone.statistic"}:  # the mean of those that saw other rows
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6, msg=name)
    for mine, other in zip(one.metrics(), two.metrics(), strict=True):
        for task in TASKS:
            assert mine["parts"][task] == pytest.approx(other["parts"][task], rel=1e-5)
