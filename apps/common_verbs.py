"""The verbs `sample`, `train`, `predict` and `evaluate` for an application of common shape, made of its functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

import typer

from apps.batch_flags import BatchFlags, with_batch_flags
from apps.flags import (
    Config,
    Device,
    Full,
    NewRun,
    Quiet,
    ReportFolder,
    Resamples,
    Results,
    Run,
    ScoresAsJson,
    Seed,
    Settings,
    Task,
    application_verbs,
)
from apps.terminal import show_report
from apps.training import resolve_preset, run_training, show_configuration
from apps.training_flags import TrainingFlags, with_training_flags
from apps.unfinished import with_unfinished
from polyhead.application import Application

if TYPE_CHECKING:
    from pydantic import BaseModel

    from polyhead.batch.case import Case, Predictor
    from polyhead.batch.search import PassedOver
    from polyhead.evaluation.score_report import ScoreReport
    from polyhead.registry import Registry
    from polyhead.train import FitResult
    from polyhead.training.session import Session

Data = Annotated[Path, typer.Argument(help="Data folder, as `sample` writes one.")]


class Work(Protocol):
    """What an application does: the functions of a module that is imported when a verb runs, and not before."""

    PRESETS: Registry[Any]
    """Settings by the names of presets: pydantic models whose section ``training`` is a `TrainConfig`."""

    def sample(self, out: Path, *, seed: int) -> None:
        """Writes a small labelled data set; a folder that holds something else is a `ValueError`."""
        ...

    def train(self, data: Path, out: Path, configuration: Any, *, session: Session) -> FitResult:
        """Trains a model on `data` into the run folder `out`; bad data or settings are a `ValueError`."""
        ...

    def cases_from(self, source: str, *, tasks: Sequence[str], passed: PassedOver | None = None) -> list[Case]:
        """The cases of a file, a folder, a glob or a list; none is a `polyhead.batch.outcome.NoInput`.

        `passed` gets what is no input: hand it to `polyhead.batch.inputs.find_inputs`.
        """
        ...

    def load_predictor(self, run: str, *, tasks: Sequence[str], device: str) -> Predictor[Any, Any]:
        """The model of a run, ready to answer `tasks`."""
        ...

    def evaluate(self, predictions: Path, data: Path, *, resamples: int, seed: int) -> ScoreReport:
        """Scores the output of `predict` against the labels of `data`."""
        ...


def common_verbs(application: Application, work: str) -> typer.Typer:
    """The command line of an application.

    Args:
        application: its only system's first preset is what `train` takes where none is named.
        work: name of the module that is its `Work`.
    """
    app = application_verbs(application.title)
    (system,) = application.systems.values()
    default = system.presets[0]

    @app.command()
    def sample(
        out: Annotated[Path, typer.Argument(help="New folder for the data set.")], seed: Seed = 0, quiet: Quiet = False
    ) -> None:
        """Writes a small labelled data set."""
        load_work(work).sample(out, seed=seed or 0)
        typer.echo(out)

    @app.command()
    @with_training_flags("Rows of one task in a step.")
    def train(
        data: Data,
        out: NewRun,
        preset: Annotated[str, typer.Option(help="The system's settings; see `polyhead info`.")] = default,
        config: Config = None,
        settings: Settings = None,
        *,
        flags: TrainingFlags,
    ) -> None:
        """Trains one network for all tasks of a data set."""
        working = load_work(work)

        def resolve(name: str, changes: Mapping[str, Any]) -> BaseModel:
            from polyhead.settings import changed, validated
            from polyhead.training.settings import MAPPINGS

            chosen = working.PRESETS[name]
            return validated(type(chosen), changed(chosen.model_dump(mode="json"), changes, whole=MAPPINGS))

        configuration = resolve_preset(resolve, preset, flags, config=config, settings=settings)
        if flags.dry_run:
            show_configuration(preset, working.PRESETS, configuration)
            return
        run_training(working.train, data, out, configuration, flags)

    @app.command()
    @with_batch_flags(16, "Cases answered at once.")
    def predict(
        run: Run,
        source: Annotated[str, typer.Argument(metavar="INPUT", help="A file, a folder, a glob or a list of paths.")],
        out: Results,
        task: Task = None,
        device: Device = "auto",
        *,
        flags: BatchFlags,
    ) -> None:
        """Answers the tasks for every case; one bad file never stops the others.

        Exit status: 0 all done, 3 some cases failed, 4 no valid input, 130 interrupted. The same command goes on.
        """
        from apps.predicting import about
        from apps.predicting import predict as run_predict
        from polyhead.batch.search import PassedOver
        from polyhead.batch.worker import PredictorFactory
        from polyhead.runs.run import Run as RunFolder

        folder = RunFolder.open(run)
        info = folder.info
        if info.application != application.name:
            raise ValueError(f"{run} is a run of {info.application}: polyhead {info.application} predict {run} ...")
        tasks = list(info.task_set.subset(task) if task else info.task_set)
        passed = PassedOver()
        summary = run_predict(
            load_work(work).cases_from(source, tasks=tasks, passed=passed),
            PredictorFactory(f"{work}:load_predictor", {"run": str(run), "tasks": tasks, "device": device}),
            flags,
            model=folder.identity(),
            parameters={"tasks": tasks},
            info=about(info, run, source),
            passed=passed,
        )
        raise typer.Exit(summary.exit_status)

    @app.command()
    def evaluate(
        predictions: Annotated[Path, typer.Argument(help="Output of `predict` on labelled data.")],
        data: Data,
        out: ReportFolder = None,
        resamples: Resamples = 1000,
        seed: Seed = 0,
        full: Full = False,
        as_json: ScoresAsJson = False,
        quiet: Quiet = False,
    ) -> None:
        """Scores predictions task by task, beside trivial baselines, with bootstrap intervals."""
        from polyhead.evaluation.own_report import refuse_foreign_report

        refuse_foreign_report((out or predictions) / "report.html")
        report = load_work(work).evaluate(predictions, data, resamples=resamples, seed=seed or 0)
        report = with_unfinished(report, predictions)
        page, *_ = report.write((out or predictions) / "report.html")
        show_report(report, page, full=full, as_json=as_json, quiet=quiet)

    return app


def load_work(module: str) -> Work:
    """Imports what an application does."""
    return cast(Work, import_module(module))
