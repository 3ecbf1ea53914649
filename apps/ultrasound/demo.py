"""`polyhead demo ultrasound`: simulate, train, predict and score; a repeated call does what is left to do.

The folder: ``data/`` the simulated set, ``run/`` the trained model, ``predictions/`` the answers, ``report.html``,
``gallery.png`` one answer of each task.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from apps.demonstration import Stages, answer_all, is_begun, repeated
from apps.stopping import program
from apps.ultrasound import cli

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
    data, run, predictions, report = out / "data", out / "run", out / "predictions", out / "report.html"
    chosen = list(tasks) if tasks else None
    named, changes, resume = repeated("--task", chosen), repeated("--set", settings), is_begun(run)
    stage = Stages("ultrasound", 4)

    # The held-out images come from the split of the training, so no validation set is simulated.
    with stage("sample", data, "--rows-per-task", rows_per_task, "--validation", 0, *named):
        cli.sample(data, rows_per_task=rows_per_task, validation=0, task=chosen)
    with stage("train", data, "-o", run, "--preset", "tiny", *changes, *(["--resume"] if resume else [])):
        cli.train(data, run, preset="tiny", settings=list(settings), resume=resume)
    with stage("predict", run, data, "-o", predictions, "--format", "fm-uia"):
        answer_all(partial(cli.predict, run, str(data), predictions, format="fm-uia"), predictions)
    with stage("evaluate", predictions, data, "-o", out, "--rows", "held-out"):
        cli.evaluate(predictions, data, out, rows="held-out")
    _gallery(data, predictions, out / "gallery.png")
    stage.finish(
        f"scores:   {report}",
        f"answers:  {predictions / 'summary.html'}",
        f"picture:  {out / 'gallery.png'}",
        f"pages:    {_page_command(out)}",
        onward=[
            ["ultrasound", "predict", run, data / "Classification", "-o", out / "pictures"],
            ["ultrasound", "train", data, "-o", out / "run-2", "--preset", "tiny", "--epochs", 5],
            _pages(out),
        ],
    )
    return report


def _gallery(data: Path, predictions: Path, path: Path) -> None:
    """One image of each task as it was answered, of those that were not trained on."""
    from apps.ultrasound.held_out import rows_to_score
    from domains.medical.ultrasound.asking.sources import cases_from
    from domains.medical.ultrasound.predicting.gallery import write_gallery

    held = rows_to_score(predictions, data, "held-out").rows
    images = {row.image for row in held}
    write_gallery(predictions, [case for case in cases_from(data) if case.path in images], path)


def _page_command(out: Path) -> str:
    """The command that opens the pages where this run is among those offered."""
    return shlex.join([*program(), *_pages(out)])


def _pages(out: Path) -> list[str]:
    from ui.runs import demo_folder

    return ["app"] if out.resolve().is_relative_to(demo_folder()) else ["app", "--runs", str(out.parent)]
