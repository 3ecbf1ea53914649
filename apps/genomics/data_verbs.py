"""`polyhead genomics sample`, `split` and `leakage`: data made by the simulator, and which rows test which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from apps.flags import Overwrite, Quiet, Seed, Task
from apps.stopping import going_on
from apps.terminal import sayer, show_json

Data = Annotated[Path, typer.Argument(help="Folder of labelled tables, or one table with sequence and label.")]


def sample(
    out: Annotated[Path, typer.Argument(help="Folder for the data set.")],
    preset: Annotated[str, typer.Option(help="tiny, small or full.")] = "tiny",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Simulates a genome with promoters, splice sites and motifs, labelled windows of it, and variants."""
    from domains.genomics.simulator import sample as simulate

    with going_on():
        counts = simulate(out, preset=preset, seed=seed or 0)
    sayer(quiet)(", ".join(f"{task} {rows} rows" for task, rows in counts.items()))
    typer.echo(out)


def split(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the table with its split.")],
    kind: Annotated[
        Literal["purged", "random", "sequence"],
        typer.Option(help="purged: sides share no 31-mer; sequence: no sequence; random: rows, as is usual."),
    ] = "purged",
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the test side.")] = 0.1,
    validation: Annotated[float, typer.Option(min=0, max=1, help="Share of the validation side.")] = 0.1,
    k: Annotated[int, typer.Option(min=1, max=31, help="Length of the k-mers that sides may not share.")] = 31,
    keep_test: Annotated[
        bool, typer.Option("--keep-test", help="Rows that the data call test stay so; others are purged of them.")
    ] = False,
    task: Task = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Divides labelled sequences into training, validation and test rows; both strands count as one sequence."""
    from domains.genomics.data.splitting import split_data

    counts = split_data(
        data,
        out,
        kind=kind,
        test=test,
        validation=validation,
        k=k,
        keep_test=keep_test,
        tasks=task,
        seed=seed or 0,
        overwrite=overwrite,
    )
    sayer(quiet)(", ".join(f"{rows} {side}" for side, rows in counts.items()))
    typer.echo(out)


def leakage(
    data: Data,
    k: Annotated[int, typer.Option(min=1, max=31, help="Length of the k-mers that are counted.")] = 31,
    task: Task = None,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")] = False,
) -> None:
    """Says what test rows share with training rows, and what their other tasks' labels alone would score."""
    import numpy as np

    from domains.genomics.data.labelled import read_labelled
    from domains.genomics.evaluation.leakage import leakage_report

    found = read_labelled(data, tasks=task)
    # Rows without a split are trained on.
    side = np.where(found.split.astype(str) == "", "train", found.split.astype(str))
    report = leakage_report(found.sequences, found.task.tolist(), found.label.tolist(), side, k=k, seed=seed or 0)
    if as_json:
        show_json(report.to_json())
        return
    for line in report.lines():
        typer.echo(line)
