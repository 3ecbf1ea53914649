"""Two tasks on complex sequences of several lengths: complex weights, statistics and frozen factors, named losses."""

import torch
from torch import nn

from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run, RunInfo
from polyhead.tasks import TaskSet, TaskSpec
from polyhead.train import fit

TASKS = TaskSet(
    [TaskSpec("size", "regression", "spectrum", 1, weight=2.0), TaskSpec("real", "regression", "spectrum", 1)]
)


class Spectrum(nn.Module):
    """Sequences (B, L, 4) to features (B, 10); `statistic` is a running mean of complex numbers."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 5, dtype=torch.complex64))
        self.factor = nn.Parameter(torch.randn(5, dtype=torch.complex64), requires_grad=False)
        self.register_buffer("statistic", torch.zeros(5, dtype=torch.complex64))

    def forward(self, inputs, needed):
        mean = (inputs @ self.kernel).mean(dim=1)
        if self.training:
            self.statistic.lerp_(mean.detach().mean(dim=0), 0.1)
        mean = mean * self.factor
        return {name: torch.cat([mean.real, mean.imag], dim=1) for name in needed}


class Sequences:
    """Rows of three lengths, which only their keys keep apart."""

    def __init__(self, rows=13):
        generator = torch.Generator().manual_seed(0)
        self.batch_keys = [(3, 5, 7)[row % 3] for row in range(rows)]
        self.x = [torch.randn(length, 4, dtype=torch.complex64, generator=generator) for length in self.batch_keys]

    def __len__(self):
        return len(self.x)

    def sample(self, row, seed):
        x = self.x[row]
        return x, {"size": x.abs().mean()[None], "real": x.real.mean()[None]}


def loss(output, target):
    error = nn.functional.mse_loss(output, target)
    return {"loss": error, "distance": (output - target).abs().mean()}


def make_model(seed=0):
    torch.manual_seed(seed)
    return MultiHeadModel(Spectrum(), {task: nn.Linear(10, 1) for task in TASKS}, TASKS)


def train_complex(path, config, *, model=None, ranks=None, data=None):
    """Trains both tasks on shared batches; the model."""
    model = make_model() if model is None else model
    data = Sequences() if data is None else data
    info = RunInfo(application="toy", system="toy", preset="toy", tasks=TASKS.to_json())
    with Run.begin(path, info, ranks=ranks) as run:
        fit(model, dict.fromkeys(TASKS, loss), {tuple(TASKS): data}, config, run, progress="quiet")
    return model
