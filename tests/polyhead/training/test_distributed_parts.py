"""Two processes, shared batches, parts and complex weights at once: the weights of one process that sees whole batches.

Each rank works on its rows part by part; what they agree on is exact, whatever rows a part has.
"""

import os
import socket

import pytest
import torch
from shared_toy import LOSSES, TASKS, make_info
from torch import nn
from training_toy import finish, start

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.train import TrainConfig, fit

GROUP = tuple(TASKS)


class Spectral(nn.Module):
    """A complex filter of a real input, without statistics of the batch; rank by rank other buffers at the start."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(4, dtype=torch.complex64))
        self.linear, self.dropout = nn.Linear(6, 32), nn.Dropout(0.5)
        self.register_buffer("shift", torch.randn(6))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.complex64))
        self.drawn: list[float] = []

    def forward(self, inputs, needed):
        filtered = torch.fft.irfft(torch.fft.rfft(inputs["x"] + self.shift) * self.filter, n=6)
        if self.training:
            self.drawn.append(self.dropout(torch.ones(64)).sum().item())
            self.seen += torch.view_as_complex(inputs["x"].mean(dim=0)[:4].reshape(2, 2))
        maps = [torch.tanh(self.linear(filtered))]
        return {name: {"maps": maps} for name in needed}


class Head(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.linear = nn.Linear(32, outputs)

    def forward(self, feature):
        return self.linear(feature["maps"][0])


class Rows:
    """Thirteen rows, so that ranks and parts have unequal shares."""

    def __len__(self):
        return 13

    def batch(self, rows, seeds):
        x = torch.linspace(-2, 2, 78).reshape(13, 6)[list(rows)].cos()
        return {"x": x}, {"reconstruct": x.tanh(), "segment": x[:, :3].argmax(dim=1)}


def parted(output, target):
    error = nn.functional.mse_loss(output, target)
    return {"loss": error, "twice": 2 * error}


def train(path, config, seed=0, ranks=None):
    torch.manual_seed(seed)
    model = MultiHeadModel(Spectral(), {task: Head(spec.outputs) for task, spec in TASKS.items()}, TASKS)
    losses = LOSSES | {"reconstruct": parted}
    with Run.begin(path, make_info(config), ranks=ranks) as run:
        fit(model, losses, {GROUP: Rows()}, config, run, progress="quiet")
    return model


def rank_of_two(rank, port, path, config):
    from polyhead.system.ranks import Ranks

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    ranks = Ranks(config.device)
    model = train(path, config, seed=rank, ranks=ranks)
    values = [value.detach().to(torch.complex64).flatten() for value in model.state_dict().values()]
    flat = torch.view_as_real(torch.cat(values))
    everybody = ranks.gather((flat.tolist(), model.backbone.drawn))
    assert everybody[0][0] == everybody[1][0]
    # Ranks draw other random numbers: with one seed, the halves of a batch would drop the same units.
    assert everybody[0][1] != everybody[1][1]
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("balancer", ["equal", "UPGrad"])
def test_two_processes_with_parts_equal_one_with_whole_batches(tmp_path, balancer):
    config = TrainConfig(
        epochs=2,
        steps_per_epoch=3,
        batch_size=7,
        learning_rate=1e-2,
        balancer=balancer,
        optimizer="sgd",
        clip_norm=0.5,
        ema_decay=0.5,
        device="cpu",
    )
    one = train(tmp_path / "one", config)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parts = config.model_copy(update={"micro_batches": 2})
    ranks = [start(rank_of_two, rank, port, tmp_path / "two", parts) for rank in range(2)]
    assert [finish(process) for process in ranks] == [0, 0]
    single, double = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    saved, expected = double.load_weights(), single.load_weights()
    assert expected["backbone.filter"].is_complex() and set(saved) == set(one.state_dict())
    for name, value in expected.items():
        if name != "backbone.seen":  # a sum over the batches that were seen, four times as many
            torch.testing.assert_close(saved[name], value, rtol=1e-4, atol=1e-6, msg=name)
    for mine, other in zip(single.metrics(), double.metrics(), strict=True):
        assert mine["losses"] == pytest.approx(other["losses"], rel=1e-4)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
        assert mine["parts"]["reconstruct"]["twice"] == pytest.approx(2 * mine["losses"]["reconstruct"], rel=1e-4)
        assert mine["parts"]["reconstruct"] == pytest.approx(other["parts"]["reconstruct"], rel=1e-4)
