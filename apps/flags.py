"""Flags that the verbs of all applications share, and how their values are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Progress as JSON lines on stderr, for programs.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do everything anew, replacing what is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is random.")]
Task = Annotated[list[str] | None, typer.Option("--task", help="Only this task; may be given several times.")]


def read_shard(text: str) -> tuple[int, int]:
    """``i/n`` with 0 <= i < n."""
    index, slash, of = text.partition("/")
    if not (slash and index.isdecimal() and of.isdecimal() and int(index) < int(of)):
        raise ValueError(f"--shard {text}: write i/n with 0 <= i < n, such as 0/4 to 3/4")
    return int(index), int(of)


def read_settings(config: Path | None, settings: list[str] | None) -> dict[str, Any]:
    """Settings of a YAML or JSON file, then of ``--set key=value``, the later winning.

    A file may have sections; which settings they name, `polyhead.settings.changed` says.
    A value is read as YAML: ``3``, ``0.5``, ``true``, ``null``, ``[a, b]`` or a word.
    """
    import yaml

    found: dict[str, Any] = {}
    if config is not None:
        try:
            loaded = yaml.safe_load(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as failure:
            raise ValueError(f"--config {config}: {' '.join(str(failure).split())}") from failure
        if not isinstance(loaded, dict):
            raise ValueError(f"--config {config}: expected settings as `name: value`")
        found |= loaded
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write name=value")
        found[name.strip()] = yaml.safe_load(value) if value else ""
    return found


def show_json(value: Any) -> None:
    """A result on stdout."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
