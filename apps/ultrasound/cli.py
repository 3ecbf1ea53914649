"""`polyhead ultrasound`: sample, train, predict, evaluate, import."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.exits import NoInput
from apps.flags import Device, DryRun, LogJson, Overwrite, Quiet, Seed, Task, read_settings, read_shard, show_json
from polyhead.application import RESEARCH_USE

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"Ultrasound: segment, classify, detect and measure with one network.\n\n{RESEARCH_USE}",
)

Run = Annotated[Path, typer.Argument(help="Run folder of a trained model.")]
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
    """Simulates a labelled B-mode data set of the 27 tasks in the FM_UIA layout."""
    from domains.medical.ultrasound.simulator import sample as simulate

    with _count("simulating", quiet) as progress:
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


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder to make.")],
    system: Annotated[str, typer.Option(help="The system; see `polyhead info`.")] = "mh-mtl",
    preset: Annotated[str | None, typer.Option(help="Its settings: mh-mtl, mh-mtl-plus or tiny.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file of settings.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One setting, name=value.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Second data root to validate on.")] = None,
    task: Task = None,
    strict: Annotated[bool, typer.Option("--strict", help="Any problem of the data is an error.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    device: Device = "auto",
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows of one task in a step.")] = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Trains one network for all tasks of a data set."""
    from domains.medical.ultrasound.presets import PRESETS, resolve
    from polyhead.registry import UnknownName

    if system != "mh-mtl":
        raise ValueError(f"unknown system {system!r}; known: mh-mtl")
    changes = {"training.device": device} | read_settings(config, settings)
    for name, value in (("workers", workers), ("batch_size", batch_size), ("seed", seed)):
        if value is not None:
            changes[f"training.{name}"] = value
    try:
        resolved = resolve(preset or "mh-mtl", changes)
    except UnknownName as unknown:
        raise ValueError(f"--preset: {unknown}") from None
    if dry_run:
        show_json({"preset": preset or "mh-mtl", "presets": list(PRESETS), "configuration": resolved.model_dump()})
        return
    from domains.medical.ultrasound.training import train as fit

    say = partial(print, file=sys.stderr) if not quiet else (lambda line: None)
    result = fit(
        data,
        out,
        resolved,
        validation_data=validation,
        tasks=task,
        strict=strict,
        resume=resume,
        overwrite=overwrite,
        say=say,
        progress="quiet" if quiet else "auto",
    )
    say(f"{result.stopped} after {result.epoch} epochs in {result.seconds:.0f} s")
    typer.echo(out)


@app.command()
def predict(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, folder, glob, list or FM_UIA data root.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    format: Annotated[
        Literal["files", "fm-uia"], typer.Option(help="fm-uia also writes the challenge's files, to OUT/fm-uia.")
    ] = "files",
    task: Task = None,
    device: Device = "auto",
    precision: Annotated[
        Literal["float32", "auto", "bfloat16"],
        typer.Option(help="auto takes bfloat16 where the hardware has it: quicker, answers differ a little."),
    ] = "float32",
    speed: Annotated[
        Literal["auto", "plain", "compiled", "openvino"],
        typer.Option("--inference", help="What runs the network; auto chooses by the amount of work."),
    ] = "auto",
    overlays: Annotated[bool, typer.Option(help="Draw the answers over each image.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read, and threads that write.")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Images encoded at once.")] = 16,
    shard: Annotated[str, typer.Option(help="i/n: do the i-th of n parts, 0 <= i < n.")] = "0/1",
    timeout: Annotated[float | None, typer.Option(help="Seconds that one case may take in one stage.")] = None,
    engine: Annotated[Literal["local"], typer.Option(help="What runs the batch.")] = "local",
    overwrite: Overwrite = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Read inputs again that were invalid.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")] = False,
    dry_run: DryRun = False,
    log_json: LogJson = False,
    quiet: Quiet = False,
) -> None:
    """Answers the tasks for every image; one bad file never stops the others.

    Exit status: 0 all done, 3 some cases failed, 4 no valid input, 130 interrupted. The same command goes on.
    """
    from apps.predicting import BatchFlags
    from apps.predicting import predict as run_predict
    from domains.medical.ultrasound.fm_uia import is_data_root
    from domains.medical.ultrasound.sources import cases_from
    from polyhead.batch.worker import PredictorFactory
    from polyhead.runs import Run as RunFolder

    flags = BatchFlags(
        out,
        workers,
        batch_size,
        read_shard(shard),
        timeout,
        overwrite,
        fail_fast,
        retry_failed,
        dry_run,
        log_json,
        quiet,
    )
    info = RunFolder.open(run).info
    known = info.task_set
    wanted = known.subset(task) if task else known
    root = is_data_root(Path(source))
    if format == "fm-uia" and not root:
        raise ValueError(f"--format fm-uia needs a data root with csv_files/ as INPUT; {source} is none")
    try:
        cases = cases_from(source, tasks={name: (spec.kind, spec.outputs) for name, spec in wanted.items()})
    except ValueError as nothing:
        raise NoInput(nothing) from nothing
    answering: dict[str, Any] = {"precision": precision, "tasks": list(wanted), "overlays": overlays}
    arguments = answering | {
        "run": str(run),
        "device": device,
        "engine": speed,
        "items": len(cases) // flags.shard[1],
        "batch_size": batch_size,
    }
    summary = run_predict(
        cases,
        PredictorFactory("domains.medical.ultrasound.predict:load_predictor", arguments),
        flags,
        weights=run / "model.safetensors",
        parameters=answering,
        info={
            "application": "ultrasound",
            "command": "predict",
            "run": str(run),
            "input": source,
            "system": info.system,
            "preset": info.preset,
        },
        on_finish=partial(_write_challenge, Path(source), cases, quiet) if format == "fm-uia" else None,
    )
    raise typer.Exit(summary.exit_status)


def _write_challenge(data: Path, cases: Any, quiet: bool, out: Path, rows: list[dict[str, Any]]) -> None:
    from domains.medical.ultrasound.challenge import write_challenge

    missing = write_challenge(out, data, cases, (row["id"] for row in rows if row["status"] in ("ok", "skipped")))
    if not quiet:
        print(f"challenge files in {out / 'fm-uia'}, {len(missing)} rows without an answer", file=sys.stderr)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Output of `predict --format fm-uia`, or a challenge folder.")],
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the report; PREDICTIONS by default.")] = (
        None
    ),
    rows: Annotated[
        Literal["auto", "all", "held-out"],
        typer.Option(help="Score all rows, or those that the model was not trained on; auto: the latter if known."),
    ] = "auto",
    official: Annotated[
        bool, typer.Option("--official", help="Score as the challenge's public scorer: missing rows are skipped.")
    ] = False,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of the intervals.")] = 1000,
    seed: Seed = 0,
    full: Annotated[bool, typer.Option("--full", help="Print every metric of every task.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The scores as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Scores predictions with the challenge's metrics, beside trivial baselines, with bootstrap intervals."""
    from apps.ultrasound.held_out import rows_to_score
    from domains.medical.ultrasound.evaluate import evaluate as score
    from domains.medical.ultrasound.report import write_report

    chosen, training, in_all, words = rows_to_score(predictions, data, rows)
    if not quiet:
        print(words, file=sys.stderr)
    report = score(
        predictions,
        data,
        rows=chosen,
        official=official,
        resamples=resamples,
        seed=seed or 0,
        baselines_from=training,
    )
    if len(chosen) < in_all:
        # Answers to the rows that are deliberately not scored are no fault.
        report = replace(report, problems=[p for p in report.problems if p.code != "prediction-extra"])
    written = write_report(report, (out or predictions) / "report.html")
    if as_json:
        show_json(report.to_json())
    elif not quiet:
        from rich.console import Console

        # Where nobody's terminal sets a width, lines are as long as a log can bear.
        console = Console() if sys.stdout.isatty() else Console(width=120)
        report.print(console, full=full)
    print(f"report: {written[0]}", file=sys.stderr)


@app.command("import")
def import_checkpoint(
    checkpoint: Annotated[Path, typer.Argument(help="best_model.pth of the FM_UIA baseline, or its safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder to make.")],
    overwrite: Overwrite = False,
) -> None:
    """Makes a run folder of a checkpoint of the FM_UIA baseline, ready for `predict`."""
    from domains.medical.ultrasound.saved import import_baseline

    import_baseline(checkpoint, out, overwrite=overwrite)
    typer.echo(out)


def _count(what: str, quiet: bool) -> Any:
    from contextlib import nullcontext

    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from apps.terminal import counting

    return counting(what)
