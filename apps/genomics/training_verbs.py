"""`polyhead genomics pretrain`, `train` and `calibrate`: runs, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from apps.flags import Config, NewRun, Quiet, Run, Settings, System, Task
from apps.genomics.application import DEFAULT_PRESET, SYSTEM
from apps.genomics.data_verbs import Data
from apps.terminal import sayer, show_json
from apps.training import require_system, resolve_preset, run_training, show_configuration
from apps.training_flags import LostTasks, TrainingFlags, with_training_flags

Preset = Annotated[str, typer.Option(help="Its settings; see `polyhead info`.")]
InitFrom = Annotated[
    str | None, typer.Option("--init", help="Run or checkpoint to start from: a folder, or a cached hub id.")
]


@with_training_flags("Pieces of sequence in a step.")
def pretrain(
    source: Annotated[Path, typer.Argument(metavar="SEQUENCES", help="FASTA (or another file), or a folder of FASTA.")],
    out: NewRun,
    system: System = SYSTEM,
    preset: Preset = DEFAULT_PRESET,
    init: InitFrom = None,
    config: Config = None,
    settings: Settings = None,
    *,
    flags: TrainingFlags,
) -> None:
    """Trains a decoder to continue unlabelled sequences; `train --init` goes on from it."""
    from domains.genomics.presets import PRESETS, resolve_pretraining

    require_system(system, SYSTEM)
    resolved = resolve_preset(resolve_pretraining, preset, flags, config=config, settings=settings)
    if flags.dry_run:
        show_configuration(preset, PRESETS, resolved)
        return
    from domains.genomics.learning.pretraining import pretrain as fit

    run_training(fit, source, out, resolved, flags, init_from=init)


@with_training_flags("Rows of one task in a step.")
def train(
    data: Data,
    out: NewRun,
    system: System = SYSTEM,
    preset: Preset = DEFAULT_PRESET,
    init: InitFrom = None,
    config: Config = None,
    settings: Settings = None,
    layout: Annotated[
        Literal["polyhead", "released"],
        typer.Option("--format", help="Layout of a row; released is that of the published scripts, with its traps."),
    ] = "polyhead",
    task: Task = None,
    allow_lost_tasks: LostTasks = False,
    *,
    flags: TrainingFlags,
) -> None:
    """Trains one decoder for all tasks of labelled sequences."""
    from domains.genomics.presets import PRESETS, resolve

    require_system(system, SYSTEM)
    # The released layout is trained over the whole vocabulary.
    chosen = ["layout=released", "softmax=vocabulary"] if layout == "released" else []
    resolved = resolve_preset(resolve, preset, flags, config=config, settings=[*chosen, *(settings or [])])
    if flags.dry_run:
        show_configuration(preset, PRESETS, resolved)
        return
    from domains.genomics.learning.training import train as fit

    run_training(fit, data, out, resolved, flags, init_from=init, tasks=task, allow_lost_tasks=allow_lost_tasks)


def calibrate(
    run: Run,
    data: Data,
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="The rows that calibrate; training rows never do.")
    ] = "validation",
    task: Task = None,
    both_strands: Annotated[
        bool, typer.Option("--both-strands/--forward", help="As `predict` is meant to be asked.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The calibration as JSON on stdout.")] = False,
    quiet: Quiet = False,
) -> None:
    """Fits one temperature a task on held-out rows, so that probabilities are shares; `predict` then uses them."""
    from domains.genomics.predicting.asked_run import open_run
    from domains.genomics.uncertainty.calibrate import CALIBRATION_FILE, calibrate_run

    say = sayer(quiet)
    made = calibrate_run(open_run(run), data, split=split, tasks=task, reverse_complement=both_strands, say=say)
    for name, found in made["tasks"].items():
        before, after = found["error_before"], found["error_after"]
        say(f"{name}: temperature {found['temperature']:.2f}, ECE {before:.3f} to {after:.3f} on {found['rows']} rows")
    if as_json:
        show_json(made)
    else:
        typer.echo(run / CALIBRATION_FILE)
