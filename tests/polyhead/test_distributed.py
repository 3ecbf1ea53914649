"""Two processes train to the weights of one at the same total batch."""

import os
import socket

import pytest
import torch
from training_toy import LOSSES, ToyModel, finish, make_data, make_info, start, train, validator

from polyhead.runs import Run
from polyhead.train import TrainConfig, fit


def rank_of_two(rank, port, path, config):
    """One of two processes, as torchrun would start it."""
    from polyhead.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    ranks = Ranks(config.device)
    data, info = make_data(), make_info(config)
    run = Run.begin(path, info, ranks=ranks)
    model = ToyModel(seed=rank)  # ranks begin with different weights; those of the first count
    result = fit(model, LOSSES, data, config, run, validate=validator(data), progress="quiet")
    flat = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert all(torch.equal(torch.tensor(other), flat) for other in ranks.gather(flat.tolist()))
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
