"""Flags that the verbs of all applications share, and how their values are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from polyhead.application import RESEARCH_USE

Run = Annotated[Path, typer.Argument(help="Run folder of a trained model.")]
NewRun = Annotated[Path, typer.Option("--out", "-o", help="Run folder to make.")]
Results = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
ReportFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for the report; PREDICTIONS by default.")
]

System = Annotated[str, typer.Option(help="The system; see `polyhead info`.")]
Config = Annotated[Path | None, typer.Option(help="YAML or JSON file of settings.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="One setting, name=value.")]
Task = Annotated[
    list[str] | None, typer.Option("--task", help="Only this task; may be given several times.", show_default="all")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is random.")]


def _known_device(name: str) -> str:
    """A device by its form; whether it is here is found when it is used."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise typer.BadParameter(f"{name!r} is none of auto, cpu, cuda, cuda:N and mps")
    return name


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", callback=_known_device)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted training stopped.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do everything anew, replacing what is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]

Threads = Annotated[int, typer.Option(min=1, help="Threads that read, and threads that write.")]
Shard = Annotated[str, typer.Option(help="i/n: do the i-th of n parts, 0 <= i < n.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that a stage of a case may take, or a part that it tells of; by default 300 for reading.",
        show_default=False,
    ),
]
Engine = Annotated[Literal["local"], typer.Option(help="What runs the batch.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Read inputs again that were invalid.")]
Verify = Annotated[
    Literal["quick", "full"],
    typer.Option(help="How done cases are checked: by size and time of their files, or by reading all of them."),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Progress as JSON lines on stderr, for programs.")]

Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap resamples of the intervals.")]
Full = Annotated[bool, typer.Option("--full", help="Print every metric of every task.")]
ScoresAsJson = Annotated[bool, typer.Option("--json", help="The scores as JSON on stdout.")]


def application_verbs(title: str) -> typer.Typer:
    """The command line of one application; its verbs are added in the order of its help."""
    return typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=f"{title}\n\n{RESEARCH_USE}",
    )


def read_shard(text: str) -> tuple[int, int]:
    """``i/n`` with 0 <= i < n."""
    index, slash, of = text.partition("/")
    if not (slash and index.isdecimal() and of.isdecimal() and int(index) < int(of)):
        raise ValueError(f"--shard {text}: write i/n with 0 <= i < n, such as 0/4 to 3/4")
    return int(index), int(of)


def read_assignments(settings: list[str] | None) -> dict[str, Any]:
    """The values of ``--set name=value``, read as YAML: ``3``, ``0.5``, ``true``, ``null``, ``[a, b]`` or a word."""
    import yaml

    found: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write name=value")
        try:
            found[name.strip()] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError as failure:
            raise ValueError(f"--set {setting}: not a value: {' '.join(str(failure).split())}") from failure
    return found


def read_settings(config: Path | None, settings: list[str] | None) -> dict[str, Any]:
    """Settings of a YAML or JSON file, then of ``--set name=value``, the later winning.

    A file may have sections; which settings they name, `polyhead.settings.changed` says.
    """
    found: dict[str, Any] = {}
    if config is not None:
        import yaml

        try:
            text = config.read_text(encoding="utf-8")
            # YAML takes some damaged JSON for something else.
            loaded = json.loads(text) if config.suffix.lower() == ".json" else yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError) as failure:
            raise ValueError(f"--config {config}: {' '.join(str(failure).split())}") from failure
        if not isinstance(loaded, dict):
            raise ValueError(f"--config {config}: expected settings as `name: value`")
        found |= loaded
    return found | read_assignments(settings)
