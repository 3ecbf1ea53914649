"""Two processes train to the weights of one at the same total batch."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_toy import ToyModel, train

from polyhead.runs import Run
from polyhead.train import TrainConfig

CHILD = """
import json, sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from training_toy import LOSSES, ToyModel, make_data, make_info, validator
from polyhead.ranks import Ranks
from polyhead.runs import Run
from polyhead.train import TrainConfig, fit
torch.set_num_threads(1)
config, path = TrainConfig(**json.loads(sys.argv[3])), Path(sys.argv[2])
ranks = Ranks(config.device)
data, info = make_data(), make_info(config)
run = Run.create(path, info) if ranks.first else Run(path, info)
model = ToyModel(seed=ranks.index)  # ranks begin with different weights; those of the first count
result = fit(model, LOSSES, data, config, run, validate=validator(data), progress="quiet")
flat = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
assert all(torch.equal(torch.tensor(other), flat) for other in ranks.gather(flat.tolist()))
print(result.stopped, result.step)
torch.distributed.destroy_process_group()
"""


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
    here = Path(__file__).parent
    children = []
    for rank in range(2):
        env = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(here.parents[1]),
        }
        command = [sys.executable, "-c", CHILD, str(here), str(tmp_path / "two"), json.dumps(config.model_dump())]
        children.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in children:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.split() == ["finished", "10"]
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    a, b = one.load_weights(), two.load_weights()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5, msg=name)
    assert two.info.metrics["score"] == pytest.approx(single.metrics["score"], abs=1e-4)
    for mine, other in zip(one.metrics(), two.metrics(), strict=True):
        assert mine["step"] == other["step"]
        if mine["split"] == "train":
            assert mine["losses"] == pytest.approx(other["losses"], rel=1e-3, abs=1e-5)
