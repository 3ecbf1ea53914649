"""Complex numbers and volumes through whole trainings: against a plain loop, in parts, and in another memory format."""

import itertools

import pytest
import torch
from complex_toy import TASKS, Sequences, loss, make_model, train_complex
from torch import nn

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import TrainConfig, fit
from polyhead.training.sampling import TaskSampler

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainConfig(
    epochs=2,
    steps_per_epoch=4,
    batch_size=5,
    learning_rate=1e-2,
    schedule="constant",
    ema_decay=0.5,
    clip_norm=0.5,
    snapshot_every=3,
)


def test_complex_weights_and_statistics_are_clipped_averaged_and_saved(tmp_path):
    trained = train_complex(tmp_path / "run", CONFIG)
    model, data = make_model(), Sequences()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    sampler = TaskSampler({tuple(TASKS): 13}, batch_size=5, seed=0, keys={tuple(TASKS): data.batch_keys})
    average = None
    for step in itertools.islice(sampler, 8):
        (batch,) = step.batches
        outputs = model(torch.stack([data.x[row] for row in batch.rows]), list(TASKS))
        targets = [data.sample(row, None)[1] for row in batch.rows]
        parts = [
            TASKS[task].weight * loss(outputs[task], torch.stack([each[task] for each in targets]))["loss"]
            for task in TASKS
        ]
        optimizer.zero_grad()
        (sum(parts) / 2).backward()
        norm = sum((parameter.grad.abs() ** 2).sum() for parameter in learned).sqrt()
        for parameter in learned:
            parameter.grad *= (0.5 / (norm + 1e-6)).clamp(max=1.0)
        optimizer.step()
        now = {name: value.clone() for name, value in model.state_dict().items()}
        average = now if average is None else {name: (average[name] + now[name]) / 2 for name in now}
    saved = Run.open(tmp_path / "run").load_weights()
    assert saved["backbone.kernel"].is_complex() and saved["backbone.statistic"].imag.abs().min() > 0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)
        torch.testing.assert_close(saved[name], average[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("balancer", ["equal", "UPGrad"])
def test_parts_of_batches_of_several_lengths_train_to_the_same_weights(tmp_path, balancer):
    config = CONFIG.model_copy(update={"balancer": balancer})
    train_complex(tmp_path / "whole", config)
    train_complex(tmp_path / "parts", config.model_copy(update={"micro_batches": 3}))
    whole, parts = Run.open(tmp_path / "whole"), Run.open(tmp_path / "parts")
    a, b = whole.load_weights(), parts.load_weights()
    for name in a.keys() - {"backbone.statistic"}:  # that of a part is another
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6, msg=name)
    for mine, other in zip(whole.metrics(), parts.metrics(), strict=True):
        for task in TASKS:
            assert mine["parts"][task] == pytest.approx(other["parts"][task], rel=1e-5)


class Mixed(nn.Module):
    """Volumes and images in one batch; `formats` notes how what it saw lay in memory."""

    def __init__(self):
        super().__init__()
        self.volume, self.image = nn.Conv3d(2, 4, 3), nn.Conv2d(2, 4, 3)
        self.formats = set()

    def forward(self, inputs, needed):
        seen = {"volume": torch.channels_last_3d, "image": torch.channels_last}
        self.formats |= {(name, inputs[name].is_contiguous(memory_format=kind)) for name, kind in seen.items()}
        maps = [getattr(self, name)(inputs[name]) for name in seen]
        return {name: sum(each.tanh().flatten(2).mean(2) for each in maps) for name in needed}


class Scans:
    def __len__(self):
        return 6

    def sample(self, row, seed):
        generator = torch.Generator().manual_seed(row)
        shapes = {"volume": (2, 4, 5, 6), "image": (2, 5, 6)}
        inputs = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        return inputs, torch.randn(1, generator=generator)


def test_volumes_and_images_train_alike_with_channels_last(tmp_path):
    tasks, models = TaskSet([TaskSpec("score", "regression", "maps", 1)]), {}
    for last in (False, True):
        torch.manual_seed(0)
        model = MultiHeadModel(Mixed(), {"score": nn.Linear(4, 1)}, tasks)
        config = TrainConfig(epochs=1, steps_per_epoch=4, batch_size=3, optimizer="sgd", channels_last=last)
        run = Run.begin(
            tmp_path / str(last),
            RunInfo(application="toy", system="toy", preset="toy", tasks=tasks.to_json()),
        )
        fit(model, {"score": nn.functional.mse_loss}, {"score": Scans()}, config, run, progress="quiet")
        assert model.backbone.formats == {("volume", last), ("image", last)}
        models[last] = model
    weight = models[True].backbone.volume.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d) and not weight.is_contiguous()
    for name, value in models[False].state_dict().items():
        torch.testing.assert_close(models[True].state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)
