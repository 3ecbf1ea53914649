"""The verb `transfer`: fine-tunings over several counts of samples, and the learning curve as JSON and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyhead.training.session import Session


def run_transfer(
    run: Path,
    data: Path,
    out: Path,
    *,
    counts: Sequence[int],
    from_scratch: bool = False,
    freeze_published: bool = False,
    tasks: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learning curves of every target task of `data` into OUT/<task>/, and OUT/learning_curve.{json,html} of all.

    Args:
        run: the trained run to start from.
        data: a data folder or file with one problem.
        counts: training samples of the target task.
        from_scratch: the same from random weights, to compare.
        freeze_published: keep what the paper keeps as it is.
        tasks: only these.
        settings: of the training, as ``epochs`` or ``training.epochs``.

    Returns:
        the page.

    Raises:
        ValueError: several problems, an unknown task, no samples, or settings that do not fit.
    """
    from domains.pde.data.store import data_files, read_data
    from domains.pde.learning.curves import write_curves
    from domains.pde.learning.transfer import PUBLISHED_FREEZE, fine_tuning, learning_curve
    from polyhead.evaluation.own_report import refuse_foreign_report

    page = out / "learning_curve.html"
    refuse_foreign_report(page)
    files = data_files(data)
    if len(files) > 1:
        raise ValueError(f"{data} holds several problems ({', '.join(files)}); give the .h5 file of one")
    samples = read_data(next(iter(files.values())))
    wanted = list(tasks or samples.tasks)
    for task in wanted:
        enough = len(samples.rows(task=task, split="train"))
        if enough < max(counts):
            raise ValueError(f"{task} has {enough} training samples; ask for at most that many with --samples")
    try:
        config = fine_tuning(run, **{name.removeprefix("training."): v for name, v in (settings or {}).items()})
    except ValueError as wrong:
        raise ValueError(f"settings that do not fit: {' '.join(str(wrong).split())}") from None
    freeze: list[str] = []
    if freeze_published:
        # The published list names convolutions; a dense branch has none, and all of it is trained.
        convolutional = bool(config.network_of(samples.problem).branch.channels)
        freeze = [part for part in PUBLISHED_FREEZE if convolutional or ".conv" not in part]
        say(f"kept as they are: {', '.join(freeze)}")
    curves = {}
    for task in wanted:
        folder = out / task.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        curves[task] = learning_curve(
            samples,
            task,
            folder,
            source=run,
            config=config,
            counts=list(counts),
            seeds=[seed],
            ways=("transfer", "scratch") if from_scratch else ("transfer",),
            freeze=freeze,
            session=Session(overwrite=overwrite, say=say),
        )
    return write_curves(curves, page)
