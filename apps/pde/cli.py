"""`polyhead pde`: sample, import, train, predict, evaluate, transfer, calibrate."""

from __future__ import annotations

import sys
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
    help=f"PDE operators: several equations, geometries and designs with one network.\n\n{RESEARCH_USE}",
)

Run = Annotated[Path, typer.Argument(help="Run folder of a trained model.")]
Data = Annotated[Path, typer.Argument(help="Data folder, or one .h5 file of it.")]
Split = Literal["train", "validation", "test", "all"]


@app.command()
def sample(
    out: Annotated[Path, typer.Argument(help="Folder for the data files, one a problem.")],
    problem: Annotated[list[str] | None, typer.Option(help="fisher, darcy, darcy-target, plate, or all.")] = None,
    preset: Annotated[str, typer.Option(help="paper, tiny, or what else the problem has.")] = "tiny",
    samples: Annotated[int | None, typer.Option(min=1, help="Samples of each task (of the plate: designs).")] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that solve.")] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Solves a data set with verified solvers; an interrupted call goes on where it stopped."""
    from domains.pde.sampling import sample as solve

    with _count("solving", quiet) as progress:
        solve(
            out,
            problems=problem or ["fisher"],
            preset=preset,
            samples=samples,
            seed=seed or 0,
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(out)


@app.command("import")
def import_foreign(
    source: Annotated[list[Path], typer.Argument(help="npz, npy, mat, csv, PDEBench HDF5 or neuraloperator .pt.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Data folder to write to, as PROBLEM.h5.")],
    problem: Annotated[str, typer.Option(help="Name of the problem.")] = "imported",
    inputs: Annotated[str | None, typer.Option(help="Array of the input functions.")] = None,
    outputs: Annotated[str | None, typer.Option(help="Array of the solution.")] = None,
    parameters: Annotated[str | None, typer.Option(help="Array of the parameters.")] = None,
    mask: Annotated[str | None, typer.Option(help="Array of the mask.")] = None,
    coordinates: Annotated[list[str] | None, typer.Option(help="Array of coordinates; may be given for each.")] = None,
    axis: Annotated[list[str] | None, typer.Option(help="An axis as name:unit, in the solution's order.")] = None,
    function: Annotated[list[str] | None, typer.Option(help="An input function as name:unit.")] = None,
    parameter: Annotated[list[str] | None, typer.Option(help="A parameter as name:unit.")] = None,
    solution: Annotated[str | None, typer.Option(help="The solution as name:unit.")] = None,
    order: Annotated[Literal["C", "F"] | None, typer.Option(help="F for masks stored transposed.")] = None,
    task: Annotated[str | None, typer.Option(help="Name of the task.")] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="Puts all samples into one part.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Brings a foreign data set into the project's format, ready for `train`."""
    from domains.pde.importing.options import ImportOptions
    from domains.pde.importing.reading import import_data
    from domains.pde.store import write_data

    target = out / f"{problem}.h5"
    if target.exists() and not overwrite:
        raise ValueError(f"{target} is there already; --overwrite replaces it")
    options = ImportOptions(
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        mask=mask,
        coordinates=tuple(coordinates or ()),
        axes=_quantities(axis),
        function_names=_quantities(function),
        parameter_names=_quantities(parameter),
        solution_name=next(iter(_quantities([solution] if solution else None)), None),
        order=order,
        task=task,
        split=split,
        seed=seed or 0,
    )
    data = import_data(source if len(source) > 1 else source[0], problem=problem, options=options)
    out.mkdir(parents=True, exist_ok=True)
    write_data(data, target)
    grid = " x ".join(map(str, data.grid_shape))
    print(f"{len(data)} samples, tasks {', '.join(data.tasks)}, {grid} points", file=sys.stderr)
    typer.echo(target)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder to make.")],
    system: Annotated[str, typer.Option(help="The system; see `polyhead info`.")] = "mt-deeponet",
    preset: Annotated[str | None, typer.Option(help="Its settings; by default those for the problem in DATA.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML or JSON file of settings.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One setting, name=value.")] = None,
    task: Task = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")] = False,
    device: Device = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Samples of one task in a step.")] = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Trains one operator network for all tasks of a data set."""
    from domains.pde.presets import PRESETS, resolve
    from polyhead.registry import UnknownName

    if system != "mt-deeponet":
        raise ValueError(f"unknown system {system!r}; known: mt-deeponet")
    changes = {"training.device": device} | read_settings(config, settings)
    for name, value in (("batch_size", batch_size), ("seed", seed)):
        if value is not None:
            changes[f"training.{name}"] = value
    chosen = preset or _default_preset(data)
    try:
        resolved = resolve(chosen, changes)
    except UnknownName as unknown:
        raise ValueError(f"--preset: {unknown}") from None
    if dry_run:
        show_json({"preset": chosen, "presets": list(PRESETS), "configuration": resolved.model_dump()})
        return
    from domains.pde.training import train as fit

    say = partial(print, file=sys.stderr) if not quiet else (lambda line: None)
    say(f"preset {chosen}")
    result = fit(
        data,
        out,
        resolved,
        tasks=task,
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
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Data, or parameter files, tables, masks, meshes; a folder, a glob.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
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
    plots: Annotated[bool, typer.Option(help="Draw each answer.")] = True,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that read, and threads that write.")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Cases answered at once.")] = 32,
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
    """Answers every case with a field; one bad input never stops the others.

    Exit status: 0 all done, 3 some cases failed, 4 no valid input, 130 interrupted. The same command goes on.
    """
    from apps.predicting import BatchFlags, file_hash
    from apps.predicting import predict as run_predict
    from domains.pde.calibrate import CALIBRATION_FILE
    from domains.pde.sources import cases_from
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
    wanted = list(known.subset(task) if task else known)
    asked = set(wanted) if task else None
    try:
        cases = cases_from(source, split=split, tasks=list(asked) if asked else None)
    except ValueError as nothing:
        raise NoInput(nothing) from nothing
    arguments: dict[str, Any] = {
        "tasks": wanted,
        "points": None if points is None else str(points),
        "resolution": None if resolution is None else _lengths(resolution),
        "field": field,
        "solver": solve,
        "plots": plots,
    }
    calibration = run / CALIBRATION_FILE
    # What a file holds decides the answer, not its name.
    held = {str(name): file_hash(Path(name)) for name in (points, field) if name is not None and Path(name).is_file()}
    held |= {CALIBRATION_FILE: file_hash(calibration)} if calibration.is_file() else {}
    summary = run_predict(
        cases,
        PredictorFactory("domains.pde.predict:load_predictor", arguments | {"run": str(run), "device": device}),
        flags,
        weights=run / "model.safetensors",
        parameters=arguments | {"files": held},
        info={
            "application": "pde",
            "command": "predict",
            "run": str(run),
            "input": source,
            "split": split,
            "system": info.system,
            "preset": info.preset,
        },
        on_finish=partial(_keep_calibration, calibration),
    )
    raise typer.Exit(summary.exit_status)


def _keep_calibration(calibration: Path, out: Path, rows: list[dict[str, Any]]) -> None:
    """`evaluate` counts what the bands cover, so they are told beside the answers."""
    from polyhead.batch.writer import write_atomic

    target = out / calibration.name
    if calibration.is_file():
        write_atomic(target, calibration.read_bytes())
    else:
        target.unlink(missing_ok=True)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Output of `predict` on data.")],
    data: Data,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the report; PREDICTIONS by default.")] = (
        None
    ),
    split: Annotated[Split, typer.Option(help="Which samples to score.")] = "test",
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of the intervals.")] = 1000,
    seed: Seed = 0,
    pictures: Annotated[bool, typer.Option(help="Draw the median and the worst sample of each task.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Print every metric of every task.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The scores as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Scores predicted fields task by task, beside the mean field, with bootstrap intervals."""
    from domains.pde.evaluate import evaluate as score
    from domains.pde.report import write_report

    report = score(predictions, data, split=split, resamples=resamples, seed=seed or 0, pictures=pictures)
    written = write_report(report, (out or predictions) / "report.html")
    if as_json:
        show_json(report.to_json())
    elif not quiet:
        from rich.console import Console

        # Where nobody's terminal sets a width, lines are as long as a log can bear.
        console = Console() if sys.stdout.isatty() else Console(width=120)
        report.print(console, full=full)
    print(f"report: {written[0]}", file=sys.stderr)


@app.command()
def transfer(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="TARGET_DATA", help="Data of the target tasks.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the runs and the learning curve.")],
    samples: Annotated[str, typer.Option(help="Target samples to learn from, as 10,25,50,100.")] = "10,25,50,100",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Also train a new network on the same samples, to compare.")
    ] = False,
    task: Task = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One setting, name=value.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tunes a trained operator on few samples of another geometry; writes the learning curve."""
    from apps.pde.transferring import run_transfer

    page = run_transfer(
        run,
        data,
        out,
        counts=_counts(samples),
        from_scratch=from_scratch,
        tasks=task,
        settings={"training.device": device} | read_settings(None, settings),
        seed=seed or 0,
        overwrite=overwrite,
        say=(lambda line: None) if quiet else partial(print, file=sys.stderr),
    )
    typer.echo(page)


@app.command()
def calibrate(
    run: Run,
    data: Data,
    alpha: Annotated[float, typer.Option(help="Share of fields that may leave their band.")] = 0.1,
    points: Annotated[float, typer.Option(help="Share of a field's points that its band must cover.")] = 1.0,
    split: Annotated[Literal["validation", "test"], typer.Option(help="The samples that calibrate.")] = "validation",
    task: Task = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The calibration as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Makes bands for a run by split conformal calibration; `predict` then writes them beside each field."""
    from domains.pde.calibrate import CALIBRATION_FILE, calibrate_run

    say = (lambda line: None) if quiet else partial(print, file=sys.stderr)
    made = calibrate_run(
        run, data, alpha=alpha, points=points, split=split, tasks=task, device=device, seed=seed or 0, say=say
    )
    for name, tested in made["test"].items():
        fields = tested["fields"]
        say(
            f"{name}: {fields['value']:.0%} of {tested['rows']} test fields lie in their band "
            f"({fields['low']:.0%} to {fields['high']:.0%}; aimed at {tested['aimed']:.0%})"
        )
    if as_json:
        show_json(made)
    else:
        typer.echo(run / CALIBRATION_FILE)


def _default_preset(data: Path) -> str:
    """The preset for the problems of a data folder."""
    from apps.pde.application import DEFAULT_PRESETS
    from domains.pde.store import data_files

    problems = list(data_files(data))
    if len(problems) > 1:
        return "mt-deeponet-joint"
    if problems[0] not in DEFAULT_PRESETS:
        raise ValueError(f"{data} holds {problems[0]!r}, which no preset is made for; name one with --preset")
    return DEFAULT_PRESETS[problems[0]]


def _lengths(text: str) -> list[int]:
    parts = text.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--resolution {text}: write lengths as 64x64")
    return [int(part) for part in parts]


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--samples {text}: write numbers as 10,25,50,100")
    return sorted({int(part) for part in parts})


def _quantities(given: list[str] | None) -> tuple[Any, ...]:
    """``name:unit`` as quantities; without a unit it has no dimension."""
    from domains.pde.samples import Quantity

    return tuple(Quantity(name, unit or "1") for name, _, unit in (each.partition(":") for each in given or ()))


def _count(what: str, quiet: bool) -> Any:
    from contextlib import nullcontext

    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from apps.terminal import counting

    return counting(what)
