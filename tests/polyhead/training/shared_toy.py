"""Two tasks on the same rows, in the image of joint reconstruction and segmentation, with everything counted."""

import torch
from torch import nn

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import fit

TASKS = TaskSet(
    [
        TaskSpec("reconstruct", "regression", "maps", 6),
        TaskSpec("segment", "classification", "maps", 3, weight=0.5),
    ]
)


class CountedEncoder(nn.Module):
    """Features as a tree of tensors; `passes` counts the encodings."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 16)
        self.norm, self.dropout = nn.BatchNorm1d(16), nn.Dropout(dropout)
        self.passes = 0

    def forward(self, inputs, needed):
        self.passes += 1
        first = self.dropout(torch.tanh(self.norm(self.first(inputs["x"]))))
        return {name: {"maps": [first, torch.tanh(self.second(first))]} for name in needed}


class Head(nn.Module):
    """Reads the tree; adds what it sees of the inputs where it has as many outputs as they have numbers."""

    def __init__(self, outputs):
        super().__init__()
        self.linear = nn.Linear(32, outputs)
        self.takes_inputs = outputs == 6

    def forward(self, feature, inputs=None):
        answer = self.linear(torch.cat(feature["maps"], dim=1))
        return answer if inputs is None else answer + 0.1 * inputs["x"]


class Volumes:
    """Rows that both tasks have targets for; `loads` counts the batches that were made."""

    def __init__(self, rows=21):
        self.x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0))
        self.loads = 0

    def __len__(self):
        return len(self.x)

    def batch(self, rows, seeds):
        self.loads += 1
        x = self.x[list(rows)]
        return {"x": x}, {"reconstruct": x.tanh(), "segment": x[:, :3].argmax(dim=1)}


LOSSES = {"reconstruct": nn.functional.mse_loss, "segment": nn.functional.cross_entropy}


def make_model(dropout=0.0, seed=0):
    torch.manual_seed(seed)
    heads = {task: Head(spec.outputs) for task, spec in TASKS.items()}
    return MultiHeadModel(CountedEncoder(dropout), heads, TASKS)


def make_info(config, tasks=TASKS):
    return RunInfo(
        application="toy", system="toy", preset="toy", tasks=tasks.to_json(), configuration=config.model_dump()
    )


def train_shared(path, config, *, model=None, data=None, losses=LOSSES, **options):
    """Trains both tasks on shared batches; the model, its data, and what `fit` said."""
    model = make_model() if model is None else model
    data = Volumes() if data is None else data
    run = Run.begin(path, make_info(config, model.tasks))
    result = fit(model, losses, {("reconstruct", "segment"): data}, config, run, progress="quiet", **options)
    return model, data, result
