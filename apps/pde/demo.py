"""`polyhead demo pde`: solve, train, predict and score three problems; a repeated call does what is left to do.

The folder: ``data/`` the solved sets, and for each of ``fisher``, ``darcy`` and ``plate`` a folder with ``run/``,
``predictions/`` and ``report.html``.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from apps.pde import cli
from polyhead.application import RESEARCH_USE
from polyhead.runs import RUN_FILE

PROBLEMS = ("fisher", "darcy", "plate")
BANDED = ("darcy",)
"""Problems whose tiny data set has validation samples enough for bands."""


def run_demo(
    out: Path,
    *,
    problems: Sequence[str] = PROBLEMS,
    samples: Mapping[str, int] | None = None,
    settings: Sequence[str] = (),
    plots: bool = True,
) -> list[Path]:
    """Runs the verbs of the command line one after the other and prints where the results are.

    Args:
        out: folder for everything.
        problems: which of the three.
        samples: samples of each task, for a problem that should not have the preset's number.
        settings: changes of the tiny presets, as ``name=value``.
        plots: draw every answer.

    Returns:
        the reports, one HTML page a problem.

    Raises:
        ValueError: the folder holds something else, or a demonstration with other settings.
        RuntimeError: cases failed, which solved samples do not.
    """
    began = time.monotonic()
    data, reports = out / "data", []
    number, of = 0, 4 * len(problems) + sum(problem in BANDED for problem in problems)
    changes = [word for setting in settings for word in ("--set", setting)]

    @contextmanager
    def stage(verb: str, *arguments: object) -> Iterator[None]:
        nonlocal number
        number += 1
        _say(f"\n[{number}/{of}] {shlex.join(['polyhead', 'pde', verb, *map(str, arguments)])}")
        started = time.monotonic()
        yield
        _say(f"[{number}/{of}] {verb}: {time.monotonic() - started:.0f} s")

    for problem in problems:
        place, file = out / problem, data / f"{problem}.h5"
        run, predictions = place / "run", place / "predictions"
        preset, resume = f"tiny-{problem}", (run / RUN_FILE).is_file()
        count = (samples or {}).get(problem)
        with stage("sample", data, "--problem", problem, *(["--samples", count] if count else [])):
            cli.sample(data, problem=[problem], samples=count)
        with stage("train", file, "-o", run, "--preset", preset, *changes, *(["--resume"] if resume else [])):
            cli.train(file, run, preset=preset, settings=list(settings), resume=resume)
        if problem in BANDED:
            with stage("calibrate", run, file):
                cli.calibrate(run, file)
        with stage("predict", run, file, "-o", predictions, *([] if plots else ["--no-plots"])):
            _predict(run, file, predictions, plots)
        with stage("evaluate", predictions, file, "-o", place):
            cli.evaluate(predictions, file, place)
        reports.append(place / "report.html")
    _say(f"\nfinished in {time.monotonic() - began:.0f} s; {RESEARCH_USE}")
    for problem, report in zip(problems, reports, strict=True):
        _say(f"{problem}: scores {report}, answers {out / problem / 'predictions' / 'summary.html'}")
    return reports


def _predict(run: Path, data: Path, predictions: Path, plots: bool) -> None:
    status = 0
    try:
        cli.predict(run, str(data), predictions, plots=plots)
    except typer.Exit as ended:
        status = ended.exit_code
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(f"the prediction ended with status {status}; see {predictions / 'failed.txt'}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
