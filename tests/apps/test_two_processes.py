"""Every training of the command line in two processes: one run, one voice, one error; once as torchrun does it."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from ranks_of_cli import as_two

from domains.pde.data.samples import OperatorData, Quantity
from domains.pde.data.store import write_data
from polyhead.runs.run import Run

COUNTS = ("--set", "training.epochs=2", "--set", "training.steps_per_epoch=2", "--set", "training.batch_size=4")


def ultrasound(folder):
    from domains.medical.ultrasound.simulator import sample

    sample(folder, rows_per_task=5, rows_per_class=0, validation=0, tasks=["breast_lesion", "fetal_femur"])
    # A row that cannot be used, so that a list of problems is written.
    image = min(folder.rglob("*.png"))
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


@pytest.mark.parametrize("make", [ultrasound, pde, genomics, pretraining])
def test_two_processes_train_one_run(tmp_path, make):
    command = [*make(tmp_path / "data"), "-o", tmp_path / "run"]
    (first, out, err), other = as_two(tmp_path, *command)
    assert (first, out) == (0, f"{tmp_path / 'run'}\n"), err
    assert "after 2 epochs in" in err and other == (0, "", "")
    run = Run.open(tmp_path / "run")
    assert run.info.finished and run.info.metrics["steps_done"] == 4
    assert all(values.isfinite().all() for values in run.load_weights().values() if values.is_floating_point())
    assert [line["step"] for line in run.metrics() if line["split"] == "train"] == [1, 2, 3, 4]
    assert [line["step"] for line in run.metrics() if line["split"] == "validation"] == [2, 4]
    assert not run.snapshots.exists() and not list(tmp_path.glob(".run.corpus-*"))

    before = run.identity()
    line = f"error: {run.path} holds a run already; resume it, overwrite it, or name another folder"
    for status, out, err in as_two(tmp_path, *command):
        assert (status, out) == (2, "") and err.splitlines()[-1] == line, err
    (first, out, err), other = as_two(tmp_path, *command, "--resume")
    assert (first, out, other) == (0, f"{run.path}\n", (0, "", "")), err
    again = Run.open(run.path)
    assert again.identity() == before and again.info.created == run.info.created
    assert again.metrics() == run.metrics()


def test_two_processes_train_an_ensemble(tmp_path):
    command = [*pde(tmp_path / "data"), "-o", tmp_path / "runs", "--members", "2"]
    (first, out, err), other = as_two(tmp_path, *command)
    assert (first, out, other) == (0, f"{tmp_path / 'runs'}\n", (0, "", "")), err
    assert "member 2 of 2, seed 43" in err
    members = [Run.open(tmp_path / "runs" / f"member-{number}") for number in range(2)]
    assert [member.info.finished for member in members] == [True, True]
    for status, _, err in as_two(tmp_path, *command):
        assert status == 2 and f"error: {tmp_path / 'runs'} holds an ensemble already" in err
    (first, _, err), other = as_two(tmp_path, *command, "--resume")
    assert (first, other) == (0, (0, "", "")), err


def test_torchrun_starts_a_training(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    arguments = [*pretraining(tmp_path / "data"), "-o", tmp_path / "run", "--device", "cpu"]
    command = [sys.executable, "-m", *launcher, "-m", "apps.cli", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'run'}\n"), done.stderr
    assert done.stderr.count("after 2 epochs in") == 1 and Run.open(tmp_path / "run").info.finished
