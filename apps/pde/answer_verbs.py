"""`polyhead pde predict` and `evaluate`: fields for cases, and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.batch_flags import BatchFlags, with_batch_flags
from apps.flags import (
    Device,
    Full,
    Quiet,
    ReportFolder,
    Resamples,
    Results,
    Run,
    ScoresAsJson,
    Seed,
    Task,
)
from apps.terminal import counting, show_report
from polyhead.batch.products import Products

PRODUCTS = Products(
    {
        "fields": "field.npz, the arrays, which evaluate reads",
        "meshes": "field.vtu, for ParaView",
        "plots": "the answer drawn",
        "thumbnails": "a small picture, for the summary",
    }
)

Data = Annotated[Path, typer.Argument(help="Data folder, or one .h5 file of it.")]
Split = Literal["train", "validation", "test", "all"]


@with_batch_flags(32, "Cases answered at once.", PRODUCTS)
def predict(
    run: Run,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Data, or parameter files, tables, masks, meshes; a folder, a glob.")
    ],
    out: Results,
    split: Annotated[Split, typer.Option(help="Which samples of data files.")] = "test",
    task: Task = None,
    points: Annotated[Path | None, typer.Option(help="CSV file of points to answer at.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Grid to answer on, as 64x64, in the order of the axes' names.")
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Input function of masks and meshes: a .npy file, or default.")
    ] = None,
    solve: Annotated[bool, typer.Option("--solve", help="Let our own solver answer too, and compare.")] = False,
    device: Device = "auto",
    *,
    flags: BatchFlags,
) -> None:
    """Answers every case with a field; one bad input never stops the others.

    Exit status: 0 all done, 3 some cases failed, 4 no valid input, 130 interrupted. The same command goes on.
    """
    from apps.predicting import about
    from apps.predicting import predict as run_predict
    from domains.pde.asking.sources import cases_from
    from domains.pde.predicting.members import identity, member_runs
    from domains.pde.predicting.room import bytes_of, usual_points
    from polyhead.batch.search import PassedOver
    from polyhead.batch.worker import PredictorFactory
    from polyhead.runs.identity import CALIBRATION_FILE
    from polyhead.runs.run import Run as RunFolder
    from polyhead.system.files import hash_file

    members = member_runs(run)
    info = RunFolder.open(members[0]).info
    known = info.task_set
    wanted = list(known.subset(task) if task else known)
    asked = set(wanted) if task else None
    passed = PassedOver()
    with counting("looking for inputs", flags.quiet or flags.log_json) as count:
        cases = cases_from(source, split=split, tasks=list(asked) if asked else None, count=count, passed=passed)
    arguments: dict[str, Any] = {
        "tasks": wanted,
        "points": None if points is None else str(points),
        "resolution": None if resolution is None else _lengths(resolution),
        "field": field,
        "solver": solve,
    }
    calibration = run / CALIBRATION_FILE
    # What a file holds decides the answer, not its name.
    held = {str(name): hash_file(Path(name)) for name in (points, field) if name is not None and Path(name).is_file()}
    summary = run_predict(
        cases,
        PredictorFactory(
            "domains.pde.predicting.predict:load_predictor", arguments | {"run": str(run), "device": device}
        ),
        flags,
        model=identity(run),
        parameters=arguments | {"files": held},
        info=about(info, run, source, split=split),
        passed=passed,
        on_merged=partial(_keep_calibration, calibration),
        bytes_of=partial(bytes_of, points=usual_points(info, arguments["resolution"]), saved=flags.save),
    )
    raise typer.Exit(summary.exit_status)


def _keep_calibration(calibration: Path, out: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """`evaluate` counts what the bands cover, so they are told beside the answers."""
    from polyhead.system.files import write_whole

    target = out / calibration.name
    if calibration.is_file():
        write_whole(target, calibration.read_bytes())
    else:
        target.unlink(missing_ok=True)


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Output of `predict` on data.")],
    data: Data,
    out: ReportFolder = None,
    split: Annotated[Split, typer.Option(help="Which samples to score.")] = "test",
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A single-task run, or its predictions, to compare with by Δm; may be given several times."),
    ] = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    pictures: Annotated[bool, typer.Option(help="Draw the median and the worst sample of each task.")] = True,
    device: Device = "auto",
    full: Full = False,
    as_json: ScoresAsJson = False,
    quiet: Quiet = False,
) -> None:
    """Scores predicted fields task by task, beside the mean field, with bootstrap intervals."""
    from apps.chosen_epoch import run_of, with_chosen_epoch
    from apps.unfinished import with_unfinished
    from domains.pde.evaluation.evaluate import evaluate as score
    from domains.pde.evaluation.report import write_report
    from polyhead.evaluation.own_report import refuse_foreign_report

    refuse_foreign_report((out or predictions) / "report.html")
    report = score(predictions, data, split=split, resamples=resamples, seed=seed or 0, pictures=pictures)
    report = with_chosen_epoch(report, run_of(predictions), on_validation=split in ("validation", "all"))
    if against:
        from domains.pde.evaluation.compare import compare

        report = replace(report, against=compare(report, against, data, device=device))
    report = with_unfinished(report, predictions)
    written = write_report(report, (out or predictions) / "report.html")
    show_report(report, written[0], full=full, as_json=as_json, quiet=quiet)


def _lengths(text: str) -> list[int]:
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--resolution {text}: write lengths as 64x64")
    return [int(part) for part in parts]
