"""`polyhead genomics predict` and `evaluate`: answers for sequences, and their scores."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.batch_flags import BatchFlags, with_batch_flags
from apps.flags import (
    Device,
    Full,
    Quiet,
    ReportFolder,
    Resamples,
    Results,
    Run,
    ScoresAsJson,
    Seed,
    Task,
)
from apps.genomics.data_verbs import Data
from apps.terminal import counting, show_report
from polyhead.batch.products import Products

PRODUCTS = Products(
    {"pictures": "answers that are pictures, drawn", "thumbnails": "a small picture of the counts, for the summary"}
)

Split = Literal["train", "validation", "test", "all"]
Policy = Annotated[
    Literal["mask", "split", "resolve", "error"],
    typer.Option(help="Letters other than ACGT: kept as unknown, cut out, drawn, or the record is refused."),
]
Reference = Annotated[Path | None, typer.Option(help="FASTA that regions (BED, GFF) lie on.")]
BothStrands = Annotated[
    bool, typer.Option("--both-strands/--forward", help="The mean with the reverse complement, or one strand.")
]


@with_batch_flags(1, "Cases answered at once.", PRODUCTS)
def predict(
    run: Run,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Sequences: FASTA, FASTQ, GenBank, BED or GFF with --reference, CSV, TSV, parquet; labelled data; "
            "a folder, a glob, a list of paths, or - for the standard input.",
        ),
    ],
    out: Results,
    split: Annotated[
        Split | None, typer.Option(help="Which rows of labelled data; by default test, or all where there are none.")
    ] = None,
    task: Task = None,
    reference: Reference = None,
    policy: Policy = "mask",
    both_strands: BothStrands = True,
    window: Annotated[
        int | None, typer.Option(min=1, help="Bases of the windows of long sequences; by default what the model takes.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Bases from window to window; by default half a window.")
    ] = None,
    per_window: Annotated[bool, typer.Option("--per-window", help="A row for each window, not their mean.")] = False,
    calibrated: Annotated[bool, typer.Option(help="Use the temperatures of `calibrate`, where the run has them.")] = (
        True
    ),
    table: Annotated[
        Literal["tsv", "csv", "parquet"], typer.Option("--table", help="Format of OUT/answers, the table of all.")
    ] = "tsv",
    block: Annotated[int, typer.Option(min=1, help="Records of a case; a killed run loses at most so many.")] = 1000,
    seed: Seed = 0,
    device: Device = "auto",
    *,
    flags: BatchFlags,
) -> None:
    """Answers every sequence for all tasks in one pass; one bad record never stops the others.

    Exit status: 0 all done, 3 some records failed, 4 no valid input, 130 interrupted. The same command goes on.
    """
    from apps.predicting import about
    from apps.predicting import predict as run_predict
    from domains.genomics.asking.sources import cases_from
    from domains.genomics.predicting.room import bytes_of
    from polyhead.batch.search import PassedOver
    from polyhead.batch.worker import PredictorFactory
    from polyhead.runs.identity import CALIBRATION_FILE
    from polyhead.runs.run import Run as RunFolder

    folder = RunFolder.open(run)
    info = folder.info
    wanted = list(info.task_set.subset(task) if task else info.task_set)
    passed = PassedOver()
    with counting("looking for inputs", flags.quiet or flags.log_json) as count:
        cases = cases_from(
            _spooled(out, flags.dry_run) if source == "-" else source,
            reference=reference,
            policy=policy,
            seed=seed or 0,
            tasks=wanted if task else None,
            split=split,
            block=block,
            count=count,
            passed=passed,
        )
    arguments: dict[str, Any] = {
        "tasks": wanted,
        "reverse_complement": both_strands,
        "window": window,
        "stride": stride,
        "per_window": per_window,
        "calibrated": calibrated,
    }
    # How records are read decides the answers, too; the seed only where letters are drawn.
    reading: dict[str, Any] = {"policy": policy, "block": block} | ({"seed": seed or 0} if policy == "resolve" else {})
    reading |= {} if reference is None else {"reference": str(reference.absolute())}
    calibration = run / CALIBRATION_FILE
    labels = {name: spec.labels for name, spec in info.task_set.items() if spec.labels and name in wanted}
    summary = run_predict(
        cases,
        PredictorFactory(
            "domains.genomics.predicting.predict:load_predictor", arguments | {"run": str(run), "device": device}
        ),
        flags,
        model=folder.identity(leaving_out=() if calibrated else (CALIBRATION_FILE,)),
        parameters=arguments | reading,
        info=about(info, run, source, split=split),
        passed=passed,
        on_merged=partial(_merge, labels, table, calibration if calibrated else None),
        bytes_of=bytes_of(cases, tasks=len(wanted), block=block, saved=flags.save),
    )
    raise typer.Exit(summary.exit_status)


def _merge(
    labels: Mapping[str, Sequence[str]],
    ending: str,
    calibration: Path | None,
    out: Path,
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """The table of all cases, and the temperatures that made the probabilities, which `evaluate` shows."""
    from domains.genomics.predicting.write import merge
    from polyhead.system.files import write_whole

    merge(out, rows, labels, ending)
    if calibration is not None and calibration.is_file():
        write_whole(out / calibration.name, calibration.read_bytes())
    else:
        (out / "calibration.json").unlink(missing_ok=True)


def _spooled(out: Path, dry_run: bool) -> Path:
    """The standard input as a file in OUT, so that a batch that goes on finds it again; a dry run leaves none."""
    import atexit
    import shutil
    import tempfile

    from polyhead.batch.claim import refuse_foreign
    from polyhead.system.files import replacing
    from polyhead.system.folders import BATCH_STATE

    refuse_foreign(out)
    if dry_run:
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = out / BATCH_STATE
        folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "stdin") as temporary, temporary.open("wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream)
    return folder / "stdin"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Output of `predict` on labelled data.")],
    data: Data,
    out: ReportFolder = None,
    split: Annotated[Split, typer.Option(help="Which rows to score.")] = "test",
    name: Annotated[str, typer.Option(help="What this evaluation is called beside others.")] = "",
    beside: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PREDICTIONS,DATA: the same tasks on another split, such as random beside purged."),
    ] = None,
    baseline: Annotated[str, typer.Option(help="majority, kmer, ...: fitted on the training rows of DATA.")] = (
        "majority"
    ),
    leakage: Annotated[bool, typer.Option(help="Count what test rows share with training rows.")] = True,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    full: Full = False,
    as_json: ScoresAsJson = False,
    quiet: Quiet = False,
) -> None:
    """Scores predictions task by task, with bootstrap intervals, calibration, and what the test rows give away."""
    from apps.chosen_epoch import run_of, with_chosen_epoch
    from apps.unfinished import with_unfinished
    from domains.genomics.evaluation.evaluate import evaluate as score
    from domains.genomics.evaluation.report import write_report
    from polyhead.evaluation.own_report import refuse_foreign_report

    refuse_foreign_report((out or predictions) / "report.html")
    options: dict[str, Any] = {"split": split, "baseline": baseline, "leakage": leakage}
    options |= {"resamples": resamples, "seed": seed or 0}
    others = [_beside(text) for text in beside or ()]
    report = score(predictions, data, name=name or ("this" if others else ""), **options)
    report = with_chosen_epoch(report, run_of(predictions), on_validation=split in ("validation", "all"))
    report = with_unfinished(report, predictions)
    shown = [score(answers, rows, name=called, **options) for called, answers, rows in others]
    written = write_report(report, (out or predictions) / "report.html", beside=shown)
    show_report(report, written[0], full=full, as_json=as_json, quiet=quiet)


def _beside(text: str) -> tuple[str, Path, Path]:
    name, equals, paths = text.partition("=")
    predictions, comma, data = paths.rpartition(",")
    if not (equals and comma and name and predictions and data):
        raise ValueError(f"--beside {text}: write NAME=PREDICTIONS,DATA")
    return name, Path(predictions), Path(data)
