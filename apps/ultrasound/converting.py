"""The verb `polyhead ultrasound convert`: a data set of another format as an FM_UIA data root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from apps.flags import Quiet
from apps.terminal import counting, sayer

TOLD = 10


def convert(
    source: Annotated[Path, typer.Argument(help="Folder of the data set, or one annotation file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the data root.")],
    format: Annotated[
        Literal["auto", "coco", "labelme", "voc", "yolo", "classes", "masks"],
        typer.Option("--from", help="Format of SOURCE; auto looks at what it holds and says so."),
    ] = "auto",
    task: Annotated[
        str | None, typer.Option("--task", help="Name of the task; by default that of SOURCE. Several begin with it.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="Only segmentation, classification, detection or keypoints; may be given several times.",
        ),
    ] = None,
    boxes: Annotated[
        Literal["leave-out", "largest", "around"],
        typer.Option(
            help="Several boxes of one class in a picture, of which a row holds one: leave the picture out "
            "and say so, take the largest, or one around all."
        ),
    ] = "leave-out",
    link: Annotated[bool, typer.Option("--link", help="Link pictures instead of copying them.")] = False,
    quiet: Quiet = False,
) -> None:
    """Makes an FM_UIA data root of COCO, labelme, Pascal VOC, YOLO, class folders, or pictures with masks.

    Exit status: 0 all done, 3 some files or marks could not be used (OUT/problems.csv), 4 none could.
    """
    from domains.medical.ultrasound.converting.convert import PROBLEMS_FILE
    from domains.medical.ultrasound.converting.convert import convert as make
    from polyhead.batch.outcome import EXIT_OK, EXIT_PARTIAL

    say = sayer(quiet)
    with counting("converting", quiet) as progress:
        made = make(
            source, out, format=format, task=task, kinds=kind or (), boxes=boxes, link=link, say=say, progress=progress
        )
    for split, tasks in made.rows.items():
        say(f"{out / split}: {', '.join(f'{name} {rows} rows' for name, rows in tasks.items())}")
    for name, pictures in made.unmarked.items():
        say(f"{pictures} pictures show nothing of {name} and have no row there")
    for problem in made.problems[:TOLD]:
        say(f"problem: {problem}")
    if made.problems:
        say(f"{len(made.problems)} problems, listed in {out / PROBLEMS_FILE}")
    typer.echo(out)
    raise typer.Exit(EXIT_PARTIAL if made.problems else EXIT_OK)
