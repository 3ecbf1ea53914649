"""The command line in several processes that train together, forked from a server that has imported it."""

import multiprocessing
import os
import socket
import sys
from pathlib import Path

from apps import cli


def speak(rank: int, port: int, arguments: list[str], said: Path) -> None:
    """One of two processes, as torchrun would start it; what it says goes to files."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(said / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = ["polyhead", *arguments]
    import torch

    torch.set_num_threads(1)
    try:
        cli.main()
    finally:
        sys.stdout.flush()


def as_two(said: Path, *arguments: object) -> list[tuple[int, str, str]]:
    """Exit status, stdout and stderr of each of two processes with these arguments, on the CPU."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["apps.cli", "polyhead.train"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*map(str, arguments), "--device", "cpu"]
    processes = [context.Process(target=speak, args=(rank, port, words, said)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert None not in codes, "a process hangs"
    return [
        (code or 0, (said / f"{rank}.out").read_text(), (said / f"{rank}.err").read_text())
        for rank, code in enumerate(codes)
    ]
