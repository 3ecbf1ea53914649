"""The root command: `polyhead`. Applications are loaded when they are called, not before."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from apps.stopping import going_on, heeding_terminations, words_of
from apps.systems import refused_system
from polyhead import __version__
from polyhead.application import RESEARCH_USE, BrokenApplication, application_names, load_application, load_part
from polyhead.batch.outcome import EXIT_INTERRUPTED


class _LazyApplication(TyperGroup):
    """The verbs of one application, imported only when one is asked for."""

    def __init__(self, name: str):
        # Plain help text here as well: drawing it with rich costs a tenth of a second.
        super().__init__(name=name, help=_title(name), no_args_is_help=True, rich_markup_mode=None)
        self._loaded: TyperGroup | None = None

    def _verbs(self) -> TyperGroup:
        if self._loaded is None:
            command = typer.main.get_command(load_part(str(self.name), "cli").app)
            assert isinstance(command, TyperGroup)
            self._loaded = command
        return self._loaded

    def list_commands(self, ctx: Any) -> list[str]:
        return self._verbs().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._verbs().get_command(ctx, cmd_name)


def _title(name: str) -> str:
    """The title of an application, or why it cannot be used: one that is broken leaves the others their help."""
    try:
        return load_application(name).title
    except BrokenApplication as broken:
        return str(broken)


class _Root(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *(name for name in application_names() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in application_names():
            return own
        return _LazyApplication(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        # Typer would end a stop in silence.
        try:
            with heeding_terminations():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo(words_of(stop), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from stop


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    # Plain help text: drawing it with rich costs half of the time of `polyhead --help`.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"Scientific and medical applications on one shared multi-task core.\n\n{RESEARCH_USE}",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    refused = refused_system()
    if refused is not None and context.invoked_subcommand not in ("doctor", "info"):
        raise ValueError(refused)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """What is installed: applications, systems, presets, versions."""
    usable, broken = {}, {}
    for name in application_names():
        try:
            usable[name] = _describe(name)
        except BrokenApplication as reason:
            broken[name] = str(reason)
    about = {
        "polyhead": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "research_use": RESEARCH_USE,
        "applications": usable,
        "broken": broken,
    }
    if as_json:
        typer.echo(json.dumps(about, indent=1, ensure_ascii=False))
        return
    typer.echo(f"polyhead {__version__}\n{RESEARCH_USE}\n")
    for name, application in usable.items():
        typer.echo(f"{name}: {application['title']}")
        for system, described in application["systems"].items():
            typer.echo(f"  {system}: {described['title']} ({described['source']})")
            typer.echo(f"    presets: {', '.join(described['presets'])}")
    for reason in broken.values():
        typer.echo(reason)


def _describe(name: str) -> dict[str, Any]:
    application = load_application(name)
    systems = {
        key: {
            "title": system.title,
            "source": system.source,
            "presets": list(system.presets),
            "task_kinds": list(system.task_kinds),
            "notes": system.notes,
        }
        for key, system in application.systems.items()
    }
    return {"title": application.title, "systems": systems}


@app.command()
def doctor(
    licences: Annotated[
        bool, typer.Option("--licences", help="List the licences of all packages that are required, and stop.")
    ] = False,
) -> None:
    """What is missing on this machine, and how to fix it. Exit status 1 if something needed is missing or wrong."""
    from apps import doctor as doctors

    if licences:
        found = doctors.required()
        for each in found:
            typer.echo(f"{each.package}: {each.words}" + ("" if each.terms == "permissive" else f" [{each.terms}]"))
        checks = iter([doctors.licences(found)])
    else:
        checks = doctors.checks()
    failed = False
    for check in checks:
        failed |= check.state in ("missing", "wrong")
        typer.echo(f"{check.state:8} {check.name}: {check.found}" + (f" -> {check.remedy}" if check.remedy else ""))
    raise typer.Exit(1 if failed else 0)


@app.command()
def demo(
    application: Annotated[str, typer.Argument(help="Which application's demo.")] = "ultrasound",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that the demo makes.")] = Path("demo"),
) -> None:
    """The main job on the embedded sample, start to finish, in minutes on two cores."""
    with going_on():
        load_part(application, "demo").run_demo(out / application)


@app.command("app")
def start_pages(
    port: Annotated[int, typer.Option(help="Port of the server.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 keeps it to this machine.")] = (
        "127.0.0.1"
    ),
    runs: Annotated[Path | None, typer.Option(help="Folder that holds run folders.")] = None,
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
) -> None:
    """The pages, served by Streamlit."""
    from apps.serve import serve

    raise typer.Exit(serve(port=port, address=address, runs=runs, headless=headless))


cards = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Cards of the data sets and models.")
app.add_typer(cards, name="cards")


@cards.command("check")
def check_cards(
    folder: Annotated[Path | None, typer.Argument(help="Folder of cards; the installed ones by default.")] = None,
) -> None:
    """Holds the cards against the data sets and presets that the code names."""
    from apps.cards import check

    problems = check(folder)
    for problem in problems:
        typer.echo(str(problem))
    typer.echo(f"{len(problems)} problems" if problems else "all cards are there and hold", err=True)
    raise typer.Exit(1 if problems else 0)


def main() -> None:
    """The console script: exit status 0, 1 internal error, 2 usage, 3 some cases failed, 4 no valid input, 130."""
    from apps.exits import run

    sys.exit(run(app))


if __name__ == "__main__":
    main()
