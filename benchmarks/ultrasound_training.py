"""Seconds of one training epoch, against the baseline's loop on the same network, alternating in one run.

    python -m benchmarks.ultrasound_training

Both train the preset `mh-mtl` at 256 pixels on the same rows with the same batch size and number of steps, and end
with the validation that follows each epoch. Ours visits every row once an epoch; the baseline's sampler draws tasks at
random, so some rows are seen several times and some never: the share that was seen is printed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import ultrasound_baseline as baseline
from benchmarks.results import table, write_section
from domains.medical.ultrasound.data.fm_uia import read_tables, tasks_of
from domains.medical.ultrasound.data.geometry import Frame
from domains.medical.ultrasound.data.rows import Row
from domains.medical.ultrasound.learning.dataset import TaskRows, task_data
from domains.medical.ultrasound.learning.training import task_loss, validator
from domains.medical.ultrasound.networks.network import build_model, task_specs
from domains.medical.ultrasound.presets import UltrasoundConfig, resolve
from domains.medical.ultrasound.saved import describe
from domains.medical.ultrasound.simulator import sample
from polyhead.model import MultiHeadModel
from polyhead.runs.run import Run
from polyhead.seeds import derive_seed
from polyhead.train import fit

TASKS = ("breast_lesion", "cardiac_multi", "breast_3cls", "fetal_plane_cls", "thyroid_nodule_det", "IUGC")


def _model(rows: list[Row], config: UltrasoundConfig) -> MultiHeadModel:
    torch.manual_seed(0)
    return build_model(task_specs(tasks_of(rows), config), config.network)


class Baseline:
    """The baseline's epoch: its loop, its sampler, and its validation."""

    def __init__(self, train: list[Row], validation: list[Row], config: UltrasoundConfig):
        self.config, self.train, self.validation = config, train, validation
        self.model = _model(train, config)
        self.losses = {name: task_loss(task, config) for name, task in self.model.tasks.items()}
        self.losses |= dict.fromkeys(self.model.tasks.of_kind("detection"), baseline.detection_loss)
        assert isinstance(self.model.backbone.encoder, torch.nn.Module)
        encoder = {"params": list(self.model.backbone.encoder.parameters()), "lr": 1e-4}
        heads = [{"params": self.model.head_parameters(name), "lr": 1e-3} for name in self.model.tasks]
        self.optimizer = torch.optim.AdamW([encoder, *heads])
        self.generator = random.Random(0)
        # No cache: every image is decoded anew, as the baseline does.
        self.data = task_data(train, config.model_copy(update={"data": config.data.model_copy(update=_NO_CACHE)}))

    def epoch(self) -> float:
        """Runs one epoch; returns the share of rows that were seen."""

        def load(task: str, row: int) -> tuple[Tensor, Tensor]:
            return self.data[task].sample(row, derive_seed(task, row))

        sizes = {task: len(rows) for task, rows in self.data.items()}
        rows = self.config.training.batch_of(next(iter(sizes)))
        seen = baseline.train_epoch(self.model, self.optimizer, self.losses, sizes, load, rows, self.generator)
        self.model.eval()
        fresh = task_data(self.validation, self.config.model_copy(update={"data": self.data_config()}))
        asked = [(task, index) for task, rows in fresh.items() for index in range(len(rows))]
        self.generator.shuffle(asked)
        frame = Frame(256, 256, 256, 256, 256)
        images = [fresh[task].sample(index, None)[0] for task, index in asked]
        baseline.predict(self.model, images, [frame] * len(images), [task for task, _ in asked])
        return len(seen) / sum(sizes.values())

    def data_config(self):
        return self.config.data.model_copy(update=_NO_CACHE)


_NO_CACHE = {"cache_megabytes": 0}


class Ours:
    """Our epoch: `polyhead.train.fit` as the command line runs it, decoded images kept between epochs."""

    def __init__(self, train: list[Row], validation: list[Row], config: UltrasoundConfig, folder: Path):
        self.config, self.folder = config, folder
        self.model = _model(train, config)
        self.model.backbone.decoder.requires_grad_(False)
        self.losses = {name: task_loss(task, config) for name, task in self.model.tasks.items()}
        self.data: dict[str, TaskRows] = dict(task_data(train, config))
        self.validate = validator(validation, config)
        self.epochs = 0

    def epoch(self) -> float:
        """Runs one epoch; every row is seen."""
        self.epochs += 1
        run = Run.begin(self.folder / f"run{self.epochs}", describe(self.config, self.model.tasks))
        fit(self.model, self.losses, self.data, self.config.training, run, validate=self.validate, progress="quiet")
        return 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10, help="training rows of each of six tasks")
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    changes = {
        "epochs": 1,
        "batch_size": given.batch_size,
        "sampler": "proportional",
        "snapshot_every": 10_000,
    }
    config = resolve("mh-mtl", changes)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        sample(data, rows_per_task=given.rows, validation=max(2, given.rows // 4), tasks=TASKS, seed=5)
        train, validation = read_tables(data).rows, read_tables(data / "val").rows
        loops = {"baseline": Baseline(train, validation, config), "ours": Ours(train, validation, config, Path(folder))}
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        shares: dict[str, list[float]] = {name: [] for name in loops}
        for repeat in range(given.repeats + 1):
            for name, loop in loops.items():
                started = time.perf_counter()
                share = loop.epoch()
                if repeat:  # The first round warms both up: our cache is filled in it.
                    seconds[name].append(time.perf_counter() - started)
                    shares[name].append(share)
    ratio = statistics.median(a / b for a, b in zip(seconds["baseline"], seconds["ours"], strict=True))
    lines = [
        [
            name,
            f"{statistics.median(seconds[name]):.1f}",
            f"{min(seconds[name]):.1f} to {max(seconds[name]):.1f}",
            f"{100 * statistics.median(shares[name]):.0f} %",
        ]
        for name in loops
    ]
    text = (
        f"One epoch of `mh-mtl` with its validation: {len(train)} training and {len(validation)} validation rows of "
        f"{len(TASKS)} tasks, 256 pixels, batches of {given.batch_size}, float32, {given.repeats} alternating repeats "
        f"after one to warm up.\n\n"
    )
    text += table(["loop", "seconds, median", "range", "rows seen"], lines)
    text += f"\n\nRatio baseline / ours, median of the pairs: **{ratio:.2f}**."
    write_section("Ultrasound training epoch", text)


if __name__ == "__main__":
    main()
