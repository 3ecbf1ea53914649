"""The flags of a batch, given to a verb as one argument: `predict` of every application has them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

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
    read_shard,
)


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
    dry_run: bool = False
    log_json: bool = False
    quiet: bool = False


def with_batch_flags(batch_size: int, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Puts the flags of a batch in the place of a verb's argument `flags`, which gets them as `BatchFlags`.

    The verb also has an argument `out`, the folder of the results.

    Args:
        batch_size: the default of ``--batch-size``.
        help: what that flag counts.
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
        "fail_fast": (FailFast, False),
        "dry_run": (DryRun, False),
        "log_json": (LogJson, False),
        "quiet": (Quiet, False),
    }

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        parameters = []
        for parameter in inspect.signature(verb).parameters.values():
            if parameter.name != "flags":
                parameters.append(parameter.replace(annotation=hints[parameter.name]))
                continue
            parameters += [
                inspect.Parameter(name, parameter.kind, default=default, annotation=kind)
                for name, (kind, default) in shared.items()
            ]

        signature = inspect.Signature(parameters)

        @wraps(verb)
        def command(*positional: Any, **named: Any) -> None:
            bound = signature.bind(*positional, **named)
            bound.apply_defaults()
            given = dict(bound.arguments)
            values = {name: given.pop(name) for name in shared}
            # Only the local engine is there; the flag says so.
            values.pop("engine")
            values["shard"] = read_shard(values["shard"])
            verb(**given, flags=BatchFlags(given["out"], **values))

        # Typer reads the signature; what `wraps` left would lead it back to the verb's own.
        del command.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
        command.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate
