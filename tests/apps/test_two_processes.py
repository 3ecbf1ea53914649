"""Every training of the command line, begun by torchrun with two processes: one run, one voice, one error."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from domains.pde.samples import OperatorData, Quantity
from domains.pde.store import write_data
from polyhead.runs import Run

COUNTS = ("--set", "training.epochs=2", "--set", "training.steps_per_epoch=2", "--set", "training.batch_size=4")


def ultrasound(folder):
    from domains.medical.ultrasound.simulator import sample

    sample(folder, rows_per_task=5, rows_per_class=0, validation=0, tasks=["breast_lesion", "fetal_femur"])
    # A row that cannot be used, so that a list of problems is written.
    image = next((folder / "train").rglob("*.png"))
    image.write_bytes(b"no picture")
    return ["ultrasound", "train", folder, "--preset", "tiny", *COUNTS, "--set", "validate_every=1"]


def pde(folder):
    generator = np.random.default_rng(0)
    t, x = np.linspace(0, 1, 4), np.linspace(0, 1, 6)
    functions = generator.uniform(0.5, 1.5, size=(20, 1, 6)).astype(np.float32)
    rate = generator.uniform(0.5, 1.0, size=20)
    data = OperatorData(
        problem="fisher",
        tasks=("fisher/fisher",),
        coordinates=np.stack(np.meshgrid(t, x, indexing="ij"), axis=-1).reshape(-1, 2),
        axes=(Quantity("t", "s"), Quantity("x", "m")),
        grid_shape=(4, 6),
        parameters=np.stack([rate, np.zeros(20)], axis=1),
        parameter_names=(Quantity("rate", "1/s"), Quantity("beta")),
        functions=functions,
        function_names=(Quantity("initial value"),),
        solution=(functions * np.exp(-rate[:, None, None] * t[:, None])).reshape(20, -1).astype(np.float32),
        solution_name=Quantity("concentration"),
        task=np.zeros(20, dtype=np.int16),
        split=np.resize([0, 0, 0, 1, 2], 20).astype(np.int8),
        geometry=np.zeros(20, dtype=np.int32),
        mask=np.ones((1, 24), dtype=bool),
    )
    write_data(data, folder / "fisher.h5")
    quick = ["--set", "pod_steps=3", "--set", "polish=true", "--set", "validate_every=1"]
    return ["pde", "train", folder, "--preset", "tiny-fisher", *COUNTS, *quick]


def genomics(folder):
    generator = np.random.default_rng(0)
    rows = ["".join(generator.choice(list("ACGT"), size=60)) for _ in range(12)]
    folder.mkdir()
    text = "sequence,task,label,split\n"
    text += "".join(
        f"{row},promoter,{place % 2},{('train', 'validation')[place > 8]}\n" for place, row in enumerate(rows)
    )
    (folder / "labelled.csv").write_text(text)
    return ["genomics", "train", folder, "--preset", "tiny", *SMALL, *COUNTS, "--set", "training.validate_every=1"]


def pretraining(folder):
    generator = np.random.default_rng(0)
    folder.mkdir()
    bases = "".join(generator.choice(list("ACGT"), size=3000))
    (folder / "genome.fa").write_text(f">chr1\n{bases}\n")
    counts = [word.replace("training.", "pretrain.training.") for word in COUNTS]
    pieces = ["--set", "pretrain.bases=100", "--set", "pretrain.context=32"]
    return ["genomics", "pretrain", folder / "genome.fa", "--preset", "tiny", *SMALL, *counts, *pieces]


SMALL = ("--set", "model={layers: 1, width: 16, heads: 2, ffn: 32}", "--set", "vocabulary=64")


def together(*arguments):
    """Exit status, stdout and stderr of two processes that torchrun starts, on the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    command = [sys.executable, "-m", *launcher, "-m", "apps.cli", *map(str, arguments), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("make", [ultrasound, pde, genomics, pretraining])
def test_two_processes_train_one_run(tmp_path, make):
    command = [*make(tmp_path / "data"), "-o", tmp_path / "run"]
    status, out, err = together(*command)
    assert (status, out) == (0, f"{tmp_path / 'run'}\n"), err
    assert err.count("after 2 epochs in") == 1 and err.count("to train, ") == 1, err
    run = Run.open(tmp_path / "run")
    assert run.info.finished and run.info.metrics["steps_done"] == 4
    assert all(values.isfinite().all() for values in run.load_weights().values() if values.is_floating_point())
    assert [line["step"] for line in run.metrics() if line["split"] == "train"] == [1, 2, 3, 4]
    assert [line["step"] for line in run.metrics() if line["split"] == "validation"] == [2, 4]
    assert not run.snapshots.exists() and not list(tmp_path.glob(".run.corpus-*"))

    before = run.identity()
    status, out, err = together(*command)
    line = f"error: {run.path} holds a run already; resume it, overwrite it, or name another folder"
    assert status != 0 and out == "" and line in err.splitlines(), err
    assert "internal error" not in err
    status, out, err = together(*command, "--resume")
    assert (status, out) == (0, f"{run.path}\n"), err
    again = Run.open(run.path)
    assert again.identity() == before and again.info.created == run.info.created
    assert again.metrics() == run.metrics()
