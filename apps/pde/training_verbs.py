"""`polyhead pde train`, `transfer` and `calibrate`: runs, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from apps.flags import (
    Config,
    Device,
    NewRun,
    Overwrite,
    Quiet,
    Run,
    Seed,
    Settings,
    System,
    Task,
    read_settings,
)
from apps.stopping import training_into
from apps.terminal import sayer, show_json
from apps.training import require_system, resolve_preset, run_training, show_configuration
from apps.training_flags import TrainingFlags, with_training_flags
from polyhead.system.launch import is_first_process

Data = Annotated[Path, typer.Argument(help="Data folder, or one .h5 file of it.")]


@with_training_flags("Samples of one task in a step.")
def train(
    data: Data,
    out: NewRun,
    system: System = "mt-deeponet",
    preset: Annotated[
        str | None, typer.Option(help="Its settings; see `polyhead info`.", show_default="by the problem in DATA")
    ] = None,
    config: Config = None,
    settings: Settings = None,
    task: Task = None,
    members: Annotated[
        int | None, typer.Option(min=2, help="Train an ensemble: as many runs, seeds one apart, in OUT/member-0, ...")
    ] = None,
    *,
    flags: TrainingFlags,
) -> None:
    """Trains one operator network for all tasks of a data set."""
    from domains.pde.presets import PRESETS, resolve

    require_system(system, "mt-deeponet")
    chosen = preset or _default_preset(data)
    resolved = resolve_preset(resolve, chosen, flags, config=config, settings=settings)
    if flags.dry_run:
        seeds = {"seeds": [resolved.training.seed + number for number in range(members)]} if members else {}
        show_configuration(chosen, PRESETS, resolved, **seeds)
        return
    from domains.pde.learning.members import train_members
    from domains.pde.learning.training import train as fit

    sayer(flags.quiet)(f"preset {chosen}")
    if members is None:
        run_training(fit, data, out, resolved, flags, tasks=task)
    else:
        run_training(train_members, data, out, resolved, flags, members=members, tasks=task)


def transfer(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="TARGET_DATA", help="Data of the target tasks.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the runs and the learning curve.")],
    samples: Annotated[str, typer.Option(help="Target samples to learn from, as 10,25,50,100.")] = "10,25,50,100",
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Also train a new network on the same samples, to compare.")
    ] = False,
    freeze: Annotated[
        Literal["nothing", "published"],
        typer.Option(help="What stays as the run has it: nothing, or what the paper freezes (more error)."),
    ] = "nothing",
    task: Task = None,
    settings: Settings = None,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tunes a trained operator on few samples of another geometry; writes the learning curve."""
    from apps.pde.transferring import run_transfer

    with training_into(out, resumable=False):
        page = run_transfer(
            run,
            data,
            out,
            counts=_counts(samples),
            from_scratch=from_scratch,
            freeze_published=freeze == "published",
            tasks=task,
            settings={"training.device": device} | read_settings(None, settings),
            seed=seed or 0,
            overwrite=overwrite,
            say=sayer(quiet),
        )
    if is_first_process():
        typer.echo(page)


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
    from domains.pde.predicting.predict import PDEPredictor
    from domains.pde.uncertainty.calibrate import CALIBRATION_FILE, calibrate_run

    say = sayer(quiet)
    predictor = PDEPredictor(run, tasks=task, device=device)
    made = calibrate_run(predictor, data, alpha=alpha, points=points, split=split, seed=seed or 0, say=say)
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
    from domains.pde.data.store import data_files

    problems = list(data_files(data))
    if len(problems) > 1:
        return "mt-deeponet-joint"
    if problems[0] not in DEFAULT_PRESETS:
        raise ValueError(f"{data} holds {problems[0]!r}, which no preset is made for; name one with --preset")
    return DEFAULT_PRESETS[problems[0]]


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--samples {text}: write numbers as 10,25,50,100")
    return sorted({int(part) for part in parts})
