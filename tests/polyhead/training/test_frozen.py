"""What is frozen is neither averaged nor saved with the weights nor kept in snapshots, and can be had again."""

import pytest
import torch
from shared_toy import make_info
from torch import nn

from polyhead.model import MultiHeadModel
from polyhead.runs.run import FROZEN_FILE, Run
from polyhead.runs.weights import state_digest
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, fit
from polyhead.training.average import Average
from polyhead.training.states import frozen_state

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS = TaskSet([TaskSpec("sign", "classification", "latent", 2)])


class Foundation(nn.Module):
    """A frozen backbone with `millions` of weights, of which an input touches few, and running statistics that move."""

    def __init__(self, millions):
        super().__init__()
        self.words = nn.Embedding(millions * 10_000, 100)
        self.norm = nn.BatchNorm1d(100)
        self.requires_grad_(False)

    def forward(self, inputs, needed):
        feature = self.norm(self.words(inputs).mean(dim=1))
        return dict.fromkeys(needed, feature)


class Words:
    def __len__(self):
        return 64

    def batch(self, rows, seeds):
        index = torch.tensor(rows)
        return torch.stack([index, index + 1], dim=1), index % 2


def model_of(millions, seed=0):
    torch.manual_seed(seed)
    return MultiHeadModel(Foundation(millions), {"sign": nn.Linear(100, 2)}, TASKS)


def train(path, model, *, resume=False, **options):
    config = TrainConfig(epochs=2, steps_per_epoch=6, batch_size=16, ema_decay=0.9, snapshot_every=4, learning_rate=0.1)
    with Run.begin(path, make_info(config, TASKS), resume=resume) as run:
        losses = {"sign": nn.functional.cross_entropy}
        return fit(model, losses, {"sign": Words()}, config, run, resume=run.resumed, progress="quiet", **options)


def size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_a_run_of_a_frozen_foundation_is_small(tmp_path):
    """90 million frozen weights are 360 MB; a run of them that names its base holds well under one."""
    model = model_of(90)
    kept = []
    train(tmp_path / "run", model, base="hub/foundation", on_step=lambda _: kept.append(size(tmp_path / "run")))
    assert max(kept) < 1_000_000 and size(tmp_path / "run") < 100_000
    run = Run.open(tmp_path / "run")
    assert run.info.base == {"source": "hub/foundation", "sha256": state_digest(frozen_state(model))}
    assert set(run.load_weights()) == {
        "backbone.norm.running_mean",
        "backbone.norm.running_var",
        "backbone.norm.num_batches_tracked",
        "heads.task_sign.weight",
        "heads.task_sign.bias",
    }
    averaged = Average(model, 0.9).state_dict()["averages"]
    assert sum(tensor.numel() for tensor in averaged) == 200 + 2 + 200 + 1  # the head, and the running statistics
    run.load_into(model)


def test_a_run_without_a_base_holds_the_frozen_weights_once(tmp_path):
    model = model_of(1)
    train(tmp_path / "run", model)
    run = Run.open(tmp_path / "run")
    assert run.info.base["source"] == FROZEN_FILE and (run.path / FROZEN_FILE).stat().st_size > 4_000_000
    assert run.weights.stat().st_size < 10_000
    other = model_of(1, seed=7)
    run.load_into(other)
    assert torch.equal(other.backbone.words.weight, model.backbone.words.weight)


def test_the_digest_is_of_names_and_values_in_any_order():
    state = frozen_state(model_of(1))
    digest = state_digest(state)
    assert len(state) == 3 and state_digest(dict(reversed(state.items()))) == digest
    names = list(state)
    assert state_digest({names[1]: state[names[2]], names[2]: state[names[1]], names[0]: state[names[0]]}) != digest
    assert state_digest(state | {names[1]: state[names[1]].double()}) != digest


def test_another_base_is_refused(tmp_path):
    class Stopped(Exception):
        pass

    def stop(done):
        if done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "run", model_of(1), base="hub/foundation", on_step=stop)
    with pytest.raises(ValueError, match="its frozen weights, of hub/foundation, are others"):
        train(tmp_path / "run", model_of(1, seed=1), base="hub/foundation", resume=True)
    train(tmp_path / "run", model_of(1), base="hub/foundation", resume=True)
    train(tmp_path / "whole", model_of(1), base="hub/foundation")
    run, whole = Run.open(tmp_path / "run"), Run.open(tmp_path / "whole")
    assert run.weights_hash() == whole.weights_hash()
    with pytest.raises(ValueError, match="the model lacks the frozen weights of hub/foundation"):
        run.load_into(model_of(1, seed=1))
