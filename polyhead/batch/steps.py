"""What is done to one case, step by step: prepared, read, written with its receipt, or failed with its reason."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from polyhead.batch.case import Case, InvalidInput, Predictor
from polyhead.batch.outcome import Outcome, one_line
from polyhead.batch.products import Saved, joined
from polyhead.batch.receipts import (
    Receipt,
    clear_case,
    input_fingerprint,
    load_receipt,
    request_digest,
    save_receipt,
)
from polyhead.batch.writer import CaseWriter, dump_json

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Job:
    """A case at work.

    Attributes:
        folder: of its outputs and its receipt.
        model: the model's hash, and `parameters` what else decides the answer: both part of the receipt.
        log: where the traceback of a failure is kept; None keeps none.
        input: `input_fingerprint` of the case, once it was taken.
        seconds: spent on it so far.
        saved: the products that are written; those that the case had are among them, unless it is done `anew`.
    """

    case: Case
    folder: Path
    model: str
    parameters: Mapping[str, Any]
    log: Path | None = None
    input: Mapping[str, Any] | None = None
    seconds: float = 0.0
    saved: Saved = None
    anew: bool = False

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Counts the time of the block as spent on the case."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start


def read_case(job: Job, predictor: Predictor[Any, Any]) -> Any:
    """Takes the fingerprint of the input, removes an earlier answer, and reads it.

    The answer to an input that cannot be looked at now stays: it is right again once the input is back.
    """
    with job.timed():
        if job.log is not None:
            job.log.unlink(missing_ok=True)
        job.input = input_fingerprint(job.case)
        earlier = clear_case(job.folder)
        if earlier is not None and not job.anew and _answers(earlier, job):
            job.saved = joined(job.saved, earlier.saved)
        return predictor.read(job.case)


def predict_cases(predictor: Predictor[Item, Result], items: Sequence[Item]) -> list[Result]:
    """The results of a batch; another number of results than of items is a `ValueError`."""
    results = predictor.predict(items)
    if len(results) != len(items):
        raise ValueError(f"the predictor gave {len(results)} results for {len(items)} items")
    return results


def write_case(job: Job, predictor: Predictor[Any, Any], result: Any) -> Outcome:
    """Writes the answer, then the receipt; where one of them fails, nothing of the answer is left."""
    writer = CaseWriter(job.folder, job.saved)
    try:
        with job.timed():
            record = predictor.write(job.case, result, writer)
            dump_json(record)
            outputs = writer.commit()
        job.seconds = round(job.seconds, 4)
        save_receipt(job.folder, _receipt(job, "ok", outputs=outputs, record=record))
    except BaseException:
        writer.discard()
        raise
    return Outcome(job.case.id, str(job.case.path), "ok", seconds=job.seconds, record=record)


def fail_case(job: Job, stage: str, error: BaseException) -> Outcome:
    """The outcome of a case that failed in a stage; what is wrong with an input is kept in its receipt."""
    job.seconds = round(job.seconds, 4)
    name, path = job.case.id, str(job.case.path)
    if isinstance(error, InvalidInput):
        words: dict[str, Any] = {"code": error.code, "reason": one_line(error.reason), "remedy": one_line(error.remedy)}
        if job.input is not None:
            with suppress(OSError):  # without a receipt the case is only read again next time
                save_receipt(job.folder, _receipt(job, "invalid_input", **words))
        elif (earlier := load_receipt(job.folder)) is not None and earlier.status == "ok":
            words["remedy"] = f"{words['remedy']}; the earlier answer stays".removeprefix("; ")
        return Outcome(name, path, "invalid_input", seconds=job.seconds, **words)
    kept = _keep_traceback(job, error)
    status, code, remedy = "failed", f"error-in-{stage}", f"the traceback is in {kept}" if kept else ""
    if is_out_of_memory(error):
        status, code, remedy = "oom", "out-of-memory", "give more memory, or make the input smaller"
    reason = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return Outcome(name, path, status, code, reason, remedy, job.seconds)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that host or device memory ran out, without importing torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _receipt(job: Job, status: str, **values: Any) -> Receipt:
    request = request_digest(job.parameters, job.case)
    values |= {"seconds": job.seconds, "saved": None if job.saved is None else list(job.saved)}
    place = os.path.abspath(job.case.path)  # noqa: PTH100 - as the user names it, links and all
    return Receipt(status, job.case.id, job.input or {}, job.model, request, path=place, **values)


def _answers(receipt: Receipt, job: Job) -> bool:
    """Whether a receipt is of an answer to what the job asks, whichever products were written."""
    asked = (job.model, request_digest(job.parameters, job.case), (job.input or {}).get("sha256"))
    return receipt.status == "ok" and (receipt.model, receipt.request, receipt.input.get("sha256")) == asked


def _keep_traceback(job: Job, error: BaseException) -> str:
    """Writes the traceback to the job's log; returns its path as people see it from the folder of the results."""
    if job.log is None:
        return ""
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(traceback.format_exception(error))
        job.log.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""
    return f"logs/{job.case.id}.log"
