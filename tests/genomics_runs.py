"""A small run of the genomics application for the tests of its page: every kind of answer, hardly trained."""

import csv
import json
from pathlib import Path

PICTURES = {"kind": "image", "reverse_complement": False, "options": {"codes": 4, "grid": [2, 2], "codec": "small"}}
SHARE = {"kind": "number", "decimals": 2, "unit": "%"}


def make_data(data: Path) -> None:
    """A simulated sample, with a number (the share of G and C) and a picture of four codes for some of its windows.

    The codec of the pictures is an untrained one of 4 x 4 pixels.
    """
    import torch

    from domains.genomics.answers.codecs import CODECS
    from domains.genomics.answers.vqvae import VqVae, VqVaeConfig, save_vqvae
    from domains.genomics.simulator import SampleSize, sample

    sample(data, size=SampleSize(windows=7, functions=12, needles=0, variants=4), seed=1)
    with (data / "labelled.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["task"] == "enhancer"]
    with (data / "labelled.csv").open("a", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        for place, row in enumerate(rows):
            share = 100 * sum(base in "CG" for base in row["sequence"]) / len(row["sequence"])
            table.writerow([row["sequence"], "gc", f"{share:.2f}", row["split"], row["group"]])
            table.writerow([row["sequence"], "picture", f"{place % 4} 1 2 3", row["split"], row["group"]])
    (data / CODECS).mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_vqvae(VqVae(VqVaeConfig(size=4, codes=4)), data / CODECS, "small")
    facts = json.loads((data / "tasks.json").read_text())
    (data / "tasks.json").write_text(json.dumps(facts | {"gc": SHARE, "picture": PICTURES}))


def make_run(data: Path, run: Path) -> None:
    """Trains for a few steps on `make_data`: the answers are rough, their shapes and names are right."""
    from domains.genomics.learning.training import train
    from domains.genomics.presets import resolve

    make_data(data)
    changes = {
        "model": {"layers": 1, "width": 32, "heads": 2, "ffn": 64},
        "vocabulary": 128,
        "epochs": 1,
        "training.steps_per_epoch": 4,
        "training.batch_size": 4,
        "training.validate_every": 1,
        "training.warmup_steps": 0,
        "validation_rows": 2,
    }
    train(data, run, resolve("tiny", changes))
