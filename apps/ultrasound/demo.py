"""`polyhead demo ultrasound`: simulate, train, predict and score; a repeated call does what is left to do.

The folder: ``data/`` the simulated set, ``run/`` the trained model, ``predictions/`` the answers, ``report.html``,
``gallery.png`` one answer of each task.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from apps.ultrasound import cli
from polyhead.application import RESEARCH_USE
from polyhead.runs import RUN_FILE

ROWS_PER_TASK = 40


def run_demo(
    out: Path,
    *,
    rows_per_task: int = ROWS_PER_TASK,
    tasks: Sequence[str] | None = None,
    settings: Sequence[str] = (),
) -> Path:
    """Runs the verbs of the command line one after the other and prints where the results are.

    The scores are of the fifth of the images that the model was not trained on.

    Args:
        out: folder for everything.
        rows_per_task: simulated rows of every task.
        tasks: official task names; None takes all 27.
        settings: changes of the preset ``tiny``, as ``name=value``.

    Returns:
        The report, one HTML page.

    Raises:
        ValueError: the folder holds something else, or a demonstration with other settings.
        RuntimeError: cases failed, which simulated images do not.
    """
    began = time.monotonic()
    data, run, predictions, report = out / "data", out / "run", out / "predictions", out / "report.html"
    chosen = list(tasks) if tasks else None
    named = [word for task in chosen or () for word in ("--task", task)]
    changes = [word for setting in settings for word in ("--set", setting)]
    resume = (run / RUN_FILE).is_file()

    # The held-out images come from the split of the training, so no validation set is simulated.
    with _stage(1, "sample", data, "--rows-per-task", rows_per_task, "--validation", 0, *named):
        cli.sample(data, rows_per_task=rows_per_task, validation=0, task=chosen)
    with _stage(2, "train", data, "-o", run, "--preset", "tiny", *changes, *(["--resume"] if resume else [])):
        cli.train(data, run, preset="tiny", settings=list(settings), resume=resume)
    with _stage(3, "predict", run, data, "-o", predictions, "--format", "fm-uia"):
        _predict(run, data, predictions)
    with _stage(4, "evaluate", predictions, data, "-o", out, "--rows", "held-out"):
        cli.evaluate(predictions, data, out, rows="held-out")
    _gallery(data, predictions, out / "gallery.png")
    _say(f"\nfinished in {time.monotonic() - began:.0f} s; {RESEARCH_USE}")
    _say(f"scores:   {report}")
    _say(f"answers:  {predictions / 'summary.html'}")
    _say(f"picture:  {out / 'gallery.png'}")
    _say(f"pages:    {_page_command(out)}")
    return report


def _predict(run: Path, data: Path, predictions: Path) -> None:
    status = 0
    try:
        cli.predict(run, str(data), predictions, format="fm-uia")
    except typer.Exit as ended:
        status = ended.exit_code
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise RuntimeError(f"the prediction ended with status {status}; see {predictions / 'failed.txt'}")


def _gallery(data: Path, predictions: Path, path: Path) -> None:
    """One image of each task as it was answered, of those that were not trained on."""
    from apps.ultrasound.held_out import rows_to_score
    from domains.medical.ultrasound.gallery import write_gallery
    from domains.medical.ultrasound.sources import cases_from

    held, *_ = rows_to_score(predictions, data, "held-out")
    images = {row.image for row in held}
    write_gallery(predictions, [case for case in cases_from(data) if case.path in images], path)


def _page_command(out: Path) -> str:
    """The command that opens the pages where this run is among those offered."""
    from ui.runs import demo_folder

    if out.resolve().is_relative_to(demo_folder()):
        return "polyhead app"
    return shlex.join(["polyhead", "app", "--runs", str(out.parent)])


@contextmanager
def _stage(number: int, verb: str, *arguments: object) -> Iterator[None]:
    _say(f"\n[{number}/4] {shlex.join(['polyhead', 'ultrasound', verb, *map(str, arguments)])}")
    started = time.monotonic()
    yield
    _say(f"[{number}/4] {verb}: {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
