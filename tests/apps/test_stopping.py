"""Ctrl-C and SIGTERM: status 130, one line that says what was kept, and a command that goes on when it is pasted."""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from apps import stopping
from domains.medical.ultrasound.learning import training


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    from domains.medical.ultrasound.simulator import sample

    root = tmp_path_factory.mktemp("few") / "data of two"
    sample(root, rows_per_task=8, validation=0, size=(64, 80), tasks=["breast_2cls"])
    return root


SMALL = ["--preset", "tiny", "--set", "image_size=64", "--set", "epochs=4", "--set", "batch_size=2"]


def stop_at(monkeypatch, step, number):
    """The signal comes after that step of a training."""
    fit = training.fit

    def stopped(*arguments, **options):
        options["on_step"] = lambda done: os.kill(os.getpid(), number) if done == step else None
        return fit(*arguments, **options)

    monkeypatch.setattr(training, "fit", stopped)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_that_a_stopped_training_prints_goes_on(polyhead, few, tmp_path, monkeypatch, number):
    out = tmp_path / "run 1"
    with monkeypatch.context() as patched:
        stop_at(patched, 5, number)
        status, said, err = polyhead("ultrasound", "train", few, "-o", out, "--overwrite", *SMALL)
    assert (status, said) == (130, "")
    line = err.strip().splitlines()[-1]
    # The signal is taken after the step that follows it.
    words, onward = line.split("to go on: ")
    assert words == f"stopped at step 6 of 12; a snapshot is kept in {out}; "
    typed = shlex.split(onward)
    assert typed == ["polyhead", "ultrasound", "train", str(few), "-o", str(out), *SMALL, "--resume"]
    status, said, err = polyhead(*typed[1:])
    assert (status, said) == (0, f"{out}\n")
    assert "going on from the snapshot of step 6" in err


def test_a_training_that_had_not_begun_is_run_again(polyhead, few, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "read_labelled", stopped)
    call = ["ultrasound", "train", str(few), "-o", str(tmp_path / "run"), *SMALL]
    status, out, err = polyhead(*call)
    assert (status, out) == (130, "")
    assert err == f"stopped; nothing was kept; run it again: {shlex.join(['polyhead', *call])}\n"


def test_a_stopped_simulation_goes_on_by_the_same_command(polyhead, tmp_path, monkeypatch):
    def terminated(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("SIGTERM is heeded at once")

    monkeypatch.setattr("domains.medical.ultrasound.simulator.sample", terminated)
    status, out, err = polyhead("ultrasound", "sample", tmp_path / "D")
    assert (status, out) == (130, "")
    assert (
        err == f"stopped; what is done is kept, and the same command goes on: polyhead ultrasound sample {tmp_path}/D\n"
    )


def test_a_stop_elsewhere_says_that_nothing_was_kept(polyhead, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("apps.ultrasound.held_out.rows_to_score", stopped)
    status, out, err = polyhead("ultrasound", "evaluate", tmp_path, tmp_path)
    assert (status, out) == (130, "")
    assert err == f"stopped; nothing was kept; run it again: polyhead ultrasound evaluate {tmp_path} {tmp_path}\n"


def test_the_folder_of_several_runs_counts_too(tmp_path):
    member = tmp_path / "member-0"
    with (
        pytest.raises(stopping.Stopped, match=r"no snapshot is there yet .* --resume$"),
        stopping.training_into(tmp_path),
    ):
        member.mkdir()
        (member / "run.json").write_text("{}")
        raise KeyboardInterrupt
    with pytest.raises(stopping.Stopped, match=r"begin anew: .* --overwrite"):  # noqa: SIM117
        with stopping.training_into(tmp_path, resumable=False):
            (member / "snapshots" / "step-1").mkdir(parents=True)
            raise KeyboardInterrupt


def test_the_program_is_named_as_it_was_called(tmp_path, monkeypatch):
    script = tmp_path / "polyhead"
    script.write_text("")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "x y"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert stopping.command() == f"{script} 'x y'"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stopping.command() == "polyhead 'x y'"
    monkeypatch.setattr(sys, "argv", ["/somewhere/apps/cli.py"])
    assert stopping.program() == [sys.executable, "-m", "apps.cli"]


# Other tests load JAX, which warns of forks; the child does nothing.
@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")
def test_children_that_are_forked_die_of_a_termination():
    ready, begun = os.pipe()
    with stopping.heeding_terminations():
        child = os.fork()
        if child == 0:
            os.write(begun, b"!")
            time.sleep(10)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
