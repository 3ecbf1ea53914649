"""The flags of a batch, given to a verb as one argument: `predict` of every application has them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from apps.flags import (
    DryRun,
    Engine,
    FailFast,
    LogJson,
    Overwrite,
    Quiet,
    RetryFailed,
    Shard,
    Threads,
    Timeout,
    Verify,
    read_shard,
)
from apps.shared_flags import Verb, with_flags
from polyhead.batch.products import NOTHING, Products, Saved


@dataclass(frozen=True)
class BatchFlags:
    """The flags of `predict` that do not change an answer."""

    out: Path
    workers: int = 2
    batch_size: int = 16
    shard: tuple[int, int] = (0, 1)
    timeout: float | None = None
    overwrite: bool = False
    fail_fast: bool = False
    retry_failed: bool = False
    verify: Literal["quick", "full"] = "quick"
    dry_run: bool = False
    save: Saved = None
    log_json: bool = False
    quiet: bool = False


def with_batch_flags(batch_size: int, help: str, products: Products | None = None) -> Callable[[Verb], Verb]:
    """Puts the flags of a batch in the place of a verb's argument `flags`, which gets them as `BatchFlags`.

    The verb also has an argument `out`, the folder of the results.

    Args:
        batch_size: the default of ``--batch-size``.
        help: what that flag counts.
        products: what ``--save`` chooses of; None where there is nothing to choose.
    """
    size = Annotated[int, typer.Option(min=1, help=help)]
    shared: dict[str, tuple[Any, Any]] = {
        "workers": (Threads, 2),
        "batch_size": (size, batch_size),
        "shard": (Shard, "0/1"),
        "timeout": (Timeout, None),
        "engine": (Engine, "local"),
        "overwrite": (Overwrite, False),
        "retry_failed": (RetryFailed, False),
        "verify": (Verify, "quick"),
        "fail_fast": (FailFast, False),
        "dry_run": (DryRun, False),
        "log_json": (LogJson, False),
        "quiet": (Quiet, False),
    }
    if products is not None:
        choice = "; ".join(f"{name}: {about}" for name, about in products.about.items())
        words = f"What is written of a case beside its answer, with commas between ({choice}), or {NOTHING}."
        shared["save"] = (Annotated[str, typer.Option(help=words)], products.default)

    def gathered(values: dict[str, Any], given: dict[str, Any]) -> BatchFlags:
        # Only the local engine is there; the flag says so.
        values.pop("engine")
        values["shard"] = read_shard(values["shard"])
        if products is not None:
            values["save"] = products.chosen(values["save"])
        return BatchFlags(given["out"], **values)

    return with_flags(shared, gathered)
