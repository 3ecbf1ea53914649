"""Cases answered in this process, for pages and packages: the steps of a batch without its worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from polyhead.batch.case import Case, InvalidInput, Predictor, Writer
from polyhead.batch.outcome import Outcome
from polyhead.batch.products import Saved
from polyhead.batch.steps import Job, fail_case, predict_cases, read_case, write_case
from polyhead.batch.writer import CaseWriter

Item = TypeVar("Item")
Result = TypeVar("Result")


def answer(
    predictor: Predictor[Any, Any], case: Case, folder: Path, *, model: str, parameters: Mapping[str, Any]
) -> Outcome:
    """Answers one case into `folder`, its outputs and its receipt, as a batch does; an error becomes the outcome.

    Args:
        model: hash of the model; part of the receipt.
        parameters: JSON values that decide the answer; part of the receipt.
    """
    job = Job(case, folder, model, parameters)
    stage = "read"
    try:
        item = read_case(job, predictor)
        stage = "predict"
        with job.timed():
            (result,) = predict_cases(predictor, [item])
        stage = "write"
        return write_case(job, predictor, result)
    except (Exception, SystemExit) as error:
        return fail_case(job, stage, error)


def ask(predictor: Predictor[Item, Result], cases: Sequence[Case]) -> list[Result | InvalidInput]:
    """What a predictor says of cases, in memory and in one batch; of a bad input, its `InvalidInput` in its place."""
    found: list[Any] = []
    items, places = [], []
    for case in cases:
        try:
            items.append(predictor.read(case))
            places.append(len(found))
            found.append(None)
        except InvalidInput as error:
            found.append(error)
    for place, result in zip(places, predict_cases(predictor, items) if items else [], strict=True):
        found[place] = result
    return found


def written_files(write: Callable[[Writer], object], saved: Saved = None) -> dict[str, bytes]:
    """The files that `write` makes with the writer of a case, in memory by name: what a page gives to take away.

    Args:
        saved: the products that are wanted.
    """
    with TemporaryDirectory() as folder:
        writer = CaseWriter(Path(folder, "case"), saved)
        write(writer)
        return {name: Path(folder, "case", name).read_bytes() for name in writer.commit()}
