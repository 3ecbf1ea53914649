"""What the demonstrations of all applications share: numbered stages, each the verb that a person would type."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import typer

from apps.stopping import program
from apps.terminal import say
from polyhead.application import RESEARCH_USE
from polyhead.batch.outcome import EXIT_INTERRUPTED
from polyhead.runs.run import RUN_FILE


class Stages:
    """The verbs of an application, one after the other: before each its command line, after it the seconds.

    Args:
        application: name of the application.
        of: how many stages there will be.
    """

    def __init__(self, application: str, of: int):
        self.application, self.of = application, of
        self._number, self._began = 0, time.monotonic()

    @contextmanager
    def __call__(self, verb: str, *arguments: object) -> Iterator[None]:
        self._number += 1
        place = f"[{self._number}/{self.of}]"
        say(f"\n{place} {shlex.join([*program(), self.application, verb, *map(str, arguments)])}")
        started = time.monotonic()
        yield
        say(f"{place} {verb}: {time.monotonic() - started:.0f} s")

    def finish(self, *lines: str, onward: Sequence[Sequence[object]] = ()) -> None:
        """Says how long all took, where the results are, and which commands may come next, ready to be pasted."""
        say(f"\nfinished in {time.monotonic() - self._began:.0f} s; {RESEARCH_USE}")
        for line in lines:
            say(line)
        if onward:
            say("\nnext:")
        for words in onward:
            say(f"  {shlex.join([*program(), *map(str, words)])}")
        activate = Path(program()[0]).with_name("activate")
        if onward and activate.is_file():
            say(f"source {shlex.quote(str(activate))} puts plain `polyhead` on the PATH of this shell")


def demonstrate(
    application: str,
    verbs: typer.Typer,
    out: Path,
    *,
    answered: str = "",
    sample: Sequence[str] = (),
    train: Sequence[str] = (),
    evaluate: Sequence[str] = (),
) -> Path:
    """The verbs of `apps.common_verbs` one after the other; a repeated call does what is left to do.

    The folder: ``data/`` the sample, ``run/`` the trained model, ``predictions/`` answers, ``report.html``.

    Args:
        application: its name.
        verbs: its command line.
        out: folder for everything.
        answered: the folder of the sample that is answered; all of it where it is empty.
        sample, train, evaluate: further words of these verbs.

    Returns:
        The report, one HTML page.

    Raises:
        ValueError: the folder holds something else, or a demonstration with other settings.
        RuntimeError: cases failed.
    """
    command = typer.main.get_command(verbs)
    data, run, predictions = out / "data", out / "run", out / "predictions"
    sampled = data.exists()
    stage = Stages(application, 3 if sampled else 4)

    def call(verb: str, *words: object) -> None:
        with stage(verb, *words):
            status = command.main([verb, *map(str, words)], standalone_mode=False)
            if status == EXIT_INTERRUPTED:
                raise KeyboardInterrupt
            if status:
                raise typer.Exit(status)

    if not sampled:
        call("sample", data, *sample)
    call("train", data, "-o", run, *train, *(["--resume"] if is_begun(run) else []))
    answer_all(partial(call, "predict", run, data / answered, "-o", predictions), predictions)
    call("evaluate", predictions, data, "-o", out, *evaluate)
    stage.finish(f"scores:   {out / 'report.html'}", f"answers:  {predictions / 'summary.html'}")
    return out / "report.html"


def repeated(flag: str, values: Sequence[str] | None) -> list[str]:
    """The flag once before each value, as it is typed."""
    return [word for value in values or () for word in (flag, value)]


def is_begun(run: Path) -> bool:
    """Whether a training is there to go on with."""
    return (run / RUN_FILE).is_file()


def answer_all(predict: Callable[[], None], predictions: Path) -> None:
    """Runs the verb `predict`, which may end by `typer.Exit`.

    Raises:
        KeyboardInterrupt: it was interrupted.
        RuntimeError: cases failed.
    """
    status = 0
    try:
        predict()
    except typer.Exit as ended:
        status = ended.exit_code
    if status == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(f"the prediction ended with status {status}; see {predictions / 'failed.txt'}")
