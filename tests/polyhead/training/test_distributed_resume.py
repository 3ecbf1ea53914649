"""Two processes: what stops one stops both at one step, and each goes on with the random numbers that were its own."""

import os
import signal
import socket
import sys

import pytest
import torch
from training_toy import LOSSES, ToyModel, finish, make_data, make_info, start, validator

from polyhead.runs.run import Run
from polyhead.runs.snapshots import latest_snapshot
from polyhead.train import TrainConfig, fit

CONFIG = TrainConfig(
    epochs=2,
    steps_per_epoch=4,
    batch_size=6,
    tasks_per_step=2,
    learning_rate=1e-2,
    balancer="dwa",
    ema_decay=0.5,
    device="cpu",
)


def rank_of_two(rank, port, path, resume, signalled):
    from polyhead.system.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    data = make_data()

    def on_step(done):
        if done == 2 and rank == signalled:
            os.kill(os.getpid(), signal.SIGINT)

    status = 0
    with Run.begin(path, make_info(CONFIG), resume=resume, ranks=Ranks("cpu")) as run:
        model = ToyModel(dropout=0.3, batch_norm=True)
        try:
            fit(
                model,
                LOSSES,
                data,
                CONFIG,
                run,
                validate=validator(data),
                resume=resume,
                on_step=on_step,
                progress="quiet",
            )
        except KeyboardInterrupt as interrupt:
            status = 130 if str(interrupt).startswith("stopped at step 3 of 8") else 1
    torch.distributed.destroy_process_group()
    sys.exit(status)


def train(path, *, resume=False, signalled=None):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start(rank_of_two, rank, port, path, resume, signalled) for rank in range(2)]
    return [finish(process) for process in ranks]


@pytest.mark.usefixtures("one_thread")
def test_a_signal_to_the_second_process_stops_both_and_they_go_on_to_the_same_weights(tmp_path):
    """Which need not be the first, that writes; dropout and batch norm draw and see other things on each."""
    assert train(tmp_path / "whole") == [0, 0]
    assert train(tmp_path / "run", signalled=1) == [130, 130]
    step, saved = latest_snapshot(Run.open(tmp_path / "run").snapshots)
    assert step == 3 and len(saved["random"]) == 2
    assert not torch.equal(saved["random"][0]["torch"], saved["random"][1]["torch"])
    assert train(tmp_path / "run", resume=True) == [0, 0]
    run, whole = Run.open(tmp_path / "run"), Run.open(tmp_path / "whole")
    assert run.weights_hash() == whole.weights_hash() and run.info.metrics == whole.info.metrics
    assert [line["losses"] for line in run.metrics() if line["split"] == "train"] == [
        line["losses"] for line in whole.metrics() if line["split"] == "train"
    ]
