"""How commands end: each failure one line and its status."""

import errno

import pytest

from apps.exits import refusal, run
from polyhead.batch.outcome import NoInput


@pytest.mark.parametrize(
    ("failure", "status", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a"),
            2,
            "error: a: No space left on device; free some space (train goes on with --resume), or name another place",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "out"),
            2,
            "error: out: Permission denied; name a place that you may use, or change its permissions",
        ),
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            2,
            "error: No space left on device; free some space (train goes on with --resume), or name another place",
        ),
        (ConnectionError("lost"), 1, "internal error: ConnectionError: lost (POLYHEAD_DEBUG=1 shows where)"),
        (
            ModuleNotFoundError("No module named 'jax'", name="jax"),
            2,
            "error: the Python module jax is not installed; `polyhead doctor` says how to get it",
        ),
        (
            ModuleNotFoundError("No module named 'domains.gone'", name="domains.gone"),
            1,
            "internal error: ModuleNotFoundError: No module named 'domains.gone' (POLYHEAD_DEBUG=1 shows where)",
        ),
        (NoInput("nothing there"), 4, "error: nothing there"),
    ],
)
def test_how_failures_end(capsys, failure, status, line):
    def fail():
        raise failure

    assert run(fail) == status
    assert capsys.readouterr().err == line + "\n"


def test_a_name_with_a_line_break_is_told_of_in_one_line(capsys):
    def fail():
        raise ValueError("no file a\nb")

    assert run(fail) == 2
    assert capsys.readouterr().err == "error: no file a\\nb\n"


def test_an_empty_word_is_no_path(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["polyhead", "pde", "predict", "R", "", "-o", "OUT"])
    assert run(lambda: None) == 2
    assert capsys.readouterr().err == "error: one of the words after the command is empty; is a variable not set?\n"


def test_a_refusal_names_the_place_that_cannot_be_written():
    moved = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert refusal(moved) == "b: Invalid cross-device link"
    assert refusal(OSError(errno.ENOSPC, "No space left on device")) == (
        "No space left on device; free some space (train goes on with --resume), or name another place"
    )


def test_a_command_that_trained_among_others_leaves_them(tmp_path):
    # Else a thread of the group may abort the process at its very end: a whole training, and status 134.
    import torch

    from polyhead.system.ranks import leave_ranks

    def train():
        store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        raise SystemExit(0)

    assert run(train) == 0
    assert not torch.distributed.is_initialized()
    leave_ranks()
