"""`polyhead ultrasound`: sample, convert, train, calibrate, predict, evaluate, import."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.batch_flags import BatchFlags, with_batch_flags
from apps.flags import (
    Config,
    Device,
    Full,
    NewRun,
    Overwrite,
    Quiet,
    ReportFolder,
    Resamples,
    Results,
    Run,
    ScoresAsJson,
    Seed,
    Settings,
    System,
    Task,
    application_verbs,
)
from apps.stopping import going_on
from apps.terminal import counting, sayer, show_report
from apps.training import require_system, resolve_preset, run_training, show_configuration
from apps.training_flags import Loaders, LostTasks, TrainingFlags, with_training_flags
from apps.ultrasound.converting import convert
from polyhead.batch.products import Products, saves

app = application_verbs("Ultrasound: segment, classify, detect and measure with one network.")

PRODUCTS = Products(
    {
        "masks": "index masks as PNG",
        "overlays": "the answers drawn over the image",
        "thumbnails": "a small picture, for the summary",
    }
)

DEFAULT_PRESET = "mh-mtl-plus"
SLOW = (
    "the network of {preset} on CPUs takes seconds a step, days for thousands of images; the line of progress says "
    "what is left; --preset tiny takes minutes"
)

Data = Annotated[Path, typer.Argument(help="FM_UIA data root: the folder that holds csv_files/.")]


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(help="New folder for the data set.")],
    rows_per_task: Annotated[int, typer.Option(min=1, help="Training rows of each task.")] = 40,
    rows_per_class: Annotated[
        int, typer.Option(min=0, help="At least as many training rows of each class of a classification task.")
    ] = 12,
    validation: Annotated[int, typer.Option(min=0, help="Rows of each task in OUT/val.")] = 8,
    task: Task = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Simulates a labelled B-mode data set of the 27 tasks in the FM_UIA layout.

    By default about 1,300 images, in about a minute on two cores; an interrupted call goes on.
    """
    from domains.medical.ultrasound.simulator import sample as simulate

    with going_on(), counting("simulating", quiet) as progress:
        simulate(
            out,
            rows_per_task=rows_per_task,
            rows_per_class=rows_per_class,
            validation=validation,
            seed=seed or 0,
            tasks=task,
            progress=progress,
        )
    typer.echo(out)


app.command()(convert)


@app.command()
@with_training_flags("Rows of one task in a step.", workers=Loaders)
def train(
    data: Data,
    out: NewRun,
    system: System = "mh-mtl",
    preset: Annotated[
        str,
        typer.Option(help="mh-mtl as published, with its faults; mh-mtl-plus mended; tiny, minutes on a CPU."),
    ] = DEFAULT_PRESET,
    config: Config = None,
    settings: Settings = None,
    validation: Annotated[Path | None, typer.Option(help="Second data root to validate on.")] = None,
    task: Task = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any problem of the data is an error.")] = False,
    allow_lost_tasks: LostTasks = False,
    *,
    flags: TrainingFlags,
) -> None:
    """Trains one network for all tasks of a data set.

    mh-mtl and mh-mtl-plus want a GPU: on CPUs the challenge's data take days. The line of progress says what is left.
    """
    from domains.medical.ultrasound.presets import PRESETS, resolve

    require_system(system, "mh-mtl")
    resolved = resolve_preset(resolve, preset, flags, config=config, settings=settings)
    if flags.dry_run:
        show_configuration(preset, PRESETS, resolved)
        return
    from domains.medical.ultrasound.data.fm_uia import is_data_root
    from domains.medical.ultrasound.learning.training import train as fit
    from polyhead.system.devices import choose_device

    if (
        is_data_root(data)
        and resolved.network.encoder == "efficientnet-b4"
        and choose_device(resolved.training.device).type == "cpu"
    ):
        sayer(flags.quiet)(SLOW.format(preset=preset))
    options = {"validation_data": validation, "tasks": task, "strict": strict, "allow_lost_tasks": allow_lost_tasks}
    run_training(fit, data, out, resolved, flags, **options)


@app.command()
@with_batch_flags(16, "Images encoded at once.", PRODUCTS)
def predict(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, folder, glob, list or FM_UIA data root.")],
    out: Results,
    format: Annotated[
        Literal["files", "fm-uia"], typer.Option(help="fm-uia also writes the challenge's files, to OUT/fm-uia.")
    ] = "files",
    task: Task = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["float32", "auto", "bfloat16"],
        typer.Option(help="auto takes bfloat16 where the hardware has it: quicker, answers differ a little."),
    ] = "float32",
    backend: Annotated[
        Literal["auto", "plain", "compiled", "openvino"],
        typer.Option(help="What runs the network; auto chooses by the amount of work."),
    ] = "auto",
    *,
    flags: BatchFlags,
) -> None:
    """Answers the tasks for every image; one bad file never stops the others.

    Exit status: 0 all done, 3 some cases failed, 4 no valid input, 130 interrupted. The same command goes on.
    """
    from apps.predicting import about
    from apps.predicting import predict as run_predict
    from domains.medical.ultrasound.asking.sources import cases_from
    from domains.medical.ultrasound.data.fm_uia import is_data_root
    from domains.medical.ultrasound.predicting.room import bytes_of
    from polyhead.batch.search import PassedOver
    from polyhead.batch.worker import PredictorFactory
    from polyhead.runs.run import Run as RunFolder

    folder = RunFolder.open(run)
    info = folder.info
    known = info.task_set
    wanted = known.subset(task) if task else known
    root = is_data_root(Path(source))
    if format == "fm-uia" and not root:
        raise ValueError(f"--format fm-uia needs a data root with csv_files/ as INPUT; {source} is none")
    if format == "fm-uia" and not saves(flags.save, "masks"):
        raise ValueError("--format fm-uia is made of the masks: name masks in --save")
    passed = PassedOver()
    with counting("looking for inputs", flags.quiet or flags.log_json) as count:
        known_tasks = {name: (spec.kind, spec.outputs) for name, spec in wanted.items()}
        cases = cases_from(source, tasks=known_tasks, only=bool(task), count=count, passed=passed)
    answering: dict[str, Any] = {"precision": precision, "tasks": list(wanted)}
    arguments = answering | {
        "run": str(run),
        "device": device,
        "backend": backend,
        "items": len(cases) // flags.shard[1],
        "batch_size": flags.batch_size,
    }
    summary = run_predict(
        cases,
        PredictorFactory("domains.medical.ultrasound.predicting.predict:load_predictor", arguments),
        flags,
        model=folder.identity(),
        parameters=answering,
        info=about(info, run, source),
        passed=passed,
        on_merged=partial(_write_challenge, run, Path(source), cases, flags.quiet) if format == "fm-uia" else None,
        bytes_of=partial(bytes_of, tasks=wanted, saved=flags.save),
    )
    raise typer.Exit(summary.exit_status)


def _write_challenge(
    run: Path, data: Path, cases: Any, quiet: bool, out: Path, rows: Iterable[Mapping[str, Any]]
) -> None:
    from domains.medical.ultrasound.predicting.challenge import write_challenge
    from polyhead.runs.identity import CALIBRATION_FILE
    from polyhead.system.files import write_whole

    calibration = run / CALIBRATION_FILE
    if calibration.is_file():
        write_whole(out / calibration.name, calibration.read_bytes())
    else:
        (out / CALIBRATION_FILE).unlink(missing_ok=True)
    missing = write_challenge(out, data, cases, (row["id"] for row in rows if row["status"] in ("ok", "skipped")))
    if not quiet:
        print(f"challenge files in {out / 'fm-uia'}, {len(missing)} rows without an answer", file=sys.stderr)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Output of `predict --format fm-uia`, or a challenge folder.")],
    data: Data,
    out: ReportFolder = None,
    rows: Annotated[
        Literal["auto", "all", "held-out"],
        typer.Option(help="Score all rows, or those that the model was not trained on; auto: the latter if known."),
    ] = "auto",
    official: Annotated[
        bool, typer.Option("--official", help="Score as the challenge's public scorer: missing rows are skipped.")
    ] = False,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    full: Full = False,
    as_json: ScoresAsJson = False,
    quiet: Quiet = False,
) -> None:
    """Scores predictions with the challenge's metrics, beside trivial baselines, with bootstrap intervals."""
    from apps.chosen_epoch import with_chosen_epoch
    from apps.ultrasound.held_out import rows_to_score
    from apps.unfinished import with_unfinished
    from domains.medical.ultrasound.evaluation.evaluate import evaluate as score
    from domains.medical.ultrasound.evaluation.report import write_report
    from polyhead.evaluation.own_report import refuse_foreign_report

    refuse_foreign_report((out or predictions) / "report.html")
    asked = rows_to_score(predictions, data, rows, official=official)
    if not quiet:
        print(asked.words, file=sys.stderr)
    report = score(
        predictions,
        data,
        rows=asked.rows,
        found=asked.problems,
        official=official,
        resamples=resamples,
        seed=seed or 0,
        baselines_from=asked.training,
    )
    if asked.left:
        # Answers to the rows that are deliberately not scored are no fault.
        report = replace(report, problems=tuple(p for p in report.problems if p.code != "prediction-extra"))
    report = with_chosen_epoch(report, asked.run, on_validation=asked.on_validation)
    report = with_unfinished(report, predictions)
    written = write_report(report, (out or predictions) / "report.html")
    show_report(report, written[0], full=full, as_json=as_json, quiet=quiet)


@app.command()
def calibrate(
    run: Run,
    data: Data,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Fits anew what tells images unlike the training, and the temperatures of classes; `train` does so at its end.

    For an imported checkpoint, or for the images of another place: `predict` then uses it.
    """
    from domains.medical.ultrasound.learning.calibrating import calibrate_run

    calibrate_run(run, data, device=device, say=sayer(quiet))
    typer.echo(run)


@app.command("import")
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="best_model.pth of the FM_UIA baseline, or its safetensors.")],
    out: NewRun,
    overwrite: Overwrite = False,
) -> None:
    """Makes a run folder of a checkpoint of the FM_UIA baseline, ready for `predict`."""
    from domains.medical.ultrasound.saved import import_baseline

    import_baseline(checkpoint, out, overwrite=overwrite)
    typer.echo(out)
