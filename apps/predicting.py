"""The verb `predict` of every application: cases, a predictor, one batch, and what is said of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apps.batch_flags import BatchFlags
from polyhead.batch.case import Case
from polyhead.batch.outcome import Summary
from polyhead.batch.progress import closing_lines, progress_display
from polyhead.batch.room import BytesOf
from polyhead.batch.run import OnMerged, run_batch
from polyhead.batch.search import PassedOver
from polyhead.batch.worker import PredictorFactory
from polyhead.runs.run import Run, RunInfo
from polyhead.runs.unfinished import UNFINISHED, unfinished


def predict(
    cases: Sequence[Case],
    factory: PredictorFactory,
    flags: BatchFlags,
    *,
    model: str,
    parameters: Mapping[str, Any],
    info: Mapping[str, Any],
    passed: PassedOver | None = None,
    on_merged: OnMerged | None = None,
    bytes_of: BytesOf | None = None,
) -> Summary:
    """Runs the batch with its progress on stderr and prints where the results are on stdout.

    Args:
        model: what decides the answers, as `polyhead.runs.run.Run.identity`: a case is done anew where it has changed.
        passed: what was seen beside the cases and is no input; told in the results.
        bytes_of: estimates what a case will take on the disk.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if UNFINISHED in info:
        print(f"warning: {info['run']}: {info[UNFINISHED]}", file=sys.stderr)
    with progress_display(quiet=flags.quiet, log_json=flags.log_json) as progress:
        summary = run_batch(
            cases,
            flags.out,
            factory,
            model_hash=model,
            parameters=parameters,
            shard=flags.shard,
            workers=flags.workers,
            batch_size=flags.batch_size,
            timeout=flags.timeout,
            overwrite=flags.overwrite,
            fail_fast=flags.fail_fast,
            retry_failed=flags.retry_failed,
            verify=flags.verify,
            dry_run=flags.dry_run,
            saved=flags.save,
            bytes_of=bytes_of,
            progress=progress,
            info={**info, "passed_over": passed.to_json()} if passed is not None else info,
            on_merged=on_merged,
        )
    if summary.error is not None:
        print(f"error: {summary.error}", file=sys.stderr)
    if not flags.quiet:
        for line in (*summary.notes, *closing_lines(summary)):
            print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    if not flags.dry_run:
        print(summary.out / "summary.html")
    return summary


def about(info: RunInfo, run: Path, source: str, **more: Any) -> dict[str, Any]:
    """What a batch says of where its answers come from."""
    said = {"application": info.application, "command": "predict", "run": str(run), "input": source, **more}
    said |= {"system": info.system, "preset": info.preset}
    words = unfinished(Run(run, info))
    return said if words is None else {**said, UNFINISHED: words}
