"""`polyhead pde sample` and `import`: data made by the solvers, and data of others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from apps.flags import Overwrite, Quiet, Seed, read_assignments
from apps.stopping import going_on
from apps.terminal import counting


def sample(
    out: Annotated[Path, typer.Argument(help="Folder for the data files, one a problem.")],
    problem: Annotated[
        list[str] | None, typer.Option(help="fisher, darcy, darcy-target, plate, or all.", show_default="fisher")
    ] = None,
    preset: Annotated[str, typer.Option(help="paper, tiny, or what else the problem has.")] = "tiny",
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Samples of each task (of the plate: designs).", show_default="from the preset"),
    ] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that solve.")] = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Solves a data set with verified solvers; an interrupted call goes on where it stopped.

    The preset tiny is for trying; paper is the full size and takes long.
    """
    from domains.pde.simulator.sampling import sample as solve

    with going_on(), counting("solving", quiet) as progress:
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other option, name=value: bounds, channel, channels, fractions, grid_shape, leading, "
            "nan_is_outside, samples, trust_mask, validation.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split.", show_default="0")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Brings a foreign data set into the project's format, ready for `train`."""
    from domains.pde.data.store import write_data
    from domains.pde.importing.options import read_options
    from domains.pde.importing.reading import import_data

    target = out / f"{problem}.h5"
    if target.exists() and not overwrite:
        raise ValueError(f"{target} is there already; --overwrite replaces it")
    flags = {
        "inputs": inputs,
        "outputs": outputs,
        "parameters": parameters,
        "mask": mask,
        "coordinates": coordinates,
        "axes": axis,
        "function_names": function,
        "parameter_names": parameter,
        "solution_name": solution,
        "order": order,
        "task": task,
        "split": split,
        "seed": seed,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    more = read_assignments(settings)
    for name in more:
        if name in given:
            raise ValueError(f"--set {name}: given by its own flag too")
    try:
        options = read_options(given | more)
    except ValueError as wrong:
        raise ValueError(f"--set: {wrong}") from None
    data = import_data(source if len(source) > 1 else source[0], problem=problem, options=options)
    out.mkdir(parents=True, exist_ok=True)
    write_data(data, target)
    grid = " x ".join(map(str, data.grid_shape))
    print(f"{len(data)} samples, tasks {', '.join(data.tasks)}, {grid} points", file=sys.stderr)
    typer.echo(target)
